"""Poisson bootstrap: how often each image counts in each resample, keyed by the image, so that everything is paired.

A weight is a hash of (seed, resample, sample id): any two tables that hold the same images share their weights,
whatever their order, and duplicate images are one cluster. Source: the Poisson bootstrap of Hanley and MacGibbon
(2006), and of Chamandy et al. (2012) for its use on streams.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
TAIL = 0.025  # left out on each side of an interval
CHUNK = 2048  # images worked on at once: 16 MB of float32 weights
GROUPS = 1 << 13  # more images than this are resampled in so many keyed groups: 16 MB of weights however many there are
Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def _poisson_table() -> npt.NDArray[np.uint8]:
    """16 random bits -> a Poisson(1) number, by inverse CDF; probabilities right to 2 ** -17."""
    cumulative = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
    edges = (np.arange(1 << 16) + 0.5) / (1 << 16)
    return np.searchsorted(cumulative, edges).astype(np.uint8)


_POISSON = _poisson_table()


def _mix(h: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The 32-bit finaliser of `semcon.keyed`, in place."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        h ^= h >> np.uint32(shift)
        if factor != 1:
            h *= np.uint32(factor)
    return h


def poisson_weights(samples: Integers, seed: int = 0, resamples: int = RESAMPLES) -> npt.NDArray[np.uint8]:
    """How often each image counts: sample ids (N,) -> (N, resamples), Poisson(1). Equal ids get equal weights."""
    words = np.frombuffer(hashlib.blake2b(f"{seed}\x1fbootstrap".encode(), digest_size=8).digest(), np.uint32)
    ids = np.ascontiguousarray(samples, dtype=np.int64).view(np.uint64)
    low, high = (ids & np.uint64(0xFFFFFFFF)).astype(np.uint32), (ids >> np.uint64(32)).astype(np.uint32)
    first = _mix(_mix(low ^ words[0]) + high + words[1])
    second = _mix(first ^ words[1])
    numbers = np.arange(resamples, dtype=np.uint32)
    weights = np.empty((len(ids), resamples), np.uint8)
    for start in range(0, len(ids), 64):
        part = slice(start, start + 64)
        h = _mix(numbers[None, :] ^ first[part, None])
        h += second[part, None]
        weights[part] = _POISSON[_mix(h) >> np.uint32(16)]
    return weights


def _groups(samples: Integers) -> Integers:
    """The group of each sample id: (N,) in [0, GROUPS)."""
    ids = np.ascontiguousarray(samples).view(np.uint64)
    mixed = _mix((ids ^ (ids >> np.uint64(32))).astype(np.uint32))
    return (mixed & np.uint32(GROUPS - 1)).astype(np.int64)


@dataclass(frozen=True)
class Weights:
    """The resamples of the images `samples` (N,): `counts` (N or GROUPS, resamples) uint8, `group` (N,) its rows.

    Up to GROUPS images each has a row of its own and `group` is None. Beyond, images fall into groups by a hash of
    their id and a group is resampled as one: random groups of independent images leave the error unbiased.
    """

    samples: Integers
    counts: npt.NDArray[np.uint8]
    group: Integers | None = None

    @classmethod
    def of(cls, samples: Integers, seed: int = 0, resamples: int = RESAMPLES) -> Weights:
        """Keyed by seed, resample and sample id."""
        samples = np.asarray(samples, np.int64)
        if len(samples) <= GROUPS:
            return cls(samples, poisson_weights(samples, seed, resamples))
        return cls(samples, poisson_weights(np.arange(GROUPS), seed, resamples), _groups(samples))

    @property
    def resamples(self) -> int:
        """How many there are."""
        return self.counts.shape[1]

    def of_images(self, index: Integers, resamples: slice) -> npt.NDArray[np.uint8]:
        """How often these images count in these resamples: (n, resamples)."""
        return self.counts[index if self.group is None else self.group[index], resamples]

    def sums(self, columns: npt.NDArray[np.floating], index: Integers | None = None) -> npt.NDArray[np.float32]:
        """Weighted sums over images in every resample: (k, n) -> (k, resamples).

        `index` (n,): which images the columns are about; all of them by default.
        """
        return self.resampled(self.gathered(columns, index), index)

    def gathered(self, columns: npt.NDArray[np.floating], index: Integers | None = None) -> npt.NDArray[np.floating]:
        """Columns over images (k, n) as columns over groups (k, GROUPS); as they are without groups or of fewer."""
        if self.group is None or self._few(index):
            return columns
        group = self.group if index is None else self.group[index]
        totals = np.empty((len(columns), len(self.counts)), np.float32)
        for row, column in enumerate(columns):
            totals[row] = np.bincount(group, column, minlength=len(self.counts))
        return totals

    def resampled(self, gathered: npt.NDArray[np.floating], index: Integers | None = None) -> npt.NDArray[np.float32]:
        """The sums of `gathered` columns: (k, resamples). Works in chunks, so that memory does not grow with images."""
        if self.group is not None:
            index = self.group[index] if index is not None and self._few(index) else None
        total = np.zeros((len(gathered), self.resamples), np.float32)
        for start in range(0, gathered.shape[1], CHUNK):
            part = slice(start, start + CHUNK)
            counts = self.counts[part] if index is None else self.counts[index[part]]
            total += gathered[:, part].astype(np.float32, copy=False) @ counts.astype(np.float32)
        return total

    def _few(self, index: Integers | None) -> bool:
        """Whether these are fewer images than there are groups."""
        return index is not None and len(index) < len(self.counts)

    def multiplicities(self, index: Integers) -> Integers:
        """How often each different image occurs among those of `index`."""
        return np.unique(self.samples[index], return_counts=True)[1]


def percentiles(draws: npt.NDArray[np.floating], tail: float = TAIL) -> tuple[Floats, Floats]:
    """The percentile interval of each row of (k, resamples): low (k,), high (k,).

    Order statistics, so that infinite draws (a censored median) keep their place. A resample in which a figure is
    undefined is NaN and left out; where all are, so are the bounds.
    """
    ordered = np.sort(draws, axis=1)  # NaN last
    known = np.count_nonzero(~np.isnan(ordered), axis=1)
    cut = np.ceil(tail * known).astype(np.int64)
    rows = np.arange(len(ordered))
    low = ordered[rows, np.clip(cut - 1, 0, None)]
    high = ordered[rows, np.clip(known - cut, 0, ordered.shape[1] - 1)]
    return low.astype(np.float64), high.astype(np.float64)
