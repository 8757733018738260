"""Splits: disjoint, whole, keyed by the image, copies together."""

from __future__ import annotations

import pytest
import torch

from semcon.core.errors import SemconError
from semcon.repairing.splitting import held_out, split


def ids(count: int) -> torch.Tensor:
    return torch.randint(-(2**62), 2**62, (count,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("count", "judge", "sizes"),
    [(300, True, (100, 100, 100)), (300, False, (200, 100, 0)), (999, True, (467, 199, 333)),
     (9000, True, (5000, 1000, 3000)), (9000, False, (8000, 1000, 0))],
)  # fmt: skip
def test_sizes_are_as_documented_and_the_parts_are_a_partition(count: int, judge: bool, sizes: tuple[int, ...]) -> None:
    """Oracle: a fifth from 100 to 1000, a third; every row once."""
    parts = split(ids(count), 0, judge=judge)
    assert (len(parts.fit), len(parts.select), len(parts.judge)) == sizes
    assert torch.cat([parts.fit, parts.select, parts.judge]).sort().values.tolist() == list(range(count))


def test_copies_of_an_image_stay_together_and_order_does_not_matter() -> None:
    """Oracle: the ids on each side, of the doubled and shuffled data."""
    one = ids(400)
    many = torch.cat([one, one])[torch.randperm(800, generator=torch.Generator().manual_seed(2))]
    left, right = split(one, 3, judge=True), split(many, 3, judge=True)
    for name in ("fit", "select", "judge"):
        assert set(one[getattr(left, name)].tolist()) == set(many[getattr(right, name)].tolist())
    assert len(right.fit) == 2 * len(left.fit)


def test_another_seed_is_another_split() -> None:
    """Oracle: about as many in common as by chance."""
    one = ids(3000)
    common = set(split(one, 0, judge=True).judge.tolist()) & set(split(one, 1, judge=True).judge.tolist())
    assert 250 < len(common) < 420


def test_too_few_different_images_are_said() -> None:
    """Oracle: the message counts different images."""
    with pytest.raises(
        SemconError, match="200 different images are too few to split into fit and select: expected 300"
    ):
        split(ids(200).repeat(5), 0, judge=False)


def test_a_share_is_held_out() -> None:
    """Oracle: the share; a partition; copies together."""
    one = ids(1000).repeat(2)
    kept, held = held_out(one, 0, 0.1)
    assert len(held) == 200
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(2000))
    assert not set(one[kept].tolist()) & set(one[held].tolist())
