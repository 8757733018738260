"""The references' part in the error of `discontinuity` and `any_nearer_20`.

A share of nearer images is a mean over pairs (image, reference), and the references are images of the same sample:
their choice counts as much as that of the images. How often a reference is the nearer one is not in the rows, but it
follows from them nearly: within a class, the share of references nearer than a change c, for an image at the mean
distance w from its class, is close to one rising curve of c / w. Seen from reference j, the images' changes meet that
curve at c / w_j. In simulation (`tests/core/test_coverage.py`) that gives the error of `discontinuity` within a tenth,
and an error of `any_nearer_20` that is never too small; without it, intervals cover as little as three times in four.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semcon.core.images import Images
from semcon.core.nearest import CHOSEN

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
STEPS, LEVELS = 24, 16  # points of a curve; quantiles that stand for a class's changes
MANY_CLASSES = 20  # from here on all classes share a curve


@dataclass(frozen=True)
class ReferenceTerms:
    """What one more count of each reference adds to a mean over images: (cells, references) each."""

    share: Floats
    chance: Floats


def reference_terms(images: Images, within: Floats, index: Integers, change: Floats, share: Floats) -> ReferenceTerms:
    """For the images `index`: their `change` and `share` of nearer references (cells, n). `within`: (N,)."""
    cells = len(change)
    terms = np.zeros((2, cells, len(images.references)))
    labels = images.labels[images.references]
    for members, references in _groups(images, within, index, change, share):
        own, theirs = within[index[members]], within[images.references[references]]
        curves = _curves(change[:, members] / own, share[:, members])
        levels, weights = _levels(change[:, members], share[:, members])
        seen = _read(curves, levels[:, None, :] / theirs[None, :, None])  # (cells, references, levels)
        sums = np.einsum("crl,wcl->wcr", seen, weights)
        factor = len(members) / len(index) / len(references)
        terms[:, :, references] = _centred(sums, labels[references]) * factor
    return ReferenceTerms(terms[0], terms[1])


def _groups(
    images: Images, within: Floats, index: Integers, change: Floats, share: Floats
) -> Iterator[tuple[Integers, Integers]]:
    """Places in `index` and in the references of each class (of all together where they are many)."""
    with np.errstate(invalid="ignore"):
        usable = (within[index] > 0) & np.isfinite(change).all(axis=0) & np.isfinite(share).all(axis=0)
        usable_references = within[images.references] > 0
    labels, reference_labels = images.labels[index], images.labels[images.references]
    known = np.unique(labels[usable])
    for label in known if len(known) <= MANY_CLASSES else [None]:
        members = np.flatnonzero(usable if label is None else usable & (labels == label))
        references = np.flatnonzero(
            usable_references if label is None else usable_references & (reference_labels == label)
        )
        if len(members) > 1 and len(references) > 1:
            yield members, references


def _curves(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Rising curves through (0, 0) and the means of (cells, n) points in equal groups along x: (cells, steps + 1)."""
    order = np.argsort(x, axis=1)
    start = np.zeros((len(x), 1))
    x, y = (np.hstack([start, _grouped(np.take_along_axis(values, order, axis=1), STEPS)]) for values in (x, y))
    return x, np.maximum.accumulate(y, axis=1)


def _read(curves: tuple[Floats, Floats], at: Floats) -> Floats:
    """Each cell's curve at its own places (cells, ...), flat beyond its end: one interpolation for all cells."""
    x, y = curves
    end = np.maximum(x[:, -1:], np.finfo(np.float64).tiny)
    shift = 2.0 * np.arange(len(x))
    along = np.minimum(at / end[:, :, None], 1) + shift[:, None, None]
    return np.interp(along, (x / end + shift[:, None]).ravel(), y.ravel())


def _levels(change: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Changes that stand for all, and what each counts for the share and for the chance: (cells, l), (2, cells, l).

    The chance of at least one in 20 rises with the share by 20 (1 - share) ** 19.
    """
    order = np.argsort(change, axis=1)
    slope = CHOSEN * (1 - share) ** (CHOSEN - 1)
    levels, slopes = (_grouped(np.take_along_axis(values, order, axis=1), LEVELS) for values in (change, slope))
    sizes = np.diff(_edges(change.shape[1], LEVELS)) / change.shape[1]
    return levels, np.stack([np.broadcast_to(sizes, slopes.shape), slopes * sizes])


def _edges(count: int, groups: int) -> Integers:
    """Where about equal groups of a row of values begin and end."""
    return np.arange(min(groups, count) + 1, dtype=np.int64) * count // min(groups, count)


def _grouped(values: Floats, groups: int) -> Floats:
    """Means of equal groups of neighbours: (cells, n) -> (cells, at most `groups`)."""
    edges = _edges(values.shape[1], groups)
    return np.add.reduceat(values, edges[:-1], axis=1) / np.diff(edges)


def _centred(values: Floats, labels: Integers) -> Floats:
    """Values (..., n) less the mean of their own class."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[0]] - 1))
    sizes = np.diff(starts, append=len(labels))
    means = np.add.reduceat(values[..., order], starts, axis=-1) / sizes
    centred = np.empty_like(values)
    centred[..., order] = values[..., order] - np.repeat(means, sizes, axis=-1)
    return centred
