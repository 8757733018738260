"""The chance that at least one of 20 random same-class images is nearer: exact, and free of the data set's size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer]
CHOSEN = 20


def any_nearer(nearer: Floats | Integers, others: Floats | Integers, chosen: int = CHOSEN) -> Floats:
    """1 - C(others - nearer, chosen) / C(others, chosen): drawing without replacement (hypergeometric).

    `nearer` of the `others` same-class images are nearer; both broadcast. NaN where others < chosen or either is NaN.
    """
    total = np.asarray(others, np.float64)
    farther = total - np.asarray(nearer, np.float64)
    with np.errstate(invalid="ignore"):
        none = np.where(farther >= chosen, _log_ratio(np.maximum(farther, chosen), total, chosen), -np.inf)
        return np.where((total >= chosen) & ~np.isnan(farther), -np.expm1(none), np.nan)


def _log_ratio(farther: Floats, total: Floats, chosen: int) -> Floats:
    """log C(farther, chosen) - log C(total, chosen), never above 0."""
    total = np.maximum(total, chosen)
    log_ratio = gammaln(farther + 1) - gammaln(farther - chosen + 1) - gammaln(total + 1) + gammaln(total - chosen + 1)
    return np.minimum(np.where(farther >= total, 0.0, log_ratio), 0.0)


@dataclass(frozen=True)
class Chances:
    """`any_nearer` by table, quick for many rows: `table` (sizes, counts), `which` (N,) an image's row of it."""

    table: Floats
    which: npt.NDArray[np.int64]

    @classmethod
    def of(cls, others: Floats, chosen: int = CHOSEN) -> Chances:
        """For images with so many others each: (N,), NaN as missing."""
        sizes, which = np.unique(np.where(np.isnan(others), 0, others), return_inverse=True)
        counts = np.arange(int(sizes.max(initial=0)) + 1)
        return cls(any_nearer(counts[None, :], sizes[:, None], chosen), which)

    def __call__(self, nearer: Floats, image: npt.NDArray[np.int64]) -> Floats:
        """The chance of each row: (n,) counts, NaN as missing, and (n,) which image -> (n,)."""
        known = ~np.isnan(nearer)
        counts = np.where(known, np.minimum(nearer, self.table.shape[1] - 1), 0).astype(np.int64)
        found = self.table[self.which[image], counts]
        return np.where(known, found, np.nan)
