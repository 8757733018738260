"""Kaplan-Meier: the median of values of which some are only known to lie beyond a limit, in every resample at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semcon.core.bootstrap import Weights

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
ELEMENTS = 4_000_000  # numbers worked on at once


def survival(times: Floats, observed: Booleans, weights: npt.NDArray[np.number]) -> tuple[Floats, Floats]:
    """The weighted Kaplan-Meier curve: (n,), (n,), (..., n) -> times sorted (n,), share beyond each of them (..., n).

    `observed` false: censored, the value is only known to exceed its time. At a tie, events come before censoring.
    Source: Kaplan and Meier (1958).
    """
    order = np.lexsort((~observed, times))
    w = np.asarray(weights, np.float64)[..., order]
    at_risk = np.cumsum(w[..., ::-1], axis=-1)[..., ::-1]
    lost = np.where(observed[order], w, 0)
    kept = np.divide(at_risk - lost, at_risk, out=np.ones_like(w), where=at_risk > 0)
    return times[order], np.cumprod(kept, axis=-1, dtype=np.float64)


def medians(times: Floats, observed: Booleans, weights: npt.NDArray[np.number]) -> Floats:
    """The smallest time beyond which at most half remain: (n,), (n,), (..., n) -> (...).

    Infinite where more than half remain at the end (the median is censored), NaN where the weights are all 0.
    """
    ordered, remaining = survival(times, observed, weights)
    reached = remaining <= 0.5 + 1e-9
    first = np.argmax(reached, axis=-1)
    found = np.where(reached.any(axis=-1), ordered[first], np.inf)
    return np.where(np.asarray(weights).sum(axis=-1) > 0, found, np.nan)


def resampled_medians(
    times: Floats, observed: Booleans, weights: Weights, index: npt.NDArray[np.int64]
) -> tuple[float, Floats]:
    """The Kaplan-Meier median of the images `index` (n,), and in every resample: value, (resamples,)."""
    if not len(index):
        return float("nan"), np.full(weights.resamples, np.nan)
    order = np.lexsort((~observed, times))
    times, observed, index = times[order], observed[order], index[order]
    head = len(times) if observed.all() else int(np.argmin(observed))
    draws = np.empty(weights.resamples)
    step = max(1, ELEMENTS // len(index))
    for start in range(0, weights.resamples, step):
        part = slice(start, start + step)
        counts = weights.of_images(index, part)
        draws[part] = _uncensored_medians(times[:head], counts)
        late = np.flatnonzero(np.isinf(draws[part]))
        if observed[head:].any() and len(late):
            draws[start + late] = medians(times, observed, np.ascontiguousarray(counts[:, late].T))
    return float(medians(times, observed, np.ones(len(index)))), draws


def _uncensored_medians(times: Floats, counts: npt.NDArray[np.uint8]) -> Floats:
    """The median where it lies among the first times, all observed: nobody left early, so shares are plain counts."""
    total = counts.sum(axis=0, dtype=np.int32)
    reached = 2 * np.cumsum(counts[: len(times)], axis=0, dtype=np.int32) >= total
    found = np.full(len(total), np.inf)
    if len(times):
        found = np.where(reached[-1], times[np.argmax(reached, axis=0)], np.inf)
    return np.where(total > 0, found, np.nan)
