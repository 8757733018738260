"""Intervals over training seeds above images, for a handful of seeds.

Two kinds of chance make a difference between two ways of training: which images were looked at, and which seeds were
trained. The images are many, and the bootstrap tells their part. The seeds are two, three or five, and resampling them
does not work: a resample of n draws has (n - 1) / n of their variance, percentiles know nothing of how badly so few
tell it: three seeds were seen to cover 77 % where 95 % is promised (`tests/core/test_seeds.py`). So the seeds' part is
Student's: t times the standard error of the mean over seeds, added in quadrature to each half of the interval over
images (the square-and-add rule of Zou and Donner, 2008).

Assumes that seeds are exchangeable and that their effects on a figure are about normal. Errs on the wide side: the
part of an image's change that depends on the seed is counted in both. A side of a single run is that network, not its
training: it has no part for seeds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from semcon.core.intervals import Z

Floats = npt.NDArray[np.float64]
HALVINGS = 60


def seed_error(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Standard error over seeds of mean(second) - mean(first), and its degrees of freedom.

    (n, k), (m, k) -> (k,), (k,). As many seeds on both sides: paired in order, the t test on their differences. Else
    Welch's, in which a side of one run has no error. Source: Student (1908), Welch (1947).
    """
    n, m = len(first), len(second)
    if n == m:
        freedom = np.full(first.shape[1], float(max(1, n - 1)))
        return _error(second - first), freedom
    a, b = _error(first) ** 2, _error(second) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (a + b) ** 2 / (a**2 / max(1, n - 1) + b**2 / max(1, m - 1))
    return np.sqrt(a + b), np.where(np.isfinite(freedom), freedom, float(max(n, m) - 1))


def seed_reach(first: Floats, second: Floats) -> Floats:
    """Half of the 95 % interval over seeds alone: (n, k), (m, k) -> (k,); 0 for single runs."""
    error, freedom = seed_error(first, second)
    return np.asarray(special.stdtrit(freedom, 0.975), np.float64) * error


def widened(value: Floats, low: Floats, high: Floats, reach: Floats) -> tuple[Floats, Floats]:
    """An interval over images made one over seeds above them."""
    return value - np.sqrt((value - low) ** 2 + reach**2), value + np.sqrt((high - value) ** 2 + reach**2)


def seed_p(value: Floats, half: Floats, error: Floats, freedom: Floats) -> Floats:
    """The level at which the widened interval just reaches 0: (k,) each -> (k,). `half`: over images, on 0's side.

    By bisection: z(p) half / z(0.05) and t(p) error in quadrature grow as p falls.
    """
    low, high = np.full(len(value), -700.0), np.zeros(len(value))  # logarithms of p
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        tail = np.exp(middle) / 2
        with np.errstate(over="ignore"):
            reach = (special.ndtri(tail) * half / Z) ** 2 + (special.stdtrit(freedom, tail) * error) ** 2
        holds_zero = reach >= value**2
        low, high = np.where(holds_zero, middle, low), np.where(holds_zero, high, middle)
    return np.where(value == 0, 1.0, np.exp(high))


def _error(values: Floats) -> Floats:
    """The standard error of the mean over rows: (n, k) -> (k,); 0 for a single one."""
    if len(values) < 2:
        return np.zeros(int(values.shape[1]))
    error: Floats = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return error
