"""Intervals for rates: Wilson's, with an effective number of images where a rate has several draws per image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Z = 1.959963984540054  # two-sided 95 %
Floats = npt.NDArray[np.float64]


def finite(value: float) -> float | None:
    """A figure as records hold it: None for NaN, which nothing is known of, and for what lies beyond all bounds."""
    return float(value) if np.isfinite(value) else None


def wilson(rate: Floats | float, size: Floats | float) -> tuple[Floats, Floats]:
    """Wilson's 95 % score interval of rates in [0, 1] from `size` independent observations, which may be fractional.

    Solves (rate - p) ** 2 = z ** 2 p (1 - p) / size for p. NaN where the size is 0. Source: Wilson (1927).
    """
    rate, size = np.asarray(rate, np.float64), np.asarray(size, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = Z**2 / size
        centre = (rate + share / 2) / (1 + share)
        half = np.sqrt(share * (rate * (1 - rate) + share / 4)) / (1 + share)
        low, high = np.minimum(rate, centre - half), np.maximum(rate, centre + half)
    return np.clip(np.where(rate == 0, 0.0, low), 0, 1), np.clip(np.where(rate == 1, 1.0, high), 0, 1)


def effective_size(rate: Floats, variance: Floats, clusters: Floats, rows: Floats | float = np.inf) -> Floats:
    """How many independent observations a clustered rate is worth: rate (1 - rate) / variance of the estimate.

    Never below the number of clusters (draws of one image cannot be worth less than one draw) nor above that of rows;
    infinite rows: every observation is a share itself, and there are no such limits. The number of clusters where all
    observations agree, which tells nothing about their dependence. Clusters of unequal sizes m count as the equal ones
    that they are worth, (sum m)^2 / sum m^2. Source: the design effect of Kish (1965).
    """
    spread = rate * (1 - rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = spread / variance
    size = np.where(np.isinf(rows), size, np.clip(size, clusters, np.maximum(clusters, rows)))
    return np.where((spread > 0) & (variance > 0), size, clusters)


def difference_interval(
    a: tuple[Floats, Floats, Floats], b: tuple[Floats, Floats, Floats], correlation: Floats
) -> tuple[Floats, Floats]:
    """95 % interval of b - a for two paired rates, each (rate, low, high), whose errors have this correlation.

    Built from the two intervals, so that it does not shrink to nothing where neither rate has any event. Source:
    Newcombe (1998), method 10 for paired proportions.
    """
    (p, p_low, p_high), (q, q_low, q_high) = a, b

    def reach(down: Floats, up: Floats) -> Floats:
        return np.sqrt(np.maximum(down**2 - 2 * correlation * down * up + up**2, 0))

    return q - p - reach(q - q_low, p_high - p), q - p + reach(q_high - q, p - p_low)


def ratio_interval(
    a: tuple[Floats, Floats, Floats], b: tuple[Floats, Floats, Floats], correlation: Floats
) -> tuple[Floats, Floats]:
    """95 % interval of a / b for two paired rates, each (rate, low, high), whose errors have this correlation.

    The ratios R for which the interval of a - R b, built from the two intervals, has 0 in it; so it does not shrink to
    nothing where a is 0. NaN where b is not clearly above 0. Source: Donner and Zou (2012).
    """
    (p, p_low, p_high), (q, q_low, q_high) = a, b

    def bound(end: Floats, other: Floats, side: int) -> Floats:
        inner, outer, middle = (
            end * (2 * p - end),
            other * (2 * q - other),
            p * q - correlation * (p - end) * (other - q),
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(np.maximum(middle**2 - inner * outer, 0))
            return np.where(outer > 0, (middle + side * root) / outer, np.nan)

    low, high = bound(p_low, q_high, -1), bound(p_high, q_low, 1)
    known = (q_low > 0) & (2 * q > q_high)
    return np.where(known, np.maximum(low, 0), np.nan), np.where(known, high, np.nan)


def correlation(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> Floats:
    """Of resamples (k, draws) and (k or 1, draws), row by row; 0 where one of them does not move.

    Draws that are not known on both sides are left out: a resample may hold no image of a small class.
    """
    known = np.isfinite(a) & np.isfinite(b)
    count = np.maximum(1, known.sum(axis=1, keepdims=True))
    a, b = (np.where(known, each, 0.0).astype(np.float64) for each in (a, b))
    a, b = (np.where(known, each - each.sum(axis=1, keepdims=True) / count, 0.0) for each in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)


def image_mean(values: Floats, images: npt.NDArray[np.integer], reach: float = Z) -> tuple[float, float, float]:
    """Mean of values (n,), `reach` standard errors to either side; those of equal `images` (n,) are one observation.

    NaN ends for a single image.
    """
    _, places = np.unique(images, return_inverse=True)
    mean = float(values.mean())
    each = np.bincount(places, values - mean) / len(values)
    count = len(each)
    half = reach * float(np.sqrt((each**2).sum() * count / (count - 1))) if count > 1 else np.nan
    return mean, mean - half, mean + half
