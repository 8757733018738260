"""Why some perturbations do not declare that pixel change grows: an image for which it falls, one for each."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from semcon.core.concepts import Perturbation, Unit
from semcon.core.registry import available, load
from semcon.keyed import Keys


def stripes(period: float, size: int = 64) -> Tensor:
    column = torch.arange(size, dtype=torch.float64)
    return (0.5 + 0.5 * torch.cos(column * (2 * torch.pi / period))).expand(1, 3, size, size)


def one(*values: float) -> Tensor:
    return torch.tensor([values] if len(values) > 1 else values, dtype=torch.float64)


def spokes() -> Tensor:
    """Eighteen spokes: a pattern that a turn of 20 degrees maps onto itself."""
    place = torch.arange(64, dtype=torch.float64) - 31.5
    angle = torch.atan2(place[:, None], place[None])
    return (0.5 + 0.5 * torch.cos(18 * angle)).expand(1, 3, 64, 64)


def rings() -> Tensor:
    """Rings at a constant ratio of 1.2: a magnification by 1.2 maps them onto themselves."""
    place = torch.arange(64, dtype=torch.float64) - 31.5
    radius = (place[:, None] ** 2 + place[None] ** 2).sqrt()
    return (0.5 + 0.5 * torch.cos(radius.log() * (2 * torch.pi / math.log(1.2)))).expand(1, 3, 64, 64)


def magenta() -> Tensor:
    return one(0.8, 0.0, 0.6).view(1, 3, 1, 1).expand(1, 3, 16, 16)


def fine_stripes() -> Tensor:
    """Every second column: two coefficients of a block, which a coarser table may happen to round better."""
    return (0.5 + ((torch.arange(16) % 2).double() - 0.5) * 0.9756).expand(1, 3, 16, 16)


def waves(*parts: tuple[float, int]) -> Tensor:
    """A sum of cosines across 32 columns, (amplitude, cycles) each, about grey."""
    place = torch.arange(32, dtype=torch.float64) * (2 * torch.pi / 32)
    row = sum((size * torch.cos(cycles * place) for size, cycles in parts), torch.full_like(place, 0.5))
    return row.expand(1, 3, 32, 32)


def reversed_cells() -> Tensor:
    return torch.linspace(1, -1, 1024, dtype=torch.float64)[None]


def drawn(name: str, size: int = 64, **fixed: Tensor) -> Unit:
    """A draw of a published corruption, some of its parameters given."""
    like = torch.zeros(1, 3, size, size, dtype=torch.float64)
    return load("perturbations", name)().sample(Keys(torch.tensor([3]), scope=name), like) | fixed


def frosted() -> Tensor:
    """At level 5 of 64 px, 0.7 x + 0.55 f, what frost adds is what it takes."""
    black = torch.zeros(1, 3, 64, 64, dtype=torch.float64)
    return (load("perturbations", "frost")()(black, drawn("frost", picture=one(0.9)), 5.0) / 0.3).clamp(0, 1)


def foggy() -> Tensor:
    """At level 5 of 64 px, (x + 2 f) / 3, the fog of this draw: black but for one white pixel shows it."""
    black = torch.zeros(1, 3, 64, 64, dtype=torch.float64)
    black[..., 0, 0] = 1
    return (load("perturbations", "fog")()(black, drawn("fog"), 5.0) * 1.5).clamp(0, 1)


def hollow() -> Tensor:
    """Snow outside the middle, which is magnified from level 3 on."""
    field = torch.full((1, 64, 64), 3.0, dtype=torch.float64)
    field[:, 10:54, 10:54] = -3
    return field


def plain(*colour: int) -> Tensor:
    return one(*colour).view(1, 3, 1, 1).expand(1, 3, 64, 64) / 255


STILL = {"corners": torch.ones(1, 3, 2, dtype=torch.float64), "pull": torch.zeros(1, 2, 64, 64, dtype=torch.float64)}
PAIRS, THIRDS = (torch.arange(64) // 2 % 2).double(), (torch.arange(64) % 3 > 0).double()
JITTER = {"brightness.shift": one(0.76), "contrast.shift": one(0.91), "saturation.shift": one(0.87)}
COUNTEREXAMPLES: dict[str, tuple[Tensor, Unit, tuple[float, ...]]] = {
    "translation": (stripes(8.0), {"shift": one(1.0, 0.0)}, (6.25, 12.5)),
    "rotation": (spokes(), {"angle": one(1.0)}, (10.0, 20.0)),
    "rotation_translation": (spokes(), {"angle": one(1.0), "shift": one(0.0, 0.0)}, (10.0, 20.0)),
    "tilt": (stripes(8.0), {"angle": one(1.0), "axis": one(1.0)}, (20.0, 25.0)),
    "scale": (rings(), {"shift": one(1.0)}, (0.1, 0.2)),
    "color_jitter": (magenta(), {**JITTER, "hue.shift": one(-0.59)}, (0.2, 0.3)),
    "jpeg": (fine_stripes(), {}, (85, 86)),
    # the second cosine, removed after the first, takes from the peaks that the first left
    "high_pass": (waves((0.25, 2), (0.1, 6)), {}, (0.2, 0.5)),
    "low_pass": (waves((0.25, 11), (0.1, 1)), {}, (0.8, 1.0)),
    "patch_shuffle": (stripes(16.0), {"order": reversed_cells()}, (3, 4)),
    "saturate": (magenta(), {}, (2.0, 2.64)),
    "pixelate": (PAIRS.expand(1, 3, 64, 64), {}, (4.0, 5.0)),
    "zoom_blur": (rings(), {}, (3.0, 4.0)),
    "glass_blur": (THIRDS.expand(1, 3, 64, 64), drawn("glass_blur"), (3.0, 4.0)),
    "elastic_transform": (stripes(10.0), STILL, (1.0, 5.0)),
    "fog": (foggy(), drawn("fog"), (1.0, 5.0)),
    "frost": (frosted(), drawn("frost", picture=one(0.9)), (1.0, 5.0)),
    "snow": (plain(0, 0, 0), drawn("snow", field=hollow()), (2.0, 3.0)),
    "spatter": (plain(63, 42, 20), drawn("spatter"), (3.0, 5.0)),
}


def test_every_undeclared_perturbation_has_its_counterexample() -> None:
    undeclared = {name for name in available("perturbations") if not load("perturbations", name).monotone}
    assert undeclared == set(COUNTEREXAMPLES)


def test_its_pixel_change_falls() -> None:
    for name, (x, unit, severities) in COUNTEREXAMPLES.items():
        perturbation: Perturbation = load("perturbations", name)()
        changes = [float((perturbation(x, unit, float(s)) - x).abs().mean()) for s in severities]
        assert min(b - a for a, b in pairwise(changes)) < -0.01, name
