"""What became of each image's decisions: counts that two tables of the same images can be compared by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcon.core.figures import Key
from semcon.core.images import Images
from semcon.core.summary import Summary

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """How often each different image, sorted by its id, went wrong: (n,). `single`: each had one try alone."""

    bad: Integers
    single: bool


Outcomes = dict[Key, Counts]


def outcomes(summary: Summary, perturbation: str | None) -> Outcomes:
    """What went wrong, by what is counted: flips, and wrong predictions where labelled.

    At every severity and kind of draws of a perturbation, or on the untouched images. Draws of an image and duplicates
    of it are summed: they are one cluster.
    """
    return dict(_of_perturbation(summary, perturbation) if perturbation else _untouched(summary.images))


def changed(first: Sequence[Integers], second: Sequence[Integers]) -> tuple[int, int]:
    """How many images got worse and how many better from one side's runs to another's: harmful, beneficial.

    An image's outcome is its mean over the runs of a side; whole numbers, so that equal ones are equal.
    """
    before, after = sum(first) * len(second), sum(second) * len(first)
    return int(np.count_nonzero(after > before)), int(np.count_nonzero(after < before))


def _untouched(images: Images) -> Iterator[tuple[Key, Counts]]:
    if images.labelled:
        wrong = (images.labels >= 0) & (images.labels != images.predictions)
        yield Key(None, None, "random", None, None, "accuracy", "all", "mean"), _by_image(images, wrong, 1)


def _of_perturbation(summary: Summary, name: str) -> Iterator[tuple[Key, Counts]]:
    images, cells = summary.images, summary.decisions(name)
    if cells is None:
        return
    for row, (severity, draws) in enumerate(cells.cells):
        for quantity in ("flip", "accuracy"):
            shares = cells.values.get((None, quantity))
            if shares is None:
                continue
            bad = shares[row] if quantity == "flip" else 1 - shares[row]
            counts = np.rint(np.nan_to_num(bad) * cells.draws[row]).astype(np.int64)
            yield (
                Key(name, severity, draws, None, None, quantity, "all", "mean"),
                _by_image(images, counts, cells.draws[row]),
            )


def _by_image(images: Images, counts: npt.NDArray[np.generic], tries: int) -> Counts:
    """Sums over the duplicates of an image."""
    samples = images.weights.samples  # in the order of the counts, equal ones beside each other
    starts = np.flatnonzero(np.r_[True, samples[1:] != samples[:-1]])
    return Counts(np.add.reduceat(counts.astype(np.int64), starts), tries == 1 and len(starts) == len(samples))
