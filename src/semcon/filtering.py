"""Filters as the common corruptions use them: sampled Gaussians, one-sided streaks, kernels, magnified centres.

All take (B, C, H, W), parameters of one number per image, and are differentiable to the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_FAINT = 1e-7  # a weight that no pixel shows
_BAND = 32  # rows of a matrix that are multiplied at once, where all far from the diagonal is 0
_WORTH_A_MATRIX = 8  # pixels to which a filter reaches; of a shorter one the sum is faster
BLOCK = 1 << 17  # pixels worked on at once on a CPU, so that what lies between stays in its cache
LARGE_BLOCK = 1 << 18  # of work in many short steps, whose calls take longer than their numbers


def in_blocks(
    work: Callable[[Tensor, dict[str, Tensor], Tensor], Tensor | tuple[Tensor, ...]],
    x: Tensor,
    unit: dict[str, Tensor],
    severity: Tensor,
    *,
    clip: bool = False,
    block: int = BLOCK,
) -> Tensor:
    """work(x, unit, severity), on a CPU a few images at a time where no gradient is asked for; each by itself.

    What is made may be several parts, from top to bottom. `clip`: to [0, 1], as each block is put in its place.
    `block`: pixels of one.
    """
    images = max(1, block // (x.shape[2] * x.shape[3]))
    recorded = torch.is_grad_enabled() and any(each.requires_grad for each in (x, severity, *unit.values()))
    if x.device.type != "cpu" or recorded or len(x) <= images:
        made = work(x, unit, severity)
        made = torch.cat(made, dim=2) if isinstance(made, tuple) else made
        return made.clamp(0, 1) if clip else made
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    for rows in (slice(start, start + images) for start in range(0, len(x), images)):
        made = work(x[rows], {name: value[rows] for name, value in unit.items()}, severity[rows])
        parts = made if isinstance(made, tuple) else (made,)
        for part, place in zip(parts, out[rows].split([part.shape[2] for part in parts], dim=2), strict=True):
            if clip:
                torch.clamp(part, 0, 1, out=place)
            else:
                place.copy_(part)
    return out


def sampled_gaussian(x: Tensor, sigma: Tensor, truncate: float = 4.0) -> Tensor:
    """Convolve with exp(-k**2 / (2 sigma**2)) at whole k up to `truncate` sigma (B,); the edge pixels go on outside.

    Of sigma below one pixel it is narrower than its name. Source: skimage.filters.gaussian, mode "nearest".
    """
    reaches = (truncate * sigma + 0.5).floor()
    reach = int(reaches.max())
    taps = torch.arange(reach + 1, dtype=sigma.dtype, device=sigma.device)
    weights = torch.exp(-0.5 * (taps / sigma.clamp_min(1e-3)[:, None]) ** 2) * (taps <= reaches[:, None])
    weights = weights / (2 * weights.sum(1, keepdim=True) - 1)
    same = weights.device.type == "cpu" and not weights.requires_grad and bool((weights == weights[0]).all())
    if same and reach >= _WORTH_A_MATRIX:
        rows, columns = (_going_on(weights[0], size) for size in x.shape[2:])
        return banded(x, rows, columns.mT, reach)
    return _symmetric(_symmetric(x, weights, 2, same), weights, 3, same)


def _going_on(weights: Tensor, size: int) -> Tensor:
    """A symmetric filter, given from its middle on (1 + reach), as a matrix; the edge pixels go on outside."""
    taps = torch.arange(1 - len(weights), len(weights), device=weights.device)
    place = (torch.arange(size, device=weights.device)[:, None] + taps).clamp_(0, size - 1)
    return weights.new_zeros(size, size).scatter_add_(1, place, weights[taps.abs()].expand(size, -1))


def banded(x: Tensor, rows: Tensor, columns: Tensor, reach: int) -> Tensor:
    """rows @ x @ columns, of matrices that are 0 farther than `reach` from the diagonal; on a CPU within bands alone.

    `rows`: (H, H) or (B, 1, H, H); `columns`: (W, W) or (B, 1, W, W).
    """
    if x.device.type != "cpu":
        return rows @ x @ columns
    x = torch.cat([rows[..., out, near] @ x[..., near, :] for out, near in _bands(x.shape[2], reach)], dim=2)
    return torch.cat([x[..., near] @ columns[..., near, out] for out, near in _bands(x.shape[3], reach)], dim=3)


def _bands(size: int, reach: int) -> list[tuple[slice, slice]]:
    """A few rows, and what they are made of."""
    starts = range(0, size, _BAND)
    return [(slice(i, i + _BAND), slice(max(0, i - reach), i + _BAND + reach)) for i in starts]


def _symmetric(x: Tensor, weights: Tensor, dim: int, same: bool) -> Tensor:
    """Along one dimension: the middle weight, then both neighbours at 1, 2, ... (B, 1 + reach); `same` for all."""
    reach, size = weights.shape[1] - 1, x.shape[dim]
    wide = replicated(x, reach, reach, dim)
    places = [(reach + side * tap, tap) for tap in range(1, reach + 1) for side in (-1, 1)]
    if same:
        shared = weights[0].tolist()
        out = x * shared[0]
        for place, tap in places:
            out.add_(wide.narrow(dim, place, size), alpha=shared[tap])
        return out
    out = x * weights[:, 0].view(-1, 1, 1, 1)
    for place, tap in places:
        out = out.addcmul_(wide.narrow(dim, place, size), weights[:, tap].view(-1, 1, 1, 1))
    return out


def gaussian_matrix(sigma: Tensor, size: int, truncate: float) -> Tensor:
    """Sampled Gaussians as matrices (B, size, size), the row a mirror image outside (c b a | a b c), symmetric.

    `sigma`: (B,), any number of sizes. Source: skimage.filters.gaussian, mode "reflect".
    """
    images, sigma = len(sigma), _once_if_equal(sigma)
    reach = (truncate * sigma + 0.5).floor()
    place = torch.arange(size, dtype=sigma.dtype, device=sigma.device)
    apart, across = (place[:, None] - place).abs(), place[:, None] + place + 1
    fall = -0.5 / sigma.clamp_min(1e-3).square()
    far = torch.arange(2 * size * (int(reach.max()) // (2 * size) + 2), dtype=sigma.dtype, device=sigma.device)
    weights = torch.exp(fall[:, None] * far * far) * (far <= reach[:, None])
    total = 2 * weights.sum(1, keepdim=True) - 1
    weights, folded = weights / total, torch.zeros_like(weights[:, : 2 * size])
    for start in range(0, len(far), 2 * size):  # to the right of a pixel, and of its images
        folded = folded + weights[:, start : start + 2 * size]
    left = weights.clone()
    left[:, 0] = 0
    for start in range(0, len(far), 2 * size):
        part = left[:, start : start + 2 * size]
        folded = folded + torch.cat((part[:, :1], part[:, 1:].flip(1)), dim=1)
    return (folded[:, apart.long()] + folded[:, across.long() % (2 * size)]).expand(images, -1, -1)


def _once_if_equal(value: Tensor) -> Tensor:
    """(B,) as (1,) where one number serves all images; looked at on a CPU alone, others would have to wait."""
    equal = value.device.type == "cpu" and not value.requires_grad and bool((value == value[0]).all())
    return value[:1] if equal else value


def replicated(x: Tensor, before: int, after: int, dim: int) -> Tensor:
    """The edge pixels repeated outside, any number of times."""
    sides = (0, 0, before, after) if dim == 2 else (before, after, 0, 0)
    return F.pad(x, sides, mode="replicate")


def streak(x: Tensor, radius: Tensor, sigma: Tensor, degrees: Tensor) -> Tensor:
    """Smear every image to one side: the mean of pixels on a ray, weights falling like half a Gaussian of `sigma`.

    The ray has 1 + 2 `radius` pixels (B,), the last one in part where that is no whole number, at an angle of `degrees`
    (B,) from the x axis towards y; its points are rounded to pixels and stay inside the image. Source: ImageMagick's
    motion blur. Each image has its own ray: on a CPU one after the other, whose pixels then lie together, else all
    at once, step by step along the rays.
    """
    rays = _rays(radius, sigma, degrees)
    if x.device.type != "cpu":
        return _gathered_along(x, *rays)
    return torch.cat(
        [_streak(x[i : i + 1], *ray) for i, ray in enumerate(zip(*(part.tolist() for part in rays), strict=True))]
    )


def _rays(radius: Tensor, sigma: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights with sum 1, and the rows and columns that the points lie off, (B, points) each, on the CPU."""
    width, sigma, angle = 1 + 2 * radius.cpu().double(), sigma.cpu().double(), degrees.cpu().double().deg2rad()
    point = torch.arange(math.ceil(float(width.max())), dtype=torch.float64, device="cpu")
    weights = (-0.5 * (point / sigma[:, None]) ** 2).exp() * (width[:, None] - point).clamp(0, 1)
    weights = weights.where(weights > _FAINT, 0)
    rows, columns = ((point * part[:, None] - 0.5).ceil().long() for part in (angle.sin(), angle.cos()))
    return weights / weights.sum(1, keepdim=True), rows, columns


def _streak(x: Tensor, weights: list[float], rows: list[int], columns: list[int]) -> Tensor:
    count = sum(weight > 0 for weight in weights)
    rows, columns = rows[:count], columns[:count]
    top, left = -min(rows), -min(columns)
    wide = replicated(replicated(x, top, max(rows), 2), left, max(columns), 3)
    out, (height, length) = torch.zeros_like(x), x.shape[2:]
    for weight, row, column in zip(weights[:count], rows, columns, strict=True):
        out = out.add_(wide[:, :, top + row : top + row + height, left + column : left + column + length], alpha=weight)
    return out


def _gathered_along(x: Tensor, weights: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    weights, rows, columns = weights.to(x), rows.to(x.device), columns.to(x.device)
    height, width = x.shape[2:]
    down, along = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    flat, out = x.flatten(2), torch.zeros_like(x).flatten(2)
    for point in range(weights.shape[1]):
        row = (down + rows[:, point, None]).clamp(0, height - 1)
        place = row[:, :, None] * width + (along + columns[:, point, None]).clamp(0, width - 1)[:, None]
        out.addcmul_(flat.gather(2, place.flatten(1)[:, None].expand_as(flat)), weights[:, point, None, None])
    return out.view_as(x)


def convolve(x: Tensor, kernel: Tensor, *, clip: bool = False) -> Tensor:
    """Convolve with a kernel symmetric about its centre, (B or 1, K, K), K odd; mirrored about the edge pixels.

    By Fourier transform, on a CPU a few images at a time; `clip`: to [0, 1]. An image's upper half is the real part of
    what is transformed, its lower half the imaginary one. Edge as by default in OpenCV: (d c b | a b c d | c b a).
    """
    reach, (height, width) = kernel.shape[-1] // 2, x.shape[2:]
    half = (height + 1) // 2
    sides = [_fast(side + 2 * reach) for side in (half, width)]
    known = torch.view_as_real(torch.fft.fft2(kernel, s=sides)).expand(len(x), -1, -1, -1)

    below, right = sides[0] - half - reach, sides[1] - width - reach

    def some(x: Tensor, unit: dict[str, Tensor], _: Tensor) -> tuple[Tensor, Tensor]:
        wide = mirrored(x, (reach, below), (reach, right))
        spectrum = torch.fft.fft2(torch.complex(wide[:, :, : sides[0]], wide[:, :, height - half :]))
        spectrum *= torch.view_as_complex(unit["kernel"]).unsqueeze(1)
        made = torch.fft.ifft2(spectrum)[:, :, 2 * reach : 2 * reach + half, 2 * reach : 2 * reach + width]
        return made.real, made.imag[:, :, 2 * half - height :]

    return in_blocks(some, x, {"kernel": known}, x.new_zeros(len(x)), clip=clip)


def mirrored(x: Tensor, rows: tuple[int, int] = (0, 0), columns: tuple[int, int] = (0, 0)) -> Tensor:
    """As many more rows before and after, and columns, any number: the mirror image about the edge pixels."""
    if max(rows) < x.shape[2] and max(columns) < x.shape[3]:
        return F.pad(x, (*columns, *rows), mode="reflect")
    for dim, (before, after) in ((2, rows), (3, columns)):
        period = 2 * x.shape[dim] - 2
        place = torch.arange(-before, x.shape[dim] + after, device=x.device).remainder(max(1, period))
        x = x.index_select(dim, torch.minimum(place, (period - place).abs()))
    return x


def _fast(size: int) -> int:
    """The next multiple of 4 that is a product of 2, 3, 5 and 7."""
    size = -(-size // 4) * 4
    while size != math.prod(p ** _power(size, p) for p in (2, 3, 5, 7)):
        size += 4
    return size


def _power(size: int, prime: int) -> int:
    count = 0
    while size % prime == 0:
        size, count = size // prime, count + 1
    return count


def magnify(x: Tensor, factor: Tensor) -> Tensor:
    """Blow up the centre of every image by `factor` >= 1 (B,), bilinear between corner pixels, at the same size.

    In whole pixels as published: the middle ceil(H / f) rows are stretched to round(f ceil(H / f)), of which the middle
    H are kept; so too the columns.
    """
    if x.device.type == "cpu":
        factors = factor.tolist()
        if len(set(factors)) == 1:
            return _magnified(x, factors[0])
        return torch.cat([_magnified(x[i : i + 1], each) for i, each in enumerate(factors)])
    rows, columns = (_stretched(side, factor) * (2 / max(1, side - 1)) - 1 for side in x.shape[2:])
    grid = torch.empty((len(rows), *x.shape[2:], 2), dtype=rows.dtype, device=x.device)
    grid[..., 0], grid[..., 1] = columns[:, None], rows[:, :, None]
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)


def _magnified(x: Tensor, factor: float) -> Tensor:
    """All by the same factor."""
    cut = [math.ceil(side / factor - 1e-3) for side in x.shape[2:]]
    made = [round(part * factor) for part in cut]
    top, left = ((side - part) // 2 for side, part in zip(x.shape[2:], cut, strict=True))
    above, before = ((whole - side) // 2 for side, whole in zip(x.shape[2:], made, strict=True))
    wide = F.interpolate(x[:, :, top : top + cut[0], left : left + cut[1]], made, mode="bilinear", align_corners=True)
    return wide[:, :, above : above + x.shape[2], before : before + x.shape[3]]


def _stretched(size: int, factor: Tensor) -> Tensor:
    """Where each of `size` pixels is read, (B, size) in pixels."""
    cut = (size / factor - 1e-3).ceil()
    made = (cut * factor).round()
    step = (cut - 1) / (made - 1).clamp_min(1)
    first = ((size - cut) / 2).floor() + ((made - size) / 2).floor() * step
    return first[:, None] + torch.arange(size, dtype=factor.dtype, device=factor.device) * step[:, None]


def between(size: int, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `magnify` reads along one side for a `factor` (1,): two pixels for each and the second's share, (size,)."""
    place = _stretched(size, factor)[0].clamp_(0, size - 1)
    low = place.floor()
    return low.int(), (low + 1).clamp_max_(size - 1).int(), place - low
