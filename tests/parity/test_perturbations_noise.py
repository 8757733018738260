"""Noise against its distributions: moments, scipy's tests, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from semcon.keyed import Keys
from semcon.perturbations import GaussianNoise, SaltAndPepper

IDS = torch.arange(6)


def test_gaussian_noise_is_normal_with_sigma_s(photographs: Tensor) -> None:
    """Around mid-grey, where nothing clips. Oracle: Kolmogorov-Smirnov against the normal distribution."""
    grey = torch.full_like(photographs, 0.5)
    y = GaussianNoise()(grey, GaussianNoise().sample(Keys(IDS, scope="gaussian_noise"), grey), 0.05)
    assert stats.kstest(((y - grey) / 0.05).double().numpy().ravel(), "norm").pvalue > 1e-4


def test_gaussian_noise_is_independent_between_channels_and_pixels(photographs: Tensor) -> None:
    """Oracle: correlations of n independent normals stay below 5 / sqrt(n)."""
    field = GaussianNoise().sample(Keys(IDS, scope="gaussian_noise"), photographs)["field"].double()
    bound = 5 / field[:, 0].numel() ** 0.5
    for a, b in (
        (field[:, 0], field[:, 1]),
        (field[..., 1:], field[..., :-1]),
        (field[..., 1:, :], field[..., :-1, :]),
    ):
        assert abs(float((a * b).mean())) < bound


def test_gaussian_noise_clips_and_scales_one_field(photographs: Tensor) -> None:
    """Closed form: clip(x + s n) with the same n at every s."""
    unit = GaussianNoise().sample(Keys(IDS, scope="gaussian_noise"), photographs)
    for severity in (0.01, 0.2):
        expected = np.clip(photographs.numpy() + np.float32(severity) * unit["field"].numpy(), 0, 1)
        np.testing.assert_allclose(GaussianNoise()(photographs, unit, severity).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("severity", [0.5, 4.0, 30.0])
def test_salt_and_pepper_hits_its_share(severity: float) -> None:
    """Oracle: the binomial distribution of hits, and of white among them (two-sided exact tests)."""
    grey = torch.full((6, 3, 80, 90), 0.5)
    y = SaltAndPepper()(grey, SaltAndPepper().sample(Keys(IDS, scope="salt_and_pepper"), grey), severity)
    assert torch.equal(y[:, :1].expand_as(y), y), "all channels of a pixel together"
    hit, white = int((y[:, 0] != 0.5).sum()), int((y[:, 0] == 1).sum())
    assert stats.binomtest(hit, y[:, 0].numel(), severity / 100).pvalue > 1e-4
    assert stats.binomtest(white, hit, 0.5).pvalue > 1e-4
    assert set(y.unique().tolist()) == {0.0, 0.5, 1.0}


def test_salt_and_pepper_grows(photographs: Tensor) -> None:
    """A pixel hit at one severity is hit in the same colour at every higher one; at 100 every pixel is."""
    x = 0.25 + photographs / 2
    unit = SaltAndPepper().sample(Keys(IDS, scope="salt_and_pepper"), x)
    before = x
    for severity in (0.5, 3.0, 20.0, 100.0):
        after = SaltAndPepper()(x, unit, severity)
        hit = before != x
        assert torch.equal(after[hit], before[hit])
        before = after
    assert set(before.unique().tolist()) == {0.0, 1.0}
