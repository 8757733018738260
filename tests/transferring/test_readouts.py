"""What is learned from features, beside scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from semcon.transferring.features import pooled
from semcon.transferring.readouts import class_means, few, linear_probe, nearest_neighbours
from semcon.transferring.target import first_of_each

CLASSES, N, WIDTH = 4, 400, 16


def clouds(apart: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features of `N` images to learn from and as many to judge by, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2 * N) % CLASSES
    middle = torch.randn(CLASSES, WIDTH, generator=generator) * apart
    x = middle[labels] + torch.randn(2 * N, WIDTH, generator=generator) + 3
    return x[:N], labels[:N], x[N:], labels[N:]


def right(prediction: Tensor, labels: Tensor) -> float:
    return float((prediction == labels).float().mean())


def test_neighbours_are_scikit_learns() -> None:
    """Oracle: KNeighborsClassifier with the cosine distance and the same weights."""
    x, y, other, truth = clouds(0.5)
    model = KNeighborsClassifier(20, weights=lambda d: np.exp(-d / 0.07), metric="cosine", algorithm="brute")
    model.fit(x.double().numpy(), y.numpy())
    expected = torch.from_numpy(model.predict(other.double().numpy()))
    guess = nearest_neighbours(x, y, other, CLASSES)
    assert right(guess.prediction, expected) > 0.99
    assert 0.5 < right(guess.prediction, truth) < 1
    assert bool((guess.confidence <= 1).all())


def test_the_probe_is_scikit_learns_at_its_strength() -> None:
    x, y, other, truth = clouds(0.5)
    guess, strength = linear_probe(x, y, other, CLASSES)
    scale = StandardScaler().fit(x.double().numpy())
    model = LogisticRegression(C=strength, max_iter=2000).fit(scale.transform(x.double().numpy()), y.numpy())
    expected = torch.from_numpy(model.predict(scale.transform(other.double().numpy())))
    assert torch.equal(guess.prediction, expected)
    assert right(guess.prediction, truth) > right(nearest_neighbours(x, y, other, CLASSES).prediction, truth) - 0.05


def test_features_that_say_nothing_are_at_chance_and_clear_ones_are_not() -> None:
    """Controls: a quarter within four standard errors, and everything."""
    for apart, low, high in ((0.0, 0.16, 0.34), (5.0, 1.0, 1.0)):
        x, y, other, truth = clouds(apart)
        for guess in (nearest_neighbours(x, y, other, CLASSES), linear_probe(x, y, other, CLASSES)[0],
                      class_means(x, y, other, CLASSES)):  # fmt: skip
            assert low <= right(guess.prediction, truth) <= high


def test_class_means_by_hand() -> None:
    """The middle is (1, 1): seen from there class 0 lies at (1, -1), class 1 at (-1, 1)."""
    x, y = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])
    guess = class_means(x, y, torch.tensor([[1.5, 0.9], [0.9, 4.0]]), 3)
    assert guess.prediction.tolist() == [0, 1]
    assert bool((guess.confidence > 0.5).all())


def test_a_class_without_an_image_is_never_said() -> None:
    x, y, other, _ = clouds(0.5)
    kept = y != 2
    x, y = x[kept], y[kept]
    for guess in (nearest_neighbours(x, y, other, CLASSES), linear_probe(x, y, other, CLASSES)[0],
                  class_means(x, y, other, CLASSES)):  # fmt: skip
        assert 2 not in guess.prediction.tolist()


def test_few_are_balanced_nested_and_keyed() -> None:
    ids, labels = torch.arange(60) * 7, torch.arange(60) % 3
    five, ten = (set(few(ids, labels, shots, 0, 0).tolist()) for shots in (5, 10))
    assert five < ten
    assert torch.bincount(labels[list(ten)]).tolist() == [10, 10, 10]
    assert set(few(ids, labels, 5, 0, 1).tolist()) != five
    back = torch.arange(59, -1, -1)
    turned = few(ids[back], labels[back], 5, 0, 0)
    assert {int(ids[back][row]) for row in turned} == {int(ids[row]) for row in five}


def test_copies_are_drawn_once_and_choose_no_penalty() -> None:
    """Every image three times. Oracle: each of them once."""
    ids, labels = torch.arange(60) * 7, torch.arange(60) % 3
    chosen = few(ids.repeat(3), labels.repeat(3), 5, 0, 0)
    assert torch.equal(ids.repeat(3)[chosen], ids[few(ids, labels, 5, 0, 0)])
    assert first_of_each(torch.tensor([5, 3, 5, 3, 9])).tolist() == [0, 1, 4]
    x, y, other, _ = clouds(0.6)
    x, y = x[:60], y[:60]
    strength = linear_probe(x, y, other, CLASSES)[1]
    copies = linear_probe(x.repeat(3, 1), y.repeat(3), other, CLASSES, ids=ids.repeat(3))[1]
    assert copies == strength
    assert linear_probe(x.repeat(3, 1), y.repeat(3), other, CLASSES)[1] > strength


def test_maps_are_pooled_over_their_places_wherever_the_channels_stand() -> None:
    first = torch.rand(2, 64, 7, 9)
    expected = first.mean((2, 3))
    torch.testing.assert_close(pooled(first, 224, 288), expected)
    torch.testing.assert_close(pooled(first.permute(0, 2, 3, 1), 224, 288), expected)
    torch.testing.assert_close(pooled(first.flatten(2).mT, 224, 288), expected)
    torch.testing.assert_close(pooled(expected, 224, 288), expected)
    torch.testing.assert_close(pooled(expected[:, None, None], 32, 32), expected)
    torch.testing.assert_close(pooled(expected[:, :, None, None], 32, 32), expected)
