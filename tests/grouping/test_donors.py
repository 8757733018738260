"""Who is taken from, how much predictions follow that, and how often chance alone looks like it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from semcon.core.clustered import two_way_error
from semcon.grouping.donors import Pool, followed
from semcon.loading import Batch


def pool(labels: torch.Tensor, ids: torch.Tensor | None = None) -> Pool:
    ids = torch.arange(len(labels)) * 7 + 3 if ids is None else ids
    titles = tuple(map(str, range(len(labels))))
    return Pool.of(Batch(torch.zeros(len(labels), 1), torch.arange(len(labels)), ids, labels, titles), labels)


def test_donors_are_of_the_predicted_class_first_then_of_different_others_and_never_the_image_itself() -> None:
    labels = torch.arange(60) % 5
    own = pool(labels)
    ids = torch.arange(60) * 7 + 3
    chosen = own.chosen(ids, labels, 4, 0)
    classes = own.classes[chosen]
    assert torch.equal(classes[:, 0], labels)
    assert all(len(set(row)) == 4 for row in classes.tolist())
    assert not bool((own.images.ids[chosen] == ids[:, None]).any())
    assert torch.equal(own.chosen(ids[20:40], labels[20:40], 4, 0), chosen[20:40]), "the batch is nothing to it"


def test_donors_of_a_class_are_drawn_evenly() -> None:
    """Of six others each comes a sixth of the time; the image itself does not."""
    own = pool(torch.tensor([0] * 7 + [1] * 7))
    ids = torch.cat([own.images.ids[3:4], torch.arange(1000, 7000)])
    counts = torch.bincount(own.chosen(ids, torch.zeros(len(ids), dtype=torch.int64), 1, 0)[1:, 0], minlength=14)
    assert stats.chisquare(counts[:7].numpy()).pvalue > 0.001
    assert int(counts[7:].sum()) == 0


@pytest.mark.parametrize("classes", [2, 4])
def test_a_class_that_has_only_the_image_itself_is_passed_over(classes: int) -> None:
    """Image 0 is alone in its class: its donors are of the others, whose rows these are."""
    labels = torch.cat([torch.zeros(1), 1 + torch.arange(12) % (classes - 1)]).long()
    own = pool(labels)
    chosen = own.chosen(own.images.ids[:1], torch.zeros(1, dtype=torch.int64), 4, 0)
    assert chosen.shape == (1, min(4, classes))
    assert 0 not in own.classes[chosen].tolist()[0]


def test_a_prediction_that_follows_the_donor_scores_1_and_one_that_does_not_0() -> None:
    own, classes = np.zeros(50, np.int64), np.tile([0, 1, 2], (50, 1))
    donors = np.arange(150).reshape(50, 3)
    always, never = followed(own, classes, classes, donors), followed(own, np.zeros_like(classes), classes, donors)
    assert always is not None
    assert never is not None
    assert (always.mean, always.images, always.donors) == (1.0, 50, 150)
    assert always.error == pytest.approx(0, abs=1e-12)
    assert (never.mean, never.error) == (0.0, 0.0)
    alike = np.ones((50, 3), np.int64)
    assert followed(own, alike, alike, donors) is None, "donors of one class tell nothing"


def test_a_score_is_that_of_the_definition_by_loops() -> None:
    generator = np.random.default_rng(0)
    own, predicted = generator.integers(0, 4, 30), generator.integers(0, 4, (30, 3))
    classes = np.stack([generator.permutation(4)[:3] for _ in range(30)])
    scores = []
    for image in range(30):
        foreign = [k for k in range(3) if classes[image, k] != own[image]]
        each = [
            (predicted[image, k] == classes[image, k])
            - np.mean([predicted[image, j] == classes[image, k] for j in foreign if j != k])
            for k in foreign
        ]
        scores.append(np.mean(each))
    found = followed(own, predicted, classes, generator.integers(0, 20, (30, 3)))
    assert found is not None
    assert found.mean == pytest.approx(np.mean(scores))


def test_a_prediction_that_only_falls_follows_nothing_whatever_the_number_of_donors() -> None:
    """It leaves its class for one of its own choice where the property is foreign; of two classes that is following."""
    for donors in (3, 4, 6):
        classes = np.stack(
            [np.random.default_rng(image).permutation(np.arange(1, 10))[:donors] for image in range(200)]
        )
        classes[:, 0] = 0
        predicted = np.where(classes == 0, 0, 1 + np.arange(200)[:, None] % 9)
        found = followed(np.zeros(200, np.int64), predicted, classes, np.arange(classes.size).reshape(classes.shape))
        assert found is not None
        assert found.mean == pytest.approx(0, abs=1e-12)
    two = followed(np.zeros(5, np.int64), np.tile([0, 1], (5, 1)), np.tile([0, 1], (5, 1)), np.arange(10).reshape(5, 2))
    assert two is not None
    assert two.mean == 1


def test_donors_hang_on_no_order_of_the_images() -> None:
    labels, ids = torch.arange(60) % 5, torch.arange(60) * 7 + 3
    turned = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    one, two = pool(labels, ids), pool(labels[turned], ids[turned])
    mine, theirs = (each.images.ids[each.chosen(ids, labels, 4, 0)] for each in (one, two))
    assert torch.equal(mine, theirs)


def test_two_way_errors_in_closed_form() -> None:
    """A donor for each term adds nothing; of two terms twice their product; what is the kind's adds nothing."""
    terms = np.array([[1.0], [-1.0], [3.0], [-3.0]])
    alone, kinds = np.arange(4)[:, None], np.zeros((4, 1), np.int64)
    assert two_way_error(terms, alone, kinds) == pytest.approx(np.sqrt(20 * 4 / 3))
    pairs = np.array([0, 1, 0, 1])[:, None]
    assert two_way_error(terms, pairs, kinds) == pytest.approx(np.sqrt(20 * 4 / 3 + 2 * (3 + 3) * 2))
    classes = np.array([1.0, 1, 1, 1, -1, -1, -1, -1]).reshape(2, 4).T  # each image one of both: sums of 0
    donors = np.array([0, 0, 1, 1, 2, 2, 3, 3]).reshape(2, 4).T
    assert two_way_error(classes, donors, (classes > 0).astype(np.int64)) == 0
    assert two_way_error(classes, donors, np.zeros((4, 2), np.int64)) == pytest.approx(np.sqrt(4 * 2 * 4 / 3))


@pytest.mark.parametrize("effect", [0.2, 0.9])
def test_donors_that_draw_predictions_whatever_their_class_are_seldom_taken_for_a_bias(effect: float) -> None:
    """An honest null: every donor has a class of its own to which it draws copies, which is not its label.

    Nominal 5 %. Taking images as independent of each other is wrong here for a third of the repetitions and more.
    """
    generator, false, naive, repetitions = np.random.default_rng(1), 0, 0, 150
    labels, ids = torch.arange(240) % 4, torch.arange(240) * 7 + 3
    some = labels[:32]
    own = pool(some, ids[:32])
    for repetition in range(repetitions):
        chosen = own.chosen(ids, labels, 4, repetition).numpy()
        drawn = generator.integers(0, 4, 32)[chosen]
        predicted = np.where(generator.random(chosen.shape) < effect, drawn, labels.numpy()[:, None])
        classes, rows = own.classes.numpy()[chosen], labels.numpy()
        found = followed(rows, predicted, classes, chosen)
        assert found is not None
        false += abs(found.mean) > stats.t.ppf(0.975, min(found.images, found.donors) - 1) * found.error
        lonely = followed(rows, predicted, classes, np.arange(chosen.size).reshape(chosen.shape))
        assert lonely is not None
        naive += abs(lonely.mean) > 1.96 * lonely.error
    assert false / repetitions < 0.1
    assert naive / repetitions > 0.25
