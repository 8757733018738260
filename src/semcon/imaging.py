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

Padding = Literal["reflection", "zeros", "border"]
LUMINANCE = (0.2989, 0.587, 0.114)
_BLOCK = 1 << 16  # pixels worked on at once on a CPU, so that intermediate planes stay in its cache


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
    if x.device.type != "cpu" or (torch.is_grad_enabled() and (x.requires_grad or turn.requires_grad)):
        return _turned(x, turn)
    out, images = torch.empty_like(x), max(1, _BLOCK // (x.shape[-2] * x.shape[-1]))
    for block in (slice(start, start + images) for start in range(0, len(x), images)):
        out[block] = _turned(x[block], turn[block])
    return out


def _turned(x: Tensor, turn: Tensor) -> Tensor:
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
    read in the input. Differentiable to both. Outside the canvas: its mirror image, 0, or its edge.
    """
    height, width = x.shape[-2:]
    half = matrix.new_tensor([width / 2, height / 2])
    turn, shift = matrix.split((2, 1), dim=2)
    across, down = centred(width, matrix), centred(height, matrix)
    rows = across * (turn[:, None, :, 0] / half)
    columns = down * (turn[:, None, :, 1] / half) + shift.mT / half
    grid = rows[:, None] + columns[:, :, None]
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def centred(size: int, like: Tensor) -> Tensor:
    """Pixel positions along one side counted from the centre, (1, size, 1)."""
    return torch.arange(size, dtype=like.dtype, device=like.device).sub_((size - 1) / 2).view(1, -1, 1)


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur (B, C, H, W) with the discrete Gaussian of variance `sigma` ** 2 (B,) pixels, mirrored at the edges.

    The discrete Gaussian is diffusion on the pixel grid: unlike samples of the continuous one it has exactly this
    variance however small it is, and blurring twice adds variances. Source: Lindeberg, IEEE PAMI 12(3), 1990.
    """
    if sigma.device.type == "cpu" and not sigma.requires_grad and bool((sigma == sigma[0]).all()):
        sigma = sigma[:1]
    rows = _diffusion(sigma, x.shape[-2])
    columns = rows if x.shape[-1] == x.shape[-2] else _diffusion(sigma, x.shape[-1])
    return rows.unsqueeze(1) @ x @ columns.unsqueeze(1)


def _diffusion(sigma: Tensor, size: int) -> Tensor:
    """(B,) -> (B, size, size), symmetric: the weight of every pixel of a mirrored row for every other.

    Diffusion keeps the shape of each cosine of the DCT-II and shrinks it by exp(-sigma ** 2 (1 - cos(frequency))).
    """
    step = torch.arange(size, dtype=torch.float64, device=sigma.device) * (math.pi / size)
    cosines = torch.cos(step[:, None] * (torch.arange(size, device=sigma.device) + 0.5)) * math.sqrt(2 / size)
    cosines[0] = math.sqrt(1 / size)
    loss = 2 * torch.sin(step / 2) ** 2
    shrink = torch.exp(-(sigma**2)[:, None] * loss.to(sigma))
    basis = cosines.to(sigma)
    return (basis.mT * shrink[:, None, :]) @ basis
