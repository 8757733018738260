"""The standard error of a sum whose terms share images in two ways: those that are changed, and those taken from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def two_way_error(terms: Floats, donors: Integers, kinds: Integers) -> float:
    """The standard error of the sum of terms (N, K): a row for each image, each term with its donor and its kind.

    The variance by image, plus that by donor less that of single terms; never less than the first. Kinds are no chance
    (the class of a donor): their means are taken from what donors add, with G / (G - C) for G donors of C kinds, but
    not where too few share one. Source: Cameron, Gelbach and Miller (2011).
    """
    images = terms.sum(1)
    by_image = float(((images - images.mean()) ** 2).sum() * len(images) / max(1, len(images) - 1))
    _, donor = np.unique(donors.ravel(), return_inverse=True)
    _, kind = np.unique(kinds.ravel(), return_inverse=True)
    groups, means = int(donor.max()) + 1, int(kind.max()) + 1
    if groups < 2 * means:
        kind, means = np.zeros_like(kind), 1
    flat = terms.ravel()
    residuals = flat - (np.bincount(kind, flat) / np.bincount(kind))[kind]
    shared = np.bincount(donor, residuals) ** 2 - np.bincount(donor, residuals**2)
    return float(np.sqrt(by_image + max(0.0, float(shared.sum()) * groups / max(1, groups - means))))
