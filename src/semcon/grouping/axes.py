"""What a perturbation changes, alone: mean hue, brightness, contrast, ...; for geometry the small grey image."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from semcon.imaging import luminance

Values = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) in [0, 1] -> (B, D)."""
Floats = npt.NDArray[np.float64]
NEIGHBOURS, FOLDS, SIDE = 15, 5, 14


def brightness(x: Tensor) -> Tensor:
    """Mean luminance."""
    return luminance(x).mean(dim=(2, 3))


def contrast(x: Tensor) -> Tensor:
    """The spread of luminance."""
    return luminance(x).flatten(1).std(dim=1, keepdim=True)


def saturation(x: Tensor) -> Tensor:
    """The mean of largest minus smallest channel."""
    return (x.amax(dim=1) - x.amin(dim=1)).mean(dim=(1, 2))[:, None]


def hue(x: Tensor) -> Tensor:
    """The mean of the chroma's direction as two numbers: a hue has no beginning."""
    red, green, blue = x.mean(dim=(2, 3)).unbind(1)
    return torch.stack(((2 * red - green - blue) / 2, math.sqrt(3) / 2 * (green - blue)), dim=1)


def sharpness(x: Tensor) -> Tensor:
    """The logarithm of the mean size of differences between neighbours: noise raises it, blur lowers it."""
    grey = luminance(x)
    rough = grey.diff(dim=2).abs().mean(dim=(1, 2, 3)) + grey.diff(dim=3).abs().mean(dim=(1, 2, 3))
    return rough.clamp_min(1e-4).log()[:, None]


def pixels(x: Tensor) -> Tensor:
    """The grey image at 14 x 14."""
    return functional.interpolate(luminance(x), size=(SIDE, SIDE), mode="area").flatten(1)


def _all(*parts: Values) -> Values:
    return lambda x: torch.cat([part(x) for part in parts], dim=1)


SEEN: dict[str, tuple[str, Values]] = {
    "brightness": ("mean brightness", brightness), "gamma": ("mean brightness", brightness),
    "contrast": ("contrast", contrast), "hue": ("mean hue", hue), "saturation": ("mean saturation", saturation),
    "grayscale": ("mean hue and saturation", _all(hue, saturation)),
    "color_jitter": ("hue, saturation, brightness, contrast", _all(hue, saturation, brightness, contrast)),
    "gaussian_noise": ("sharpness", sharpness), "gaussian_blur": ("sharpness", sharpness),
    "salt_and_pepper": ("sharpness", sharpness), "jpeg": ("sharpness", sharpness),
    "rotation": ("small grey image", pixels), "translation": ("small grey image", pixels),
    "scale": ("small grey image", pixels), "horizontal_flip": ("small grey image", pixels),
}  # fmt: skip
"""By perturbation what it changes, in words and as numbers."""
GEOMETRY = tuple(name for name, (_, values) in SEEN.items() if values is pixels)
"""Where what changes is all of the image, so that a model may answer too."""


def answers(own: Floats, copies: list[Floats], labels: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], seed: int):
    """What a classifier by 15 nearest neighbours says of images it has not learned from, and of their copies.

    Of classes with as many votes the nearer one, so that nothing hangs on their numbers.

    `own` (N, D); `copies`: each (N, D); `groups` (N,): equal for images that must stand in one fold. Returns (N,) and a
    list of (N,). Five folds; values standardised.
    """
    from sklearn.model_selection import GroupKFold
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    said, moved = np.zeros_like(labels), [np.zeros_like(labels) for _ in copies]
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    for learned, judged in folds.split(own, labels, groups):
        count = min(NEIGHBOURS, len(learned))
        neighbours = KNeighborsClassifier(count, weights=_nearer_in_ties)  # pyright: ignore[reportArgumentType]
        model = make_pipeline(StandardScaler(), neighbours).fit(own[learned], labels[learned])
        said[judged] = model.predict(own[judged])
        for place, copy in zip(moved, copies, strict=True):
            place[judged] = model.predict(copy[judged])
    return said, moved


def _nearer_in_ties(distance: Floats) -> Floats:
    """One vote each, and a little that decides between equals."""
    return 1 + 1e-6 / (1 + distance)
