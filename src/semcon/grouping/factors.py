"""What one image can take from another: its colour, brightness, contrast, place or background, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.imaging import luminance, warp

_SOME = 1e-4
Transplant = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
"""Images, donors, (B, 3, H, W) in [0, 1], masks of both or None, (B, 1, H, W) -> copies of the images."""


@dataclass(frozen=True)
class Factor:
    """`name`: as in rows, `colour_of_another`; `word`: as people say it; `masked`: whether it needs masks."""

    name: str
    word: str
    transplant: Transplant
    masked: bool = False


def _colour(x: Tensor, donor: Tensor, mask: Tensor | None, other: Tensor | None) -> Tensor:
    """Every pixel keeps its largest channel, and gets the donor's mean colour."""
    mean = donor.mean(dim=(2, 3), keepdim=True)
    return x.amax(dim=1, keepdim=True) * (mean / mean.amax(dim=1, keepdim=True).clamp_min(_SOME))


def _brightness(x: Tensor, donor: Tensor, mask: Tensor | None, other: Tensor | None) -> Tensor:
    """Scaled to the donor's mean luminance."""
    own, wanted = (luminance(each).mean(dim=(2, 3), keepdim=True) for each in (x, donor))
    return (x * (wanted / own.clamp_min(_SOME))).clamp(0, 1)


def _contrast(x: Tensor, donor: Tensor, mask: Tensor | None, other: Tensor | None) -> Tensor:
    """Stretched about its mean to the donor's spread of luminance."""
    mean = luminance(x).mean(dim=(2, 3), keepdim=True)
    own, wanted = (luminance(each).std(dim=(2, 3), keepdim=True) for each in (x, donor))
    return (mean + (x - mean) * (wanted / own.clamp_min(_SOME))).clamp(0, 1)


def _position(x: Tensor, donor: Tensor, mask: Tensor | None, other: Tensor | None) -> Tensor:
    """Moved so that its centre of mass lies where the donor's does; what comes in is the edge, not the object again."""
    shift = centre(donor, other) - centre(x, mask)
    one = torch.eye(2, dtype=x.dtype, device=x.device).expand(len(x), 2, 2)
    return warp(x, torch.cat((one, -shift[:, :, None]), dim=2), padding="border").clamp(0, 1)


def centre(x: Tensor, mask: Tensor | None) -> Tensor:
    """The centre of mass in pixels from the middle, right and down (B, 2): of the mask, else of what differs from the

    median of the edge.
    """
    if mask is None:
        grey = luminance(x)
        edge = torch.cat((grey[:, :, 0], grey[:, :, -1], grey[:, :, :, 0], grey[:, :, :, -1]), dim=2)
        mask = (grey - edge.median(dim=2).values[..., None, None]).abs()
    weight = mask / mask.sum(dim=(2, 3), keepdim=True).clamp_min(_SOME)
    height, width = x.shape[-2:]
    across, down = (torch.arange(side, dtype=x.dtype, device=x.device) - (side - 1) / 2 for side in (width, height))
    return torch.stack(((weight.sum(2)[:, 0] * across).sum(1), (weight.sum(3)[:, 0] * down).sum(1)), dim=1)


def _background(x: Tensor, donor: Tensor, mask: Tensor | None, other: Tensor | None) -> Tensor:
    """Its object before the donor's background, whose own object is covered by parts of that background."""
    assert mask is not None
    assert other is not None
    return torch.lerp(uncovered(donor, other), x, mask)


def uncovered(x: Tensor, mask: Tensor) -> Tensor:
    """The background alone: where the object is stands what is half a side away, else a quarter, else the mean."""
    height, width = x.shape[-2:]
    mean = (x * (1 - mask)).sum(dim=(2, 3), keepdim=True) / (1 - mask).sum(dim=(2, 3), keepdim=True).clamp_min(1)
    out, open_ = x * (1 - mask), mask
    for down, across in (
        (0, width // 2),
        (height // 2, 0),
        (height // 2, width // 2),
        (0, width // 4),
        (height // 4, 0),
    ):
        moved, free = (each.roll((down, across), dims=(2, 3)) for each in (x, 1 - mask))
        out, open_ = out + moved * free * open_, open_ * (1 - free)
    return out + mean * open_


FACTORS = (
    Factor("colour_of_another", "colour", _colour),
    Factor("brightness_of_another", "brightness", _brightness),
    Factor("contrast_of_another", "contrast", _contrast),
    Factor("position_of_another", "position", _position),
    Factor("background_of_another", "background", _background, masked=True),
)
