"""Colour jitter: brightness, contrast, saturation and hue together."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.core.registry import load
from semcon.keyed import Keys

PARTS = (("brightness", 1.0), ("contrast", 1.0), ("saturation", 1.0), ("hue", 0.25))


def _default(name: str) -> Perturbation:
    return load("perturbations", name)()


@dataclass(frozen=True)
class ColorJitter(Perturbation):
    """Brightness, contrast and saturation at s, then hue at s / 4, in this order. Source: torchvision ColorJitter.

    The parts can be replaced by other photometric perturbations.
    """

    brightness: Perturbation = field(default_factory=lambda: _default("brightness"))
    contrast: Perturbation = field(default_factory=lambda: _default("contrast"))
    saturation: Perturbation = field(default_factory=lambda: _default("saturation"))
    hue: Perturbation = field(default_factory=lambda: _default("hue"))

    family = "photometric"
    unit = "factors 1 + s, signed; hue s / 4"
    source = "torchvision.transforms.ColorJitter, order fixed"
    parameters = "box"
    ladder = (0.05, 0.1, 0.2, 0.3, 0.4)
    maximum = 1.0
    monotone = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`PART.NAME` for every parameter of every part, drawn from keys named after the part."""
        units = {part: getattr(self, part).sample(keys.within(part), like) for part, _ in PARTS}
        return {f"{part}.{name}": value for part, unit in units.items() for name, value in unit.items()}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """The four parts one after the other, each clipped."""
        for part, share in PARTS:
            own = {name.partition(".")[2]: value for name, value in unit.items() if name.startswith(f"{part}.")}
            x = getattr(self, part).apply(x, own, severity * share, context)
        return x
