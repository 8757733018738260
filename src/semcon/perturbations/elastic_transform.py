"""Elastic transform: a random affine map, then a rubber sheet pulled here and there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import banded, gaussian_matrix, in_blocks
from semcon.imaging import per_image
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_PULL_WIDTH_SHIFT = Published(  # in heights of the image
    identity=(0.0, None, 0.0),
    levels={
        32: ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        64: ((0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
        224: [
            tuple(share * 244 / 224 for share in row)  # the published 244 for 224
            for row in ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
        ],
    },
)
_THIN = 1e-3  # square pixels
_TRUNCATE = 3.0  # standard deviations of the Gaussian


@dataclass(frozen=True)
class ElasticTransform(Perturbation):
    """Move three corners of a square at random, which turns, shears and scales; then displace every pixel smoothly.

    Corners move by up to 2 to 20 % of the height along each axis. The displacement is uniform noise, blurred by a
    Gaussian, times a factor: at 224 px waves as wide as the image at level 1, of 2.4 pixels from level 3 on. Both
    look-ups are bilinear, with the mirror image outside. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "geometry"
    unit = UNIT
    source = SOURCE
    parameters = "box"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    moves_pixels = True
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`corners`: (B, 3, 2), x before y; `pull`: (B, 2, H, W), along x and along y."""
        pull = keys.signed("pull", (2, *like.shape[2:])).to(like)
        return {"corners": keys.signed("corners", (3, 2)).to(like), "pull": pull}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x looked up twice."""
        return self._moved(x, unit, severity, clip=True)

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """The map moved along with the image."""
        return torch.where(per_image(severity == 0), aligned, self._moved(aligned, unit, severity))

    def _moved(self, x: Tensor, unit: Unit, severity: Tensor, *, clip: bool = False) -> Tensor:
        width = _PULL_WIDTH_SHIFT.at(severity, x.shape[2])[1] * x.shape[2]
        rows, columns = (gaussian_matrix(width, size, truncate=_TRUNCATE) for size in x.shape[2:])
        look_up = partial(_looked_up, reach=int(_TRUNCATE * float(width.max()) + 0.5))
        return in_blocks(look_up, x, {**unit, "rows": rows, "columns": columns}, severity, clip=clip)


def _looked_up(x: Tensor, unit: Unit, severity: Tensor, reach: int) -> Tensor:
    height, width = x.shape[2:]
    pull, _, shift = (each * height for each in _PULL_WIDTH_SHIFT.at(severity, height))
    tilted = _affine(x, unit["corners"] * shift.view(-1, 1, 1))
    rows, columns = (each[0] if each.stride(0) == 0 else each[:, None] for each in (unit["rows"], unit["columns"]))
    across, down = (banded(unit["pull"], rows, columns, reach) * per_image(2 * pull)).unbind(1)
    grid = x.new_empty(len(x), height, width, 2)
    grid[..., 0] = _middles(width, x) + across / width
    grid[..., 1] = _middles(height, x)[:, None] + down / height
    return F.grid_sample(tilted, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _middles(size: int, like: Tensor) -> Tensor:
    """Of the pixels of a row, which goes from -1 to 1."""
    return (torch.arange(size, dtype=like.dtype, device=like.device) * 2 + 1) / size - 1


def _affine(x: Tensor, shift: Tensor) -> Tensor:
    """The three corners of a square about the middle, moved by `shift` (B, 3, 2) pixels, take the image along."""
    height, width = x.shape[2:]
    side = min(height, width) // 3
    middle = x.new_tensor([width // 2, height // 2])
    corners = middle + side * x.new_tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    moved = corners + shift
    half = x.new_tensor([(width - 1) / 2, (height - 1) / 2])
    turn = _divided(corners.diff(dim=0), moved.diff(dim=1))
    offset = (((half - moved[:, :1]) @ turn)[:, 0] + corners[0]) / half - 1
    turn = turn * half[:, None] / half
    across = torch.linspace(-1, 1, width, dtype=x.dtype, device=x.device)[:, None]
    down = torch.linspace(-1, 1, height, dtype=x.dtype, device=x.device)[:, None]
    along, below = across * turn[:, None, 0], down * turn[:, None, 1] + offset[:, None]
    grid = x.new_empty(len(x), height, width, 2)
    for part in range(2):
        grid[..., part] = along[:, None, :, part] + below[:, :, None, part]
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def _divided(edges: Tensor, moved: Tensor) -> Tensor:
    """The matrix M (B, 2, 2) with `moved` M = `edges`, rows being edges; finite where moved corners lie on a line."""
    (a, b), (c, d) = (row.unbind(1) for row in moved.unbind(1))
    area = a * d - b * c
    area = torch.where(area.abs() < _THIN, _THIN, area)
    inverse = torch.stack((d, -b, -c, a), dim=1) / area[:, None]
    return inverse.view(-1, 2, 2) @ edges
