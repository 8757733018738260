"""Zoom blur: the lens zoomed while the shutter was open."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import LARGE_BLOCK, between, in_blocks, magnify
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_FARTHEST_AND_STEP = Published(
    identity=(0.0, None),
    levels={
        32: ((0.06, 0.01), (0.11, 0.01), (0.15, 0.01), (0.2, 0.01), (0.25, 0.01)),
        64: ((0.06, 0.01), (0.11, 0.01), (0.15, 0.01), (0.2, 0.01), (0.25, 0.01)),
        224: ((0.11, 0.01), (0.15, 0.01), (0.2, 0.02), (0.24, 0.02), (0.3, 0.03)),
    },
)
_ROWS = 1 << 17  # numbers of them, whose magnifications are made one after the other
_MANY = 4  # images that are worth being laid side by side
_ABOVE = 1e-6  # published factors are sums, a little above 1.25 and so on: halves of a pixel are rounded up


@dataclass(frozen=True)
class ZoomBlur(Perturbation):
    """The mean of the image and of its magnifications by 1, 1 + h, 1 + 2 h, ... 1 + z.

    z runs from 0.11 to 0.3 at 224 px, in steps h of 0.01 to 0.03; 0.06 to 0.25 in steps of 0.01 at 32 px. Where z / h
    is no whole number a last magnification counts in part. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "blur_and_coding"
    unit = UNIT
    source = SOURCE
    parameters = "fixed"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """(x + sum of w_j x magnified by 1 + j h) / (1 + sum of w_j)."""
        return in_blocks(self._some, x, unit, severity, clip=True, block=2 * LARGE_BLOCK)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        farthest, step = _FARTHEST_AND_STEP.at(severity.detach(), x.shape[-2])
        steps = farthest / step
        many = x.device.type == "cpu" and len(x) >= _MANY and not (x.requires_grad and torch.is_grad_enabled())
        if many and bool((severity == severity[0]).all()):
            return _together(x, float(farthest[0]), float(step[0]))
        out = x * 2
        for number in range(1, int((steps - 1e-3).max().ceil()) + 1):
            weight = (steps - (number - 1)).clamp(0, 1)
            out = out.addcmul_(magnify(x, 1 + number * step + _ABOVE), per_image(weight))
        return out / per_image(2 + steps)


def _together(x: Tensor, farthest: float, step: float) -> Tensor:
    """The same for all images, which lie side by side, so that their pixels are read whole; a few rows at a time."""
    steps, (height, width), last = farthest / step, x.shape[2:], x.permute(2, 3, 0, 1).flatten(2).contiguous()
    factors = [x.new_full((1,), 1 + number * step + _ABOVE) for number in range(1, math.ceil(steps - 1e-3) + 1)]
    rows = [between(height, factor) for factor in factors]
    columns = [between(width, factor) for factor in factors]
    shares = [share[:, None].expand(-1, last.shape[2]).contiguous() for *_, share in columns]
    out, count = torch.empty_like(last), max(1, _ROWS // last[0].numel())
    for band in (slice(start, start + count) for start in range(0, height, count)):
        total = torch.mul(last[band], 2, out=out[band])
        for number, (low, high, share) in enumerate(rows):
            read = last.index_select(0, low[band])
            read.lerp_(last.index_select(0, high[band]), share[band, None, None])
            left, right, _ = columns[number]
            read = read.index_select(1, left).lerp_(read.index_select(1, right), shares[number])
            total.add_(read, alpha=min(1.0, steps - number))
        total.div_(2 + steps)
    return out.view(height, width, *x.shape[:2]).permute(2, 3, 0, 1)
