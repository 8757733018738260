"""What perturbations share: luminance, hue, affine warps and Gaussian blur on (B, C, H, W) batches in [0, 1].

Everything is differentiable, takes one number per image, and treats the canvas edge as a mirror that stands half a
pixel outside the outermost pixel centres (d c b a | a b c d | d c b a).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Padding = Literal["reflection", "zeros"]
LUMINANCE = (0.2989, 0.587, 0.114)
_TAIL = 9.0  # standard deviations after which a Gaussian is 0 in double precision


def per_image(value: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1), to broadcast against images."""
    return value.view(-1, 1, 1, 1)


def luminance(x: Tensor) -> Tensor:
    """The grey image, (B, 3, H, W) -> (B, 1, H, W). Source: torchvision rgb_to_grayscale (ITU-R 601-2)."""
    red, green, blue = x.split(1, dim=1)
    return (red * LUMINANCE[0]).add_(green, alpha=LUMINANCE[1]).add_(blue, alpha=LUMINANCE[2])


def mean_luminance(x: Tensor) -> Tensor:
    """The mean of each grey image, (B, 3, H, W) -> (B, 1, 1, 1)."""
    return luminance(x.mean(dim=(2, 3), keepdim=True))


def shift_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of (B, 3, H, W) by `turn` (B,), a share of the HSV circle; value and saturation stay.

    The result lies between the smallest and the largest channel of its pixel. Its gradient is finite everywhere;
    grey pixels stay as they are. Source: the hexagonal hue of torchvision adjust_hue, in closed form.
    """
    red, green, blue = x.split(1, dim=1)
    top = torch.maximum(torch.maximum(red, green), blue)
    bottom = torch.minimum(torch.minimum(red, green), blue)
    chroma = top - bottom
    is_red, is_green = top == red, top == green
    offset = torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0)).to(x)
    edge = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    hue = edge / chroma.clamp_min(1e-20) + offset + per_image(6 * turn)
    hue = hue - 6 * (hue.detach() / 6).floor()
    centre, sign, level = x.new_tensor([[3, 2, 4], [1, -1, -1], [-1, 2, 2]]).view(3, 1, 3, 1, 1)
    share = torch.addcmul(level, (hue - centre).abs(), sign).clamp(0, 1)
    return torch.addcmul(bottom, chroma, share)


def warp(x: Tensor, matrix: Tensor, padding: Padding = "reflection") -> Tensor:
    """Look up (B, C, H, W) bilinearly at affinely moved positions.

    `matrix`: (B, 2, 3) takes an output position, in pixels from the centre (x right, y down), to where its value is
    read in the input. Differentiable to both. Outside the canvas: its mirror image, or 0.
    """
    height, width = x.shape[-2:]
    side = matrix.new_tensor([width, height])
    scale = torch.cat((side, side.new_full((1,), 2.0)))
    normalised = matrix * scale / side[:, None]
    grid = F.affine_grid(normalised, [len(x), 1, height, width], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur (B, C, H, W) with a sampled Gaussian of `sigma` (B,) pixels, mirrored at the edges.

    Two matrix products with the whole mirrored kernel: continuous in sigma, any image size, kernels larger than it.
    """
    if len(sigma) > 1 and not sigma.requires_grad and bool((sigma == sigma[0]).all()):
        sigma = sigma[:1]
    rows = _mirrored_gaussian(sigma, x.shape[-2])
    columns = rows if x.shape[-1] == x.shape[-2] else _mirrored_gaussian(sigma, x.shape[-1])
    return rows.unsqueeze(1) @ x @ columns.unsqueeze(1).mT


def _mirrored_gaussian(sigma: Tensor, size: int) -> Tensor:
    """(B,) -> (B, size, size): row i holds the weights of every pixel for output pixel i; rows sum to 1."""
    mirrors = max(1, math.ceil(_TAIL * float(sigma.detach().max()) / (2 * size)))
    lag = torch.arange((2 * mirrors + 2) * size, dtype=sigma.dtype, device=sigma.device)
    width = sigma.clamp_min(1e-3)[:, None]
    kernel = torch.exp(-0.5 * (lag / width) ** 2) * (lag <= _TAIL * width)
    i = torch.arange(size, device=sigma.device)
    straight, mirrored = i[:, None] - i, i[:, None] + i + 1
    shifts = [2 * size * k for k in range(-mirrors, mirrors + 1)]
    weights = sum(kernel[:, (pattern + shift).abs()] for shift in shifts for pattern in (straight, mirrored))
    assert isinstance(weights, Tensor)
    return weights / weights.sum(dim=-1, keepdim=True)
