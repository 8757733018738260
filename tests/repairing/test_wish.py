"""Wishes and looks at the selection split: figures as by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import repair_parts as parts
from semcon.canvas import Canvas
from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.loading import scan
from semcon.measuring.gauges import choose_gauges
from semcon.measuring.plan import Plan, Trial
from semcon.neighbourhood import Neighbourhood
from semcon.repairing.wish import Selection, Wish, near_trials
from semcon.subject import Subject
from semcon.training.pool import Pool

COUNT = 120


def wish(quantity: str, operator: str, threshold: float, severity: float | None = 0.2) -> Wish:
    name = None if severity is None else "gaussian_noise"
    return Wish(f"{quantity} {operator} {threshold}", quantity, name, severity, operator, threshold)


@pytest.mark.parametrize(
    ("operator", "value", "met"),
    [("<=", 0.2, True), ("<", 0.2, False), ("<", 0.1, True), (">=", 0.2, True), (">", 0.2, False), (">", 0.3, True)],
)
def test_strict_wishes_are_strict(operator: str, value: float, met: bool) -> None:
    """Oracle: Python's operators."""
    assert wish("flip", operator, 0.2).met(value) is met


def subject_of(network: nn.Module) -> Subject:
    return Subject(network, name="net", canvas=Canvas(parts.SIDE, parts.SIDE), mean=(0.4,), std=(0.3,))


def selection(*wishes: Wish, labels: bool = True) -> Selection:
    data = parts.corners(COUNT, labels=labels)
    scanned = scan(data)
    subject = subject_of(parts.network())
    pool = Pool(data, subject.canvas, scanned, scanned.labels, device=torch.device("cpu"))
    trials = near_trials(Neighbourhood.of("gaussian_noise", 0.2), wishes)
    gauges = tuple(choose_gauges(subject, (), (("logits", "l2"),)))
    return Selection(pool, trials, wishes, Plan(trials, gauges, seed=1, gradient_norm=False))


def networks() -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return parts.network(), parts.network()


def test_a_look_is_flips_and_accuracy_by_hand() -> None:
    """Oracle: the perturbation drawn with the plan's own keys, argmax by hand, against labels and the first network."""
    first, other = (subject_of(network) for network in networks())
    looking = selection(wish("flip", "<=", 0.5), wish("accuracy", ">=", -1, None))
    one, two = looking.look(first), looking.look(other)
    x, ids = looking.pool.take(torch.arange(COUNT)), looking.pool.ids
    noise = load("perturbations", "gaussian_noise")()
    moved = noise(x, noise.sample(Keys(ids, 1, 0, "gaussian_noise"), x), 0.2)
    labels = torch.arange(COUNT) % 4
    with torch.no_grad():
        clean = [subject(x).argmax(1) for subject in (first, other)]
        flips = [
            float((subject(moved).argmax(1) != y).float().mean())
            for subject, y in zip((first, other), clean, strict=True)
        ]
    right = [(y == labels).double().numpy() for y in clean]
    assert (one.values[0], two.values[0]) == pytest.approx(tuple(flips))
    assert (one.flip, two.flip) == pytest.approx(tuple(flips))
    assert (one.accuracy, two.accuracy) == pytest.approx((right[0].mean(), right[1].mean()))
    assert one.values[1] == 0
    assert two.values[1] == pytest.approx(100 * (right[1] - right[0]).mean())
    assert two.errors[1] == pytest.approx(100 * (right[1] - right[0]).std(ddof=1) / np.sqrt(COUNT))
    p = flips[1]
    assert two.errors[0] == pytest.approx(math.sqrt(p * (1 - p) / COUNT), rel=0.15)


def test_without_labels_accuracy_is_agreement_with_the_first_network() -> None:
    """Oracle: predictions compared by hand."""
    first, other = (subject_of(network) for network in networks())
    looking = selection(wish("accuracy", ">=", -1, None), labels=False)
    assert looking.look(first).accuracy == 1
    x = looking.pool.take(torch.arange(COUNT))
    with torch.no_grad():
        agreement = float((first(x).argmax(1) == other(x).argmax(1)).double().mean())
    seen = looking.look(other)
    assert seen.accuracy == pytest.approx(agreement)
    assert seen.values[0] == pytest.approx(100 * (agreement - 1))


def test_a_figure_that_becomes_undefined_counts_as_missed_but_at_first_is_refused() -> None:
    """Oracle: a network that says the same of every image has no distance between images to divide by."""
    dead = parts.network()
    nn.init.zeros_(dead[5].weight)  # type: ignore[index]
    looking = selection(wish("relative_change", "<=", 0.2))
    with pytest.raises(SemconError, match=r"'relative_change <= 0\.2' cannot be measured on the 120 images"):
        looking.look(subject_of(dead))
    looking = selection(wish("relative_change", "<=", 0.2))
    assert looking.look(subject_of(networks()[0])).values[0] > 0
    seen = looking.look(subject_of(dead))
    assert seen.values == (math.inf,)
    assert not seen.meets(looking.wishes)


def test_what_is_looked_at_is_each_limit_and_each_wish() -> None:
    """Oracle: by hand; also a wish about what is not mended."""
    near = Neighbourhood.of(["gaussian_noise", "hue"], [0.2, 0.1])
    wishes = [
        wish("flip", "<=", 0.1, 0.05),
        Wish("", "flip", "brightness", 0.3, "<=", 0.1),
        wish("accuracy", ">=", -1, None),
    ]
    found = {trial.name: trial.severities for trial in near_trials(near, wishes)}
    assert found == {"gaussian_noise": (0.05, 0.2), "hue": (0.1,), "brightness": (0.3,)}
    assert all(isinstance(trial, Trial) for trial in near_trials(near, wishes))
