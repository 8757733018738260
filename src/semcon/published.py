"""The common corruptions as published: their names, and their parameters at any level and any size.

Hendrycks and Dietterich (arXiv 1903.12261) give five levels for images of 32 px (CIFAR-10-C), 64 px (Tiny-ImageNet-C)
and 224 px (ImageNet-C). In between, a parameter is linear in the level, from the value that changes nothing at level 0,
and linear in the logarithm of the image's height; below 32 and above 224 px it stays what it is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from semcon.core.errors import UnknownNameError

UNIT = "published level, 0 to 5"
SOURCE = "arXiv 1903.12261"
LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)
SIZES = (32, 64, 224)
COMMON = {
    "gaussian_noise": "gaussian_noise", "shot_noise": "shot_noise", "impulse_noise": "impulse_noise",
    "defocus_blur": "defocus_blur", "glass_blur": "glass_blur", "motion_blur": "motion_blur", "zoom_blur": "zoom_blur",
    "snow": "snow", "frost": "frost", "fog": "fog", "brightness": "corruption_brightness",
    "contrast": "corruption_contrast", "elastic_transform": "elastic_transform", "pixelate": "pixelate",
    "jpeg_compression": "jpeg",
}  # fmt: skip
"""The fifteen, by their published names: the perturbation that each is."""
EXTRA = {
    "speckle_noise": "speckle_noise", "gaussian_blur": "corruption_gaussian_blur", "spatter": "spatter",
    "saturate": "saturate",
}  # fmt: skip
"""The four that were meant for validation."""
_Row = TypeVar("_Row", bound=Sequence[float])


def between_sizes(published: Mapping[int, Sequence[_Row]], height: int) -> list[list[float]]:
    """The rows of a table at this height: linear in log2(height) between the published ones, constant outside."""
    upper = next((size for size in SIZES if height <= size), SIZES[-1])
    lower = next((size for size in reversed(SIZES) if height >= size), SIZES[0])
    share = 0.0 if upper == lower else math.log2(height / lower) / math.log2(upper / lower)
    pairs = zip(published[lower], published[upper], strict=True)
    return [[a + share * (b - a) for a, b in zip(low, high, strict=True)] for low, high in pairs]


@dataclass(frozen=True)
class Published:
    """The parameters of one corruption. `levels`: by height, five rows of them.

    `identity`: the row of level 0, which changes nothing; None where a parameter does not matter there, and starts from
    its value at level 1.
    """

    identity: tuple[float | None, ...]
    levels: Mapping[int, Sequence[tuple[float, ...]]]

    def rows(self, height: int) -> list[list[float]]:
        """Levels 0 to 5 at this height."""
        five = between_sizes(self.levels, height)
        first = [a if b is None else b for a, b in zip(five[0], self.identity, strict=True)]
        return [first, *five]

    def at(self, level: Tensor, height: int) -> tuple[Tensor, ...]:
        """Each parameter for every image, (B,): between two levels on the straight line."""
        knots = torch.tensor(self.rows(height), dtype=level.dtype, device=level.device)
        below = level.detach().floor().clamp(0, 4).long()
        return torch.lerp(knots[below], knots[below + 1], (level - below)[:, None]).unbind(1)


# Corruptions with the formula of another perturbation are five severities of it.
_LADDERS: dict[str, dict[int, tuple[tuple[float, ...], ...]]] = {
    "gaussian_noise": {
        32: ((0.04, 0.06, 0.08, 0.09, 0.10),),
        64: ((0.04, 0.08, 0.12, 0.15, 0.18),),
        224: ((0.08, 0.12, 0.18, 0.26, 0.38),),
    },
    "jpeg_compression": {32: ((20, 35, 42, 50, 60),), 64: ((35, 42, 50, 60, 75),), 224: ((75, 82, 85, 90, 93),)},
}


def ladder(corruption: str, height: int) -> tuple[str, tuple[float, ...]]:
    """A published name -> the perturbation that it is and its severities at levels 1 to 5, for images of this height.

    Errors: `UnknownNameError` with the nearest names.
    """
    every = COMMON | EXTRA
    if corruption not in every:
        raise UnknownNameError("corruption", corruption, every)
    if corruption not in _LADDERS:
        return every[corruption], LEVELS
    (severities,) = between_sizes(_LADDERS[corruption], height)
    if corruption == "jpeg_compression":
        severities = [float(round(severity)) for severity in severities]
    return every[corruption], tuple(severities)
