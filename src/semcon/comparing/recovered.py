"""Differences of figures that only the records know: gaps between groups, and what predictions follow.

Each has an interval of its own, the one over the worst and the best group, the other clustered by images and donors,
and no resamples that a second run shares. A difference's interval is recovered from the two. Of what predictions follow
each half is that of the sides' halves in quadrature, as of independent figures; on the same images two networks err
alike rather than that. Source: the square-and-add rule of Zou and Donner (2008). Of gaps the halves are added: where
the best group of one network is the worst of the other, chance moves their gaps against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from semcon.core.difference import Difference
from semcon.core.figures import Key
from semcon.core.intervals import finite
from semcon.core.quantities import FOLLOWS, GAPS
from semcon.core.record import Estimate
from semcon.core.seeds import Floats, seed_reach, widened

Runs = Sequence[Sequence[Estimate]]


def recovered(first: Runs, second: Runs) -> Iterator[Difference]:
    """Of every such figure that all runs of both sides tell, also where some do not know it: then with the reason."""
    one, two = ([_told(estimates) for estimates in side] for side in (first, second))
    for key in one[0]:
        if all(key in known for known in (*one, *two)):
            yield _difference(key, [known[key] for known in one], [known[key] for known in two])


def _told(estimates: Sequence[Estimate]) -> dict[Key, Estimate]:
    return {one.key: one for one in estimates if one.quantity in (*GAPS, FOLLOWS)}


def _difference(key: Key, first: Sequence[Estimate], second: Sequence[Estimate]) -> Difference:
    (a, a_low, a_high), (b, b_low, b_high) = _mean(first), _mean(second)
    reach = seed_reach(*(np.array([[run.mean] for run in side], np.float64) for side in (first, second)))
    value = b - a
    both = np.add if key.quantity in GAPS else np.hypot
    low, high = widened(value, value - both(b - b_low, a_high - a), value + both(b_high - b, a - a_low), reach)
    return Difference(
        *key, first=finite(a[0]), second=finite(b[0]), difference=finite(value[0]), low=finite(low[0]),
        high=finite(high[0]), samples=min(run.samples for run in (*first, *second)), seeds=(len(first), len(second)),
        seed_reach=finite(reach[0]) or 0.0,
        reason=next((run.reason for run in (*first, *second) if run.reason), None),
    )  # fmt: skip


def _mean(runs: Sequence[Estimate]) -> Floats:
    """Mean, low and high over the runs of a side, (3, 1); NaN where one does not know."""
    return np.array([[[run.mean], [run.low], [run.high]] for run in runs], np.float64).mean(axis=0)
