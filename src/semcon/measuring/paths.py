"""How straight and how even a path is: an output watched while a severity grows from 0 in equal steps."""

from __future__ import annotations

import torch
from torch import Tensor

STILL = 1e-3  # below this share of the start's norm the bends of a path are rounding: N^2 times 4e-7 of it


def straightness(points: Tensor) -> Tensor:
    """The distance between a path's ends over its length: (N + 1, B, D) -> (B,), 1 where straight, NaN where it stays.

    In [0, 1] whatever the scale of the points. Source: the straightness index of Batschelet (1981); its inverse is the
    arc-chord ratio.
    """
    chord = torch.linalg.vector_norm(points[-1] - points[0], dim=1)
    return _moving(points, chord / _lengths(points).sum(0)).clamp(max=1)


def path_curvature(points: Tensor) -> Tensor:
    """N times the mean second difference over the mean first one: (N + 1, B, D) -> (B,), 0 for an even straight path.

    The mean size of the acceleration over the mean speed, with the whole path as unit of time: 2 for even acceleration
    from rest. Scaling the points, or the severity, changes nothing; jumps give at most 2 N^2 / (N - 1).
    NaN where the path stays.
    """
    second = torch.linalg.vector_norm(points[2:] - 2 * points[1:-1] + points[:-2], dim=2).mean(0)
    return _moving(points, (len(points) - 1) * second / _lengths(points).mean(0))


def _lengths(points: Tensor) -> Tensor:
    return torch.linalg.vector_norm(points[1:] - points[:-1], dim=2)


def _moving(points: Tensor, values: Tensor) -> Tensor:
    start = torch.linalg.vector_norm(points[0], dim=1)
    return values.where(_lengths(points).sum(0) > STILL * start, torch.nan)
