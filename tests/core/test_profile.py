"""The profile: plain means over a family's cells, with intervals of the same resamples."""

from __future__ import annotations

import numpy as np
import pytest

import clouds
from semcon.core.intervals import wilson
from semcon.core.profile import QUANTITIES, profile, profile_figures
from semcon.core.summary import summarise

FAMILIES = {"blur": "blur_and_coding", "jpeg": "blur_and_coding", "noise": "noise"}
CELLS = (("noise", 1.0), ("blur", 0.5), ("blur", 1.0), ("jpeg", 20.0))


def example(*, labelled: bool = True, flips: bool = True):
    generator = np.random.default_rng(0)
    z, labels = clouds.clusters(generator, 150)
    changes = {cell: np.abs(generator.normal(size=(150, 2))) * (1 + i) for i, cell in enumerate(CELLS)}
    flipped = {cell: generator.random((150, 2)) < 0.1 * flips for cell in CELLS}
    return clouds.table(z, labels if labelled else None, changes, flips=flipped, worst=True)


def test_a_row_is_the_mean_over_its_cells():
    """Oracle: the estimates of the cells, averaged; random draws only."""
    estimates = summarise(example())
    rows = profile(example(), FAMILIES)
    assert {row.quantity for row in rows} == set(QUANTITIES)
    for row in rows:
        cells = [
            e.mean
            for e in estimates
            if e.quantity == row.quantity and e.subset == "all" and e.draws == "random" and e.perturbation
            and e.representation in (None, "logits") and FAMILIES[e.perturbation] == row.family
        ]  # fmt: skip
        assert len(cells) == (3 if row.family == "blur_and_coding" else 1)
        assert row.mean == pytest.approx(np.mean(cells))
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.mean < row.high
        assert row.samples == 150
    members = {row.family: row.perturbations for row in rows}
    assert members == {"noise": ("noise",), "blur_and_coding": ("blur", "jpeg")}
    assert rows[0].family == "noise"


def test_a_family_of_one_cell_has_that_cells_interval():
    """Invariant; rates come close only: here their draws are not bounded by their number."""
    rows = {row.quantity: row for row in profile(example(), FAMILIES) if row.family == "noise"}
    for e in summarise(example()):
        if e.perturbation == "noise" and e.subset == "all" and e.draws == "random" and e.quantity in rows:
            if e.representation not in (None, "logits"):
                continue
            row = rows[e.quantity]
            assert (row.low, row.high) == pytest.approx((e.low, e.high), rel=0.03)


def test_no_event_anywhere_is_not_certainty():
    """Closed form: no flip in any cell of 150 images leaves Wilson's bound on 150."""
    rows = {(row.family, row.quantity): row for row in profile(example(flips=False), FAMILIES)}
    row = rows["blur_and_coding", "flip"]
    assert (row.mean, row.low) == (0, 0)
    assert row.high == pytest.approx(float(wilson(0.0, 150.0)[1]))


def test_perturbations_without_a_family_are_left_out_and_labels_are_not_needed():
    rows = profile(example(labelled=False), {"noise": "noise"})
    assert {row.family for row in rows} == {"noise"}
    assert {row.quantity for row in rows} == {"relative_change", "flip", "confidence_drop"}
    assert profile_figures(example(), {}) is None
    assert profile(example(), {}) == []
