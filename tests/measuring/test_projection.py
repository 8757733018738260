"""The random projection: linear, keyed, the identity on short vectors, distances within the stated error."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semcon.measuring import projection
from semcon.measuring.projection import SIZE, Projection


def vectors(n: int, dimension: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dimension", [1, 10, SIZE])
def test_short_vectors_stay_as_they_are(dimension: int) -> None:
    z, short = vectors(3, dimension), Projection(dimension)
    assert short(z) is z
    assert not short.active
    assert short.error == 0


@pytest.mark.parametrize("dimension", [SIZE + 1, 2 * SIZE, 10_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_element_gets_one_place_and_one_sign(dimension: int, dtype: torch.dtype) -> None:
    """Oracle: the counts. A place holds at most ceil(D / size) elements; one element alone shows up once, 1 or -1."""
    sketch = Projection(dimension)
    assert sketch.active
    out = sketch(torch.ones(2, dimension, dtype=dtype))
    assert out.shape == (2, SIZE)
    assert out.dtype == dtype
    assert float(out.abs().max()) <= math.ceil(dimension / SIZE)
    units = torch.zeros(40, dimension, dtype=dtype)
    columns = torch.linspace(0, dimension - 1, 40).long()
    units[torch.arange(40), columns] = 1
    alone = sketch(units)
    assert int((alone.abs().argmax(1) == columns % SIZE).sum()) <= 2, "shuffled: no grid of an image shares a place"
    assert torch.equal(alone.abs().sum(1), torch.ones(40, dtype=dtype))
    assert 0 < int((alone < 0).sum()) < 40


def test_it_is_linear_and_row_by_row() -> None:
    sketch, a, b = Projection(9_000), vectors(3, 9_000), vectors(3, 9_000, 1)
    torch.testing.assert_close(sketch(2 * a - b), 2 * sketch(a) - sketch(b))
    torch.testing.assert_close(sketch(a[1:2]), sketch(a)[1:2])
    before = a.clone()
    sketch(a)
    assert torch.equal(a, before)


def test_it_belongs_to_the_dimension_and_the_seed() -> None:
    """The same after the tables are forgotten, another for another seed; nearly orthogonal to it."""
    z = vectors(1, 8_192)
    first = Projection(8_192, 5)(z)
    projection._tables.cache_clear()
    assert torch.equal(Projection(8_192, 5)(z), first)
    other = Projection(8_192, 6)(z)
    assert abs(float(torch.cosine_similarity(first, other))) < 5 / math.sqrt(SIZE)


def test_distances_keep_within_the_stated_error() -> None:
    """190 distances of 20 random vectors of 60 000 elements. Oracle: the distances themselves."""
    z, sketch = vectors(20, 60_000), Projection(60_000)
    ratio = torch.pdist(sketch(z)) / torch.pdist(z)
    assert sketch.error == pytest.approx(1 / math.sqrt(2 * 4096))
    spread = float((ratio - 1).square().mean().sqrt())
    assert 0.7 * sketch.error < spread < 1.3 * sketch.error
    assert float((ratio - 1).abs().max()) < 5 * sketch.error


def test_squared_lengths_and_inner_products_are_unbiased() -> None:
    """Over 600 seeds, 64 elements in 16 places. Oracle: two elements share a place with chance (64 / 16 - 1) / 63, and
    then their product enters with a random sign: variance 2 (|z|^4 - sum of z_i^4) times that chance."""
    a, b = vectors(2, 64).split(1)
    sketches = [Projection(64, seed, size=16) for seed in range(600)]
    lengths = torch.stack([s(a).square().sum() for s in sketches])
    products = torch.stack([(s(a) * s(b)).sum() for s in sketches])
    square = a.square().sum()
    variance = float(2 * (square**2 - a.pow(4).sum()) * 3 / 63)
    assert abs(float(lengths.mean() - square)) < 5 * math.sqrt(variance / 600)
    assert float(lengths.var()) == pytest.approx(variance, rel=0.4)
    assert abs(float(products.mean() - (a * b).sum())) < 5 * float(products.std()) / math.sqrt(600)
    assert float((lengths.sqrt() / square.sqrt()).std()) < 1.2 * sketches[0].error


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same() -> None:
    z = vectors(2, 5_000)
    torch.testing.assert_close(Projection(5_000)(z.cuda()).cpu(), Projection(5_000)(z))
