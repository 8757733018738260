"""Occlusion and the additive balls in closed form and against their distributions."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from semcon.core.errors import SemconError
from semcon.keyed import Keys
from semcon.perturbations import L2, Linf, Occlusion


def at(across: float, down: float) -> dict[str, Tensor]:
    return {"position": torch.tensor([[across, down]], dtype=torch.float64)}


@pytest.mark.parametrize("side", [0.5, 3.0, 10.0, 37.0, 100.0])
def test_the_patch_covers_its_area_wherever_it_lies(side: float) -> None:
    """Closed form: on black with a white patch the mean is the patch's share of the area, also between pixels."""
    black = torch.zeros(64, 3, 20, 33, dtype=torch.float64)
    unit = Occlusion().sample(Keys(torch.arange(64), scope="occlusion"), black)
    means = Occlusion(fill=1.0)(black, unit, side).mean((1, 2, 3))
    torch.testing.assert_close(means, torch.full((64,), (side / 100) ** 2, dtype=torch.float64))


def test_a_patch_on_whole_pixels_is_a_slice() -> None:
    """Oracle: assignment to a slice, in three corners and the middle."""
    x = torch.rand(1, 3, 20, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    corners = {(-1, -1): (0, 0), (1, -1): (0, 20), (1, 1): (10, 20), (0, 0): (5, 10)}
    for (across, down), (top, left) in corners.items():
        expected = x.clone()
        expected[..., top : top + 10, left : left + 20] = 0.5
        torch.testing.assert_close(Occlusion()(x, at(across, down), 50.0), expected)


def test_a_smaller_patch_lies_inside_a_larger_one() -> None:
    black = torch.zeros(50, 3, 24, 24)
    unit = Occlusion().sample(Keys(torch.arange(50), scope="occlusion"), black)
    before = black
    for side in (2.0, 5.0, 11.0, 30.0, 70.0):
        after = Occlusion()(black, unit, side)
        assert bool((after >= before - 1e-6).all())
        before = after


def test_the_patch_moves_continuously() -> None:
    """A hundredth of a pixel in position or side changes no pixel by more than a hundredth or so."""
    x = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    first = Occlusion(fill=1.0)(x, at(0.1, -0.3), 20.0)
    moved = Occlusion(fill=1.0)(x, at(0.1 + 0.02 / (32 * 0.8), -0.3), 20.0)
    larger = Occlusion(fill=1.0)(x, at(0.1, -0.3), 20.0 + 100 * 0.01 / 32)
    assert 0 < float((moved - first).abs().max()) <= 0.0101
    assert 0 < float((larger - first).abs().max()) <= 0.0201


def test_linf_is_uniform_in_the_box(photographs: Tensor) -> None:
    """Oracle: Kolmogorov-Smirnov against the uniform distribution, and the bound itself."""
    grey = torch.full_like(photographs, 0.5)
    y = Linf()(grey, Linf().sample(Keys(torch.arange(6), scope="linf"), grey), 8.0)
    change = (y - grey) * 255 / 8
    assert float(change.abs().max()) <= 1 + 1e-5
    assert stats.kstest(change.double().numpy().ravel(), "uniform", args=(-1, 2)).pvalue > 1e-4


def test_l2_is_uniform_in_the_ball() -> None:
    """Closed form: norm ** n is uniform; every coordinate's mean square is 1 / (n + 2); directions are even."""
    x = torch.full((2000, 3, 8, 8), 0.5, dtype=torch.float64)
    field = L2().sample(Keys(torch.arange(2000), scope="l2"), x)["field"].flatten(1)
    n = field.shape[1]
    radius = field.norm(dim=1)
    assert stats.kstest((radius**n).numpy(), "uniform").pvalue > 1e-4
    assert float(field.square().mean()) == pytest.approx(1 / (n + 2), rel=0.02)
    assert float((field[:, 0] > 0).double().mean()) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2000))


def test_l2_counts_the_norm_over_the_whole_image() -> None:
    """Closed form: around mid-grey nothing clips, so the change's norm is s / 255 times the unit's."""
    x = torch.full((5, 3, 16, 24), 0.5, dtype=torch.float64)
    unit = L2().sample(Keys(torch.arange(5), scope="l2"), x)
    change = (L2()(x, unit, 300.0) - x).flatten(1).norm(dim=1)
    torch.testing.assert_close(change, unit["field"].flatten(1).norm(dim=1) * 300 / 255)


@pytest.mark.parametrize("kind", [Linf, L2])
def test_a_share_of_1_is_refused_with_what_was_meant(kind: type[Linf] | type[L2]) -> None:
    """Oracle: 0.031 * 255 = 7.9, 8 / 255 = 0.0314, 0.0001 * 255 rounds to 0 but means at least 1."""
    for share, meant in ((0.031, 8), (8 / 255, 8), (2 / 255, 2), (0.0999, 25), (0.0001, 1)):
        with pytest.raises(SemconError, match=rf"the unit is 1/255: did you mean {meant}\?"):
            kind().check_severity(share)
    for fine in (0.0, 0.1, 0.5, 1.0, 8.0):
        assert kind().check_severity(fine) == fine
