"""The Fourier heat map: how often a model errs when the image carries a wave, for every frequency.

Source: Yin et al., arXiv 1906.08988.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.fitting import fitting, nothing
from semcon.spectrum import basis_image, published_norm
from semcon.subject import Subject


@dataclass(frozen=True)
class FourierMap:
    """Error rates by frequency, 0 in the middle.

    `rows` (R,) and `columns` (C,): cycles per image, down and across; `errors` (R, C) in [0, 1]: the share of
    predictions that are not the label, or without labels not the untouched image's; `untouched`: the same without a
    wave; `images`: how many were tried; `norm`: of the wave, in each channel.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    errors: npt.NDArray[np.float64]
    untouched: float
    images: int
    norm: float


@dataclass(frozen=True)
class Frequencies:
    """The cells of a map: `rows` (R,), `columns` (C,), the different waves `waves` (n, 2), and each cell's `wave`."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    waves: Tensor
    wave: npt.NDArray[np.int64]

    @classmethod
    def of(cls, height: int, width: int, most: int) -> Frequencies:
        """Up to `most` (odd) frequencies a side.

        All of them where the canvas has no more (33 a side at 32 px: both ends are the same wave); else as many at
        equal steps over the whole spectrum. Opposite frequencies are one wave, so half of the cells are tried.
        """
        rows, columns = _axis(height, most), _axis(width, most)
        seen: dict[tuple[int, int], int] = {}
        wave = np.zeros((len(rows), len(columns)), np.int64)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                here, opposite = (row % height, column % width), (-row % height, -column % width)
                wave[i, j] = seen.setdefault(min(here, opposite), len(seen))
        return cls(rows, columns, torch.tensor(list(seen)), wave)


def _axis(size: int, most: int) -> tuple[int, ...]:
    reach, half = size // 2, most // 2
    if reach <= half:
        return tuple(range(-reach, reach + 1))
    return tuple(round(step * reach / half) for step in range(-half, half + 1))


def fourier_map(
    subject: Subject, batch: Batch, *, most: int, seed: int = 0, advance: Callable[[float], None] = nothing,
    note: Callable[[str], None] = nothing,
) -> FourierMap:  # fmt: skip
    """Every wave on every image of the batch: x + v r U, clipped, r a sign of its own in every channel.

    Signs are keyed by image and wave, and so is which of the two basis images of a frequency U is (they are a quarter
    of a cycle apart): what an error rate says of a frequency does not hang on where its crests lie.

    Costs 1 + n forward passes an image for the n different waves, which `advance` is told of.
    """
    height, width = batch.x.shape[-2:]
    grid, norm = Frequencies.of(height, width, most), published_norm(height, width)
    wrong = torch.zeros(len(grid.waves) + 1, dtype=torch.float64)

    @torch.no_grad()
    def tried(part: Batch) -> None:
        x, labels = part.x.to(subject.device), part.labels.to(subject.device)
        drawn = Keys(part.ids.to(x.device), seed, scope="fourier_map").bits("sign", (len(grid.waves), x.shape[1] + 1))
        signs, opposite = drawn[:, :, :-1, None, None] < 0, drawn[:, :, -1, None, None, None] < 0
        clean = subject(x).argmax(1)
        right = labels if bool((labels >= 0).all()) else clean
        counts = [(clean != right).sum()]
        for number, pair in enumerate(torch.stack((grid.waves, -grid.waves), dim=2).to(x.device)):
            one, other = norm * basis_image(pair[0], pair[1], height, width).to(x)
            wave = torch.where(opposite[:, number], other, one)
            copy = torch.where(signs[:, number], x - wave, x + wave).clamp_(0, 1)
            counts.append((subject(copy).argmax(1) != right).sum())
            advance(len(x))
        wrong.add_(torch.stack(counts).cpu())

    for _ in fitting(batch, tried, note):
        pass
    errors = (wrong / len(batch.x)).numpy()
    return FourierMap(grid.rows, grid.columns, errors[1:][grid.wave], float(errors[0]), len(batch.x), norm)
