"""Chain: several perturbations one after the other, as one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys


@dataclass(frozen=True)
class Chain(Perturbation):
    """`parts` in order, part i at `limits[i]` times the severity, which runs from 0 to 1. Each part clips."""

    parts: tuple[tuple[str, Perturbation], ...]
    limits: tuple[float, ...]

    family = "photometric"
    unit = "share of each part's limit"
    source = "definition"
    ladder = (0.2, 0.4, 0.6, 0.8, 1.0)
    maximum = 1.0
    monotone = False

    @property
    def parameters(self) -> str:  # type: ignore[override]
        """A box where every part that draws is one; a search over anything else takes the best of k."""
        kinds = {part.parameters for _, part in self.parts} - {"fixed"}
        return "fixed" if not kinds else "box" if kinds == {"box"} else "unbounded"

    @property
    def parameter_gradient(self) -> bool:  # type: ignore[override]
        """Whether autograd reaches every parameter: through the later parts' images too."""
        return all(part.parameter_gradient and part.image_gradient for _, part in self.parts)

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`I.NAME.PARAMETER` for every parameter of every part."""
        return {
            f"{number}.{name}.{parameter}": value
            for number, (name, part) in enumerate(self.parts)
            for parameter, value in part.sample(keys.within(f"{number}.{name}"), like).items()
        }

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """One part after the other; whole severities where a part knows no others."""
        for number, ((name, part), limit) in enumerate(zip(self.parts, self.limits, strict=True)):
            prefix = f"{number}.{name}."
            own = {key.removeprefix(prefix): value for key, value in unit.items() if key.startswith(prefix)}
            strength = severity * limit
            x = part(x, own, strength if part.kind == "continuous" else strength.ceil(), context)
        return x
