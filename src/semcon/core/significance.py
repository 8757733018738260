"""Exact tests on paired decisions, and their correction for how many were asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]


def exact_sign_test(harmful: int, beneficial: int) -> float:
    """The two-sided p value of so many images that got worse against so many that got better; ties say nothing.

    With one outcome an image this is McNemar's exact test: where nothing differs, an image that changed is as likely
    to have changed one way as the other, so the smaller count is binomial with one half. With several draws (or
    duplicates) an image is one cluster and counts once, by the sign of its summed change, because its rows depend on
    each other. Source: McNemar (1947); the sign test of Arbuthnot (1710).
    """
    changed = harmful + beneficial  # scipy.stats.binomtest is the same and takes a second to import
    return min(1.0, 2 * float(special.bdtr(min(harmful, beneficial), changed, 0.5)))


def holm(p: Sequence[float]) -> list[float]:
    """p values adjusted so that the chance of any false claim among all of them stays at the level.

    The k-th smallest of m is multiplied by m - k + 1, made monotone and cut at 1. Valid however the tests depend on
    each other. Source: Holm (1979).
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    stepped = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    adjusted = np.empty_like(values)
    adjusted[order] = stepped
    return adjusted.tolist()
