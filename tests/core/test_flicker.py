"""Flip probabilities along sequences, by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import clouds
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.measuring.row_writer import in_schema

N = 40


def with_frames(name: str, frames: np.ndarray, order: np.ndarray | None = None) -> SampleTable:
    """A table with one sequence: `frames` (N, frames) predictions."""
    z, labels = clouds.clusters(np.random.default_rng(0), N)
    table = clouds.table(z, labels, {("gaussian_noise", 0.1): np.ones((N, 1))})
    rows = pl.DataFrame({
        "position": np.repeat(np.arange(N), frames.shape[1]), "perturbation": name, "draws": "sequence",
        "method": "draw" if name == "gaussian_noise" else "parameter",
        "draw": np.tile(np.arange(frames.shape[1]), N), "prediction": frames.reshape(-1),
    })  # fmt: skip
    rows = rows if order is None else rows[order]
    return SampleTable(table.images, pl.concat([table.rows, in_schema(rows, table.gauges)]), table.gauges)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(("name", "flips"), [("rotation", 2 / 4), ("gaussian_noise", 3 / 4)])
def test_noise_is_held_against_the_first_frame_and_all_else_against_the_one_before(name, flips, shuffled):
    """0 1 1 1 0: two changes from frame to frame; three frames otherwise than the first. Half of the images do it."""
    frames = np.zeros((N, 5), int)
    frames[: N // 2] = (0, 1, 1, 1, 0)
    order = np.random.default_rng(1).permutation(N * 5) if shuffled else None
    (found,) = [e for e in summarise(with_frames(name, frames, order)) if e.quantity == "flip_probability"]
    assert (found.perturbation, found.severity, found.samples) == (name, None, N)
    assert found.mean == pytest.approx(flips / 2)
    assert 0 <= found.low < found.mean < found.high <= 1


def test_a_sequence_is_no_severity():
    """The figures of the same perturbation's own severities are what they are without it."""
    without = [e for e in summarise(with_frames("rotation", np.zeros((N, 3), int))) if e.perturbation != "rotation"]
    beside = summarise(with_frames("gaussian_noise", np.ones((N, 3), int)))
    assert without == [e for e in beside if e.quantity != "flip_probability"]
