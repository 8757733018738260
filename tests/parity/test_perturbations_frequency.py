"""Filters and waves. Oracles: sinusoids, whose spectrum is known; Parseval's theorem; orthonormality."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semcon.perturbations import HighPass, LowPass
from semcon.spectrum import CORNER, basis_image, published_norm

SIZES = [(32, 32), (24, 40), (15, 31)]


def wave(rows: int, columns: int, height: int = 32, width: int = 32, phase: float = 0.3) -> Tensor:
    down = torch.arange(height, dtype=torch.float64)[:, None] / height
    across = torch.arange(width, dtype=torch.float64) / width
    return (2 * math.pi * (rows * down + columns * across) + phase).cos().expand(1, 3, height, width)


def radius(rows: int, columns: int, height: int = 32, width: int = 32) -> float:
    return math.hypot(rows / height, columns / width) / CORNER


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (3, 4), (-5, 2), (0, 9), (12, 12)])
def test_a_sinusoid_is_kept_or_removed_as_a_whole(rows: int, columns: int) -> None:
    colour = torch.tensor([0.3, 0.5, 0.6], dtype=torch.float64).view(1, 3, 1, 1)
    x = colour + 0.2 * wave(rows, columns)
    own = radius(rows, columns)
    step = 2 / (32 * CORNER)
    for cut in (own + step, own - step):
        if not 0 <= cut <= 1:
            continue
        low, high = LowPass()(x, {}, 1 - cut), HighPass()(x, {}, cut)
        kept, removed = (low, high) if cut > own else (high, low)
        torch.testing.assert_close(kept, x, rtol=0, atol=1e-9)
        torch.testing.assert_close(removed, colour.expand_as(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cut", [0.1, 0.37, 0.5, 0.9])
def test_both_parts_together_are_the_image_and_its_mean(size: tuple[int, int], cut: float) -> None:
    x = 0.4 + 0.1 * torch.rand(4, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    together = LowPass()(x, {}, 1 - cut) + HighPass()(x, {}, cut)
    torch.testing.assert_close(together, x + x.mean(dim=(2, 3), keepdim=True), rtol=0, atol=1e-9)


@pytest.mark.parametrize("filter_", [LowPass(), HighPass()])
def test_all_removed_leaves_the_mean_colour(filter_: LowPass | HighPass) -> None:
    x = torch.rand(3, 3, 20, 27, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(filter_(x, {}, 1.0), x.mean(dim=(2, 3), keepdim=True).expand_as(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("filter_", [LowPass(), HighPass()])
def test_the_energy_removed_grows_with_severity(filter_: LowPass | HighPass) -> None:
    """By Parseval: every frequency is scaled by a number that only falls. (Mean pixel change may fall.)"""
    x = 0.45 + 0.1 * torch.rand(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = [(filter_(x, {}, s / 50) - x).square().sum(dim=(1, 2, 3)) for s in range(51)]
    assert bool((torch.stack(moved).diff(dim=0) >= -1e-12).all())


def test_filters_are_continuous_in_the_severity() -> None:
    """Also where a whole ring of frequencies lies on the cut."""
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for cut in (0.25, 0.5, 1 / math.sqrt(2)):
        near = HighPass()(x, {}, cut + 1e-9) - HighPass()(x, {}, cut - 1e-9)
        assert float(near.abs().max()) < 1e-6


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 9), (7, 5)])
def test_basis_images_are_orthonormal(height: int, width: int) -> None:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    basis = basis_image(rows.flatten(), columns.flatten(), height, width).flatten(1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(height * width, dtype=torch.float64), rtol=0, atol=1e-10)


def test_a_basis_image_has_one_frequency_and_its_opposite() -> None:
    spectrum = torch.fft.fft2(basis_image(torch.tensor([3]), torch.tensor([-5]), 16, 20)).abs()[0]
    assert {tuple(place) for place in torch.nonzero(spectrum > 1e-9).tolist()} == {(3, 15), (13, 5)}


def test_the_norm_is_the_published_one() -> None:
    """Yin et al.: 4 for CIFAR-10, 15.7 for ImageNet."""
    assert published_norm(32, 32) == pytest.approx(4)
    assert published_norm(224, 224) == pytest.approx(15.7)
    assert 4 < published_norm(64, 64) < 15.7
