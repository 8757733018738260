"""Weights: Poisson(1), keyed by the image, shared between tables; percentiles keep their order statistics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from semcon.core import bootstrap
from semcon.core.bootstrap import CHUNK, Weights, percentiles, poisson_weights

IDS = np.random.default_rng(0).integers(0, 2**63 - 1, 400)


def test_weights_are_poisson_with_mean_one():
    """Oracle: scipy.stats.poisson; 800 000 numbers, chi-squared over 0..5 and more."""
    counts = np.bincount(poisson_weights(IDS).ravel(), minlength=7)
    observed = [*counts[:6], counts[6:].sum()]
    expected = IDS.size * 2000 * np.array([*stats.poisson.pmf(range(6), 1), stats.poisson.sf(5, 1)])
    assert stats.chisquare(observed, expected * sum(observed) / expected.sum()).pvalue > 1e-3


def test_images_are_independent_of_each_other_and_resamples_too():
    """Oracle: correlations of independent numbers are normal with standard deviation 1 / sqrt(length)."""
    weights = poisson_weights(IDS).astype(float)
    for rows in (weights[:100], weights[:, :100].T):
        correlation = np.corrcoef(rows)[np.triu_indices(100, 1)] * np.sqrt(rows.shape[1])
        assert abs(correlation.std() - 1) < 0.05
        assert np.abs(correlation).max() < 5.5


def test_a_weight_depends_on_seed_resample_and_sample_alone():
    """Invariant: order, company and number of resamples change nothing; another seed changes all."""
    order = np.random.default_rng(1).permutation(len(IDS))
    assert np.array_equal(poisson_weights(IDS)[order], poisson_weights(IDS[order]))
    assert np.array_equal(poisson_weights(IDS)[:7, :50], poisson_weights(IDS[:7], resamples=50))
    assert abs(np.corrcoef(poisson_weights(IDS, 0).ravel(), poisson_weights(IDS, 1).ravel())[0, 1]) < 0.01
    assert np.array_equal(poisson_weights(np.array([5, 5]))[0], poisson_weights(np.array([5, 5]))[1])


def test_ids_that_differ_in_the_high_half_only_get_other_weights():
    """Invariant: all 63 bits count."""
    low, high = poisson_weights(np.array([7, 7 + (1 << 40)]))
    assert not np.array_equal(low, high)


@pytest.mark.parametrize("images", [1, CHUNK - 1, CHUNK + 5])
def test_sums_in_chunks_are_plain_weighted_sums(images):
    """Oracle: one float64 product, over all images and over some of them."""
    generator = np.random.default_rng(2)
    weights = Weights.of(generator.integers(0, 2**62, images), resamples=30)
    columns = generator.normal(size=(3, images))
    np.testing.assert_allclose(weights.sums(columns), columns @ weights.counts.astype(float), rtol=1e-4, atol=1e-3)
    index = generator.permutation(images)[: max(1, images // 2)]
    expected = columns[:, : len(index)] @ weights.counts[index].astype(float)
    np.testing.assert_allclose(weights.sums(columns[:, : len(index)], index), expected, rtol=1e-4, atol=1e-3)


def test_percentiles_are_the_order_statistics_of_the_known_draws():
    """Oracle: numpy's inverted-CDF quantile; NaN left out, infinity kept at the top."""
    draws = np.random.default_rng(3).normal(size=(2, 2000))
    low, high = percentiles(draws)
    for row in range(2):
        assert low[row] == np.quantile(draws[row], 0.025, method="inverted_cdf")
        assert high[row] == -np.quantile(-draws[row], 0.025, method="inverted_cdf")
    draws[0, :500] = np.nan
    assert percentiles(draws)[0][0] == np.quantile(draws[0, 500:], 0.025, method="inverted_cdf")
    draws[1, :30] = np.inf
    assert np.isfinite(percentiles(draws)[1][1])
    draws[1, :60] = np.inf
    assert np.isinf(percentiles(draws)[1][1])
    assert np.isnan(percentiles(np.full((1, 10), np.nan))[0][0])


def test_many_images_are_resampled_in_groups_with_the_same_error(monkeypatch):
    """Oracle: the closed form, standard error = sqrt(sum x^2) of a centred sum; an image keeps its group anywhere."""
    monkeypatch.setattr(bootstrap, "GROUPS", 256)
    generator = np.random.default_rng(5)
    ids = generator.integers(0, 2**62, 6000)
    weights = Weights.of(ids)
    assert weights.counts.shape == (256, 2000)
    x = generator.normal(size=(1, 6000))
    x -= x.mean()
    assert abs(weights.sums(x).std() / np.sqrt((x**2).sum()) - 1) < 0.15
    index = generator.permutation(6000)[:2000]
    expected = x[:, index] @ weights.counts[weights.group[index]].astype(float)
    np.testing.assert_allclose(weights.sums(x[:, index], index), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(weights.of_images(index, slice(0, 9)), weights.counts[weights.group[index], :9])
    assert np.array_equal(Weights.of(ids[::-1].copy()).group, weights.group[::-1])
