"""Images by their frequencies: the radius of each, a filter that keeps the low ones, and basis images of one each.

Frequencies are counted in cycles per image, down and across. The radius of one is its distance from 0 in cycles per
pixel, as a share of the largest there is, at the corner of the spectrum: 1 / sqrt(2) for the Nyquist frequency along
one side. So a radius means the same share of what a canvas can carry, whatever its size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CORNER = math.sqrt(0.5)  # cycles per pixel


def low_frequencies(x: Tensor, kept: Tensor) -> Tensor:
    """The part of (B, C, H, W) at radii below `kept` (B,), 0 to 1; the mean colour always stays.

    Exact from the first frequency a whole step below the cut on, and linear in `kept` within that step, so that a
    filter is continuous and no rounding decides about a frequency. What this leaves of x is the part above.
    """
    height, width = x.shape[-2:]
    rows = torch.fft.fftfreq(height, dtype=x.dtype, device=x.device)
    columns = torch.fft.rfftfreq(width, dtype=x.dtype, device=x.device)
    radius = (rows[:, None] ** 2 + columns**2).sqrt() / CORNER
    step = 1 / (CORNER * min(height, width))
    mask = ((kept.view(-1, 1, 1, 1) * (1 + step) - radius) / step).clamp(0, 1)
    mask = torch.where(radius == 0, 1, mask)
    return torch.fft.irfft2(torch.fft.rfft2(x) * mask, s=(height, width))


def basis_image(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """One basis image per frequency (N,), (N,) in cycles per image: (N, H, W), float64, each of L2 norm 1.

    cos + sin of the phase, so that one formula serves the frequencies that are their own mirror image too; all H W of
    them are orthonormal, and each has at most two frequencies, which are opposite. Source: Hartley, Proc. IRE 30(3),
    1942; Bracewell, JOSA 73(12), 1983.
    """
    down = torch.arange(height, dtype=torch.float64, device=rows.device) / height
    across = torch.arange(width, dtype=torch.float64, device=rows.device) / width
    below, right = 2 * math.pi * rows.double()[:, None] * down, 2 * math.pi * columns.double()[:, None] * across
    straight, turned = right.cos() + right.sin(), right.cos() - right.sin()
    wave = below.cos()[:, :, None] * straight[:, None] + below.sin()[:, :, None] * turned[:, None]
    return wave / math.sqrt(height * width)


def published_norm(height: int, width: int) -> float:
    """The L2 norm that a basis image gets in each channel: 4 at 32 px and 15.7 at 224 px, in between a power law.

    Source: Yin et al., arXiv 1906.08988, for values in [0, 1].
    """
    side = math.sqrt(height * width)
    return 4.0 * (side / 32) ** (math.log(15.7 / 4) / math.log(224 / 32))
