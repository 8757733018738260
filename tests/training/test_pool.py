"""The images of a run: every one once an epoch, in memory or read again, the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from semcon.datasets import Arrays
from semcon.training.pool import Order, Pool
from training_parts import COUNT, SIDE, dataset, pool, run, weights

IDS = torch.arange(50) * 2**35 + 11


def test_every_image_comes_once_an_epoch() -> None:
    """Oracle: a permutation: 3 batches of 16 hold 48 different rows of 50; the dropped two differ between epochs."""
    order = Order(IDS, 16, 0)
    assert order.steps_per_epoch == 3
    dropped: set[int] = set()
    for epoch in range(20):
        parts = [order.rows(3 * epoch + place) for place in range(3)]
        assert [number for _, number in parts] == [epoch] * 3
        rows = torch.cat([rows for rows, _ in parts]).tolist()
        assert len(set(rows)) == 48
        assert set(rows) <= set(range(50))
        dropped |= set(range(50)) - set(rows)
    assert len(dropped) > 20


def test_any_step_can_be_asked_for() -> None:
    """Oracle: invariance: backwards, and another object, give the same rows; another seed or epoch others."""
    order = Order(IDS, 16, 0)
    forwards = [order.rows(step)[0].tolist() for step in range(9)]
    assert [Order(IDS, 16, 0).rows(step)[0].tolist() for step in reversed(range(9))] == forwards[::-1]
    assert forwards[0] != forwards[3]
    assert forwards[0] != Order(IDS, 16, 1).rows(0)[0].tolist()


def test_places_are_uniform() -> None:
    """Oracle: each image comes first in an epoch once in ten (chi-square over 2000 epochs of 10 images, p = 1e-6)."""
    order = Order(torch.arange(10), 10, 0)
    firsts = torch.tensor([int(order.rows(epoch)[0][0]) for epoch in range(2000)])
    counts = torch.bincount(firsts, minlength=10).double()
    assert float(((counts - 200) ** 2 / 200).sum()) < 45.1


@pytest.mark.parametrize("floats", [False, True])
def test_data_that_do_not_fit_give_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, floats: bool) -> None:
    """Oracle: the run with the images held, bit for bit."""
    held = pool(dataset(floats=floats))
    assert held.x is not None
    assert held.x.dtype == (torch.float32 if floats else torch.uint8)
    monkeypatch.setattr("semcon.training.pool.FITS", 0)
    again = pool(dataset(floats=floats))
    assert again.x is None
    one, two = run(tmp_path / "one", images=held), run(tmp_path / "two", images=again)
    assert all(torch.equal(value, weights(two)[name]) for name, value in weights(one).items())
    assert (tmp_path / "one" / "metrics.jsonl").read_bytes() == (tmp_path / "two" / "metrics.jsonl").read_bytes()


def test_floats_need_four_times_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: bytes by hand: 50 images of 192 values."""
    monkeypatch.setattr("semcon.training.pool.FITS", COUNT * 3 * SIDE * SIDE)
    assert pool(dataset()).x is not None
    assert pool(dataset(floats=True)).x is None
    monkeypatch.setattr("semcon.training.pool.FITS", 4 * COUNT * 3 * SIDE * SIDE)
    assert pool(dataset(floats=True)).x is not None


@pytest.mark.parametrize("late", [False, True])
def test_images_are_what_the_data_set_holds(late: bool) -> None:
    """Oracle: the arrays themselves; bytes where all of them are multiples of 1/255, also if one late image is none."""
    images = np.random.default_rng(0).integers(0, 256, (600, SIDE, SIDE, 3)).astype(np.float32) / 255
    if late:
        images[580, 0, 0, 0] = 0.1234567
    found: Pool = pool(Arrays(images, np.zeros(600, dtype=int)))
    assert found.x is not None
    assert found.x.dtype == (torch.float32 if late else torch.uint8)
    rows = torch.tensor([580, 3, 0])
    torch.testing.assert_close(found.take(rows), torch.tensor(images[rows.numpy()]).permute(0, 3, 1, 2), rtol=0, atol=0)
    assert found.titles(rows) == ["image 580", "image 3", "image 0"]
