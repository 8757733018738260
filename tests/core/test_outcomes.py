"""Which images each run gets wrong: copies of an image are one, wherever they stand."""

from __future__ import annotations

import numpy as np
import pytest

import clouds
from semcon.core.outcomes import changed, outcomes
from semcon.core.summary import Summary


@pytest.mark.parametrize("order", ["beside each other", "given twice", "shuffled"])
def test_copies_of_an_image_are_one(order: str) -> None:
    """Five of forty images flip under the second model only; the second run has them in another order."""
    random, count = np.random.default_rng(0), 40
    points, labels = clouds.clusters(random, count)
    samples = random.integers(1, 2**60, count)
    twice = {"beside each other": np.repeat(np.arange(count), 2), "given twice": np.tile(np.arange(count), 2)}
    places = twice.get(order, random.permutation(np.tile(np.arange(count), 2)))
    sides = []
    for flips, own in ((np.zeros(count, bool), places), (np.arange(count) < 5, places[::-1])):
        cell = ("gaussian_noise", 0.05)
        table = clouds.table(
            points[own], labels[own], {cell: np.ones((len(own), 1))}, flips={cell: flips[own][:, None]},
            samples=samples[own],
        )  # fmt: skip
        found = outcomes(Summary(table), "gaussian_noise")
        sides += [counts for key, counts in found.items() if key.quantity == "flip"]
    assert [len(one.bad) for one in sides] == [count, count]
    assert changed([sides[0].bad], [sides[1].bad]) == (5, 0)
    assert not sides[0].single
