"""How alike two maps of one image are: four measures, (B, H, W) against (B, H, W) -> (B,), 1 where equal.

NaN where one of the maps says the same everywhere: then there is nothing to compare.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TOP = 0.1  # the share of pixels that are a map's most important ones


def likeness(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """All of them by name."""
    return {name: measure(a, b) for name, measure in MEASURES.items()}


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's, ties at their mean rank."""
    return _told(_cosine(*(_centred(_ranks(one.flatten(1).double())) for one in (a, b))), a, b)


def rank_correlation_of_support(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's over the pixels where one of the maps is not 0.

    Zeros that two maps share tell where a network cannot look, or what a ReLU cuts off, and not what it has learned.
    """
    x, y = (one.flatten(1).double() for one in (a, b))
    kept = (x != 0) | (y != 0)
    ranks = (_ranks(one.masked_fill(~kept, torch.inf)) for one in (x, y))
    centred = ((rank - (rank * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)) * kept for rank in ranks)
    return _told(_cosine(*centred), a, b)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Of the maps as vectors, not centred."""
    return _told(_cosine(a.flatten(1).double(), b.flatten(1).double()), a, b)


def top_overlap(a: Tensor, b: Tensor) -> Tensor:
    """Which share of the tenth of the pixels with the largest values is the same: common ones over the larger set."""
    first, second = (most_important(one, TOP) for one in (a, b))
    return _told((first & second).sum(1) / torch.maximum(first.sum(1), second.sum(1)), a, b)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of the maps, each over its largest absolute value and then from [-1, 1] to [0, 1].

    Gaussian windows of 11 pixels (sd 1.5), only where they fit. Source: Wang et al. 2004.
    """
    x, y = (_scaled(one)[:, None].double() for one in (a, b))
    reach = min(5, (min(a.shape[1:]) - 1) // 2)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=a.device).double() / 1.5) ** 2)
    line = line / line.sum()

    def blurred(image: Tensor) -> Tensor:
        return functional.conv2d(functional.conv2d(image, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))

    both = torch.cat([x, y, x * x, y * y, x * y])
    mean_x, mean_y, xx, yy, xy = blurred(both).chunk(5)
    c1, c2 = 0.01**2, 0.03**2
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
    return _told((light * structure).mean((1, 2, 3)), a, b)


MEASURES = {"rank_correlation": rank_correlation, "ssim": ssim, "top_overlap": top_overlap, "cosine": cosine}


def most_important(maps: Tensor, share: float) -> Tensor:
    """Which pixels have the largest values, about this share: (B, H, W) -> (B, H W) bool.

    Equal values are all among them or all not, whichever is nearer to the share; at least one value is. So the zeros of
    a sparse map are not important.
    """
    values = maps.flatten(1)
    count = max(1, round(share * values.shape[1]))
    least = values.topk(count, dim=1).values[:, -1:]
    above, with_equal = values > least, values >= least
    short, over = count - above.sum(1, keepdim=True), with_equal.sum(1, keepdim=True) - count
    return torch.where((short == count) | (over <= short), with_equal, above)


def importance_order(maps: Tensor) -> Tensor:
    """The pixels of every map, the largest value first: (B, H, W) -> (B, H W); equal ones in an order without form."""
    values = maps.flatten(1)
    mixed = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0)).to(maps.device)
    return mixed[values[:, mixed].sort(dim=1, descending=True, stable=True).indices]


def blank(maps: Tensor) -> Tensor:
    """Whether a map says the same everywhere, or nothing finite: (B,)."""
    values = maps.flatten(1)
    return ~(values.amax(1) > values.amin(1)) | ~values.isfinite().all(1)


def _told(values: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return values.float().masked_fill(blank(a) | blank(b), torch.nan)


def _scaled(maps: Tensor) -> Tensor:
    return 0.5 + maps / (2 * maps.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny))


def _ranks(values: Tensor) -> Tensor:
    ordered = values.sort(1).values
    first, last = (torch.searchsorted(ordered, values, right=side) for side in (False, True))
    return (first + last).double() / 2


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
