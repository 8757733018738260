"""Waves laid over images: which frequencies are tried, what a model says to each, and the Fourier heat map of it.

Source: Yin et al., arXiv 1906.08988.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from semcon.core.table import SampleTable
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.spectrum import CORNER, basis_image, published_norm
from semcon.subject import Subject

NAME, BANDS = "fourier_noise", 8
Frequency = tuple[int, int]
"""Cycles per image, down and across."""


@dataclass(frozen=True)
class Waves:
    """The frequencies of a map of up to `most` (odd) a side, and how many of them each image tries.

    All frequencies where the canvas has no more (33 a side at 32 px: both ends are the same wave), else as many at
    equal steps over the whole spectrum. Opposite ones are one wave. Waves are sorted into eight bands of equal width by
    the radius of their frequency; every image tries `share` of each band, spread evenly over its directions.
    """

    height: int
    width: int
    most: int
    share: float

    @staticmethod
    def centres() -> tuple[float, ...]:
        """The middles of all bands."""
        return tuple((band + 0.5) / BANDS for band in range(BANDS))

    @property
    def rows(self) -> tuple[int, ...]:
        """Frequencies of the map, from the top."""
        return _axis(self.height, self.most)

    @property
    def columns(self) -> tuple[int, ...]:
        """Frequencies of the map, from the left."""
        return _axis(self.width, self.most)

    def same(self, row: int, column: int) -> Frequency:
        """The one name of a frequency, its opposite, and what looks like it on these pixels."""
        here, opposite = (row % self.height, column % self.width), (-row % self.height, -column % self.width)
        return min(here, opposite)

    @cached_property
    def bands(self) -> dict[float, tuple[Frequency, ...]]:
        """The different waves by the middle of their band, by direction; empty bands are left out."""
        found: dict[int, dict[Frequency, Frequency]] = {band: {} for band in range(BANDS)}
        for row in self.rows:
            for column in self.columns:
                radius = math.hypot(row / self.height, column / self.width) / CORNER
                band = min(BANDS - 1, int(radius * BANDS))
                found[band].setdefault(self.same(row, column), (row, column))
        return {
            self.centres()[band]: tuple(sorted(waves.values(), key=lambda wave: math.atan2(*wave)))
            for band, waves in found.items()
            if waves
        }

    def tries(self, centre: float) -> int:
        """How many waves of a band each image gets."""
        return math.ceil(self.share * len(self.bands[centre]))

    @property
    def passes(self) -> int:
        """The same over all bands."""
        return sum(self.tries(centre) for centre in self.bands)

    def chosen(self, keys: Keys, centre: float) -> tuple[Tensor, Tensor]:
        """Frequencies (B, tries, 2) and signs (B, tries, 3) of every image's waves in a band, keyed by its id.

        A random one of a frequency and its opposite, which is the wave a quarter of a cycle on: what an error rate
        says of a frequency does not hang on where its crests lie.
        """
        band, tries, keys = self.bands[centre], self.tries(centre), keys.within(f"{centre:g}")
        place = keys.uniform("place")[:, None].double() + torch.arange(tries, device=keys.device)
        number = (place * (len(band) / tries)).long().clamp(max=len(band) - 1)
        ends = 1 - 2 * (keys.bits("side", (tries, 4)) < 0).long()
        return torch.tensor(band, device=keys.device)[number] * ends[:, :, :1], ends[:, :, 1:]


def _axis(size: int, most: int) -> tuple[int, ...]:
    reach, half = size // 2, most // 2
    if reach <= half:
        return tuple(range(-reach, reach + 1))
    return tuple(round(step * reach / half) for step in range(-half, half + 1))


def wave_rows(
    subject: Subject, batch: Batch, waves: Waves, seed: int, advance: Callable[[float], None]
) -> pl.DataFrame:
    """A row per image and wave: `severity` the middle of the band, `draw` the try, `method` the frequency as `3,-5`.

    The copy is x + v r U, clipped: U the basis image, r a random sign in every channel, v the published norm.
    """
    x, (height, width) = batch.x.to(subject.device), batch.x.shape[-2:]
    keys, norm, found = Keys(batch.ids, seed, 0, NAME, x.device), published_norm(height, width), []
    for centre in waves.bands:
        frequencies, signs = waves.chosen(keys, centre)
        for draw in range(waves.tries(centre)):
            down, across = frequencies[:, draw].unbind(1)
            wave = basis_image(down, across, height, width).to(x).mul_(norm)[:, None]
            with torch.no_grad():
                prediction = subject((x + signs[:, draw, :, None, None] * wave).clamp_(0, 1)).argmax(1)
            advance(len(x))
            columns = {
                "position": batch.positions.numpy(), "prediction": prediction.to(torch.int32).cpu().numpy(),
                "method": [f"{row},{column}" for row, column in frequencies[:, draw].tolist()],
            }  # fmt: skip
            facts = {
                "perturbation": pl.lit(NAME), "severity": pl.lit(centre), "draws": pl.lit("random"),
                "draw": pl.lit(draw, dtype=pl.Int16),
            }  # fmt: skip
            found.append(pl.DataFrame(columns).with_columns(**facts))
    return pl.concat(found)


def heat_map(table: SampleTable, waves: Waves) -> npt.NDArray[np.float64]:
    """Error rates (rows, columns) by frequency from a table's rows, NaN where a wave was not tried.

    An error is a prediction that is not the label, or without labels not the untouched image's. Every wave is tried on
    images of its own, some easier than others: a cell is the error rate without a wave, of all images, plus what the
    wave adds on its images.
    """
    truth = pl.col("label") if table.labelled else pl.col("clean_prediction")
    rows = table.joined().filter(pl.col("perturbation") == NAME)
    added = (pl.col("prediction") != truth).cast(pl.Int64) - (pl.col("clean_prediction") != truth).cast(pl.Int64)
    rates = rows.group_by("method").agg(wrong=added.sum(), tried=added.count())
    own = "label" if table.labelled else "prediction"
    without = float((table.images["prediction"] != table.images[own]).mean() or 0)  # pyright: ignore[reportArgumentType]
    counts: dict[Frequency, tuple[int, int]] = {}
    for text, wrong, tried in rates.select("method", "wrong", "tried").iter_rows():
        row, _, column = text.partition(",")
        wave = waves.same(int(row), int(column))
        before = counts.get(wave, (0, 0))
        counts[wave] = before[0] + wrong, before[1] + tried
    errors = {wave: min(1.0, max(0.0, without + wrong / tried)) for wave, (wrong, tried) in counts.items()}
    return np.array([[errors.get(waves.same(row, column), np.nan) for column in waves.columns] for row in waves.rows])
