"""The standard error of a sum whose terms share images in two ways: those that are changed, and those taken from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def two_way_error(residuals: Floats, first: Integers, second: Integers) -> float:
    """The standard error of the sum of terms (n,), given less their expectations, in two crossed clusterings (n,).

    The variance by `first`, plus that by `second`, less that of the terms that share both, each with G / (G - 1) for
    its G clusters; never less than the larger of the first two. Source: Cameron, Gelbach and Miller (2011).
    """
    both = np.unique(np.stack((first, second)), axis=1, return_inverse=True)[1].ravel()
    one, two, shared = (_variance(residuals, clusters) for clusters in (first, second, both))
    return float(np.sqrt(max(one, two, one + two - shared)))


def _variance(residuals: Floats, clusters: Integers) -> float:
    places = np.unique(clusters, return_inverse=True)[1].ravel()
    sums = np.bincount(places, residuals)
    return float((sums**2).sum() * len(sums) / max(1, len(sums) - 1))
