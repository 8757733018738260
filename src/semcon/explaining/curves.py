"""Insertion and deletion: how the class's probability goes while the most important pixels are put in or taken away."""

from __future__ import annotations

import torch
from torch import Tensor

from semcon.class_score import class_probability, flat, parts
from semcon.core.concepts import Learner
from semcon.explaining.likeness import importance_order
from semcon.imaging import gaussian_blur
from semcon.keyed import Keys


@torch.no_grad()
def deletion(
    subject: Learner, x: Tensor, target: Tensor, maps: Tensor, baseline: Tensor, shares: Tensor
) -> Tensor:  # fmt: skip
    """Probability of the class, (S, B), with these shares (S,) of the pixels replaced, the most important ones first.

    Source: Petsiuk et al., arXiv 1806.07421.
    """
    place = places(maps)
    size = maps[0].numel()

    curve: list[Tensor] = []
    for part in parts(len(shares), x):
        gone = place < (shares[part] * size).round().view(-1, 1, 1, 1)
        copies = torch.where(gone[:, :, None], baseline, x)
        curve.append(class_probability(subject, flat(copies), target.repeat(len(copies))).view(len(copies), -1))
    return torch.cat(curve)


def insertion(
    subject: Learner, x: Tensor, target: Tensor, maps: Tensor, baseline: Tensor, shares: Tensor
) -> Tensor:  # fmt: skip
    """The same with these shares of the pixels put into the baseline."""
    return deletion(subject, baseline, target, maps, x, shares)


def area(curve: Tensor, shares: Tensor) -> Tensor:
    """Mean height of a curve (S, B) over its shares (S,), by the trapezoidal rule: (B,)."""
    return torch.trapezoid(curve, shares, dim=0) / (shares[-1] - shares[0])


def places(maps: Tensor) -> Tensor:
    """Which place each pixel has, 0 for the most important one: (B, H, W) int64."""
    order = importance_order(maps)
    rank = torch.arange(order.shape[1], device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter(1, order, rank).view(maps.shape)


def baseline(kind: str, x: Tensor, keys: Keys) -> Tensor:
    """What stands for nothing: "black", "mean" (the image's colour), "blur" (sd a tenth of the height), "noise".

    Noise is normal about the image's mean with its standard deviation, channel by channel, clipped.
    """
    if kind == "black":
        return torch.zeros_like(x)
    if kind == "blur":
        return gaussian_blur(x, x.new_full((len(x),), x.shape[2] / 10)).clamp(0, 1)
    mean = x.mean((2, 3), keepdim=True)
    if kind == "mean":
        return mean.expand_as(x)
    spread = x.std((2, 3), keepdim=True)
    return (mean + spread * keys.within("baseline").normal("noise", tuple(x.shape[1:])).to(x)).clamp(0, 1)
