"""The climb over sizes, against what is known of linear models: the smallest size is the margin over the dual norm."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from semcon.attacking.ascent import Climb, Reached
from semcon.attacking.curve import Curve, Draws, Fallen, Gradient, narrow, search_ladder
from semcon.attacking.goal import Goal, by_margin, margin
from semcon.attacking.space import Space
from semcon.attacking.square import Square
from semcon.core.registry import load
from semcon.keyed import Keys

N, SHAPE = 12, (3, 8, 8)
IDS = torch.arange(N) * 77 + 5
LADDERS = {"linf": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0), "l2": (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)}


def linear(classes: int = 2) -> Tensor:
    return torch.randn(classes, 192, generator=torch.Generator().manual_seed(3))


def model(weights: Tensor) -> Any:
    return lambda x: (x - 0.5).flatten(1) @ weights.T


def images(spread: float = 0.02) -> Tensor:
    """Greys, so that nothing is clipped at the sizes of the ladder."""
    return 0.5 + spread * torch.randn((N, *SHAPE), generator=torch.Generator().manual_seed(4)).clamp(-3, 3)


def attacked(name: str, scores: Any, x: Tensor, topple: Any, rounds: int = 0, seed: int = 0) -> tuple[Curve, Tensor]:
    with torch.no_grad():
        clean = scores(x)
    goal, draws = Goal(scores, clean.argmax(1)), Draws(load("perturbations", name)(), Keys(IDS, seed, 0, name), x)
    curve, unit = search_ladder(x, goal, clean, LADDERS[name], topple=topple, draws=draws)
    return curve, narrow(curve, unit, x, goal, LADDERS[name], topple=topple, draws=draws, rounds=rounds)


@pytest.mark.parametrize(("name", "dual"), [("linf", 1), ("l2", 2)])
def test_the_smallest_size_is_that_of_a_linear_model(name: str, dual: int) -> None:
    """Oracle: the distance from a hyperplane, |margin| over the dual norm of the difference of the weights."""
    weights, x = linear(), images()
    _, critical = attacked(name, model(weights), x, Gradient(20, 1), rounds=14)
    gap = margin(model(weights)(x), model(weights)(x).argmax(1)).abs()
    exact = 255 * gap / (weights[0] - weights[1]).norm(p=dual)
    assert bool((exact < LADDERS[name][-1]).all())
    assert bool((critical >= exact * (1 - 1e-4)).all()), "no attack does better than the closed form"
    torch.testing.assert_close(critical, exact, rtol=0.02, atol=0.01)


def test_clipping_makes_an_image_stronger() -> None:
    """Oracle: a black image whose class can only be left by darkening it stands at every size."""

    def scores(x: Tensor) -> Tensor:
        total = x.flatten(1).sum(1)
        return torch.stack((torch.full_like(total, 1.0), -total), dim=1)

    curve, _ = attacked("linf", scores, torch.zeros(N, *SHAPE), Gradient(10, 2))
    assert bool(curve.critical.isinf().all())


def test_what_was_clipped_may_come_back() -> None:
    """A start outside the range loses nothing: oracle, the closed form of an image whose half is black."""
    weights = torch.stack((torch.zeros(192), torch.ones(192)))
    x = torch.zeros(N, *SHAPE)
    x[:, :, 4:] = 0.5
    scores = model(weights)
    threshold = 96 * 0.5 - 192 * 4 / 255 * 0.999  # out of reach by just less than 4/255 a value

    def shifted(copy: Tensor) -> Tensor:
        return scores(copy) + torch.tensor([0.0, threshold])

    curve, _ = attacked("linf", shifted, x, Gradient(20, 1))
    assert curve.critical.tolist() == [4.0] * N


@pytest.mark.parametrize("name", ["linf", "l2"])
def test_the_ladder_never_falls(name: str) -> None:
    """Whoever fell at a size is down at every larger one, with the copy that it fell with."""
    curve, _ = attacked(name, model(linear(5)), images(), Gradient(5, 1))
    leave = model(linear(5))(images()).argmax(1)
    down = [scores.argmax(1) != leave for scores in curve.scores]
    assert all(bool((after | ~before).all()) for before, after in pairwise(down))
    for rung, fell, scores in zip(LADDERS[name], down, curve.scores, strict=True):
        assert torch.equal(fell, curve.critical <= rung)
        assert bool(scores.isfinite().all())


def test_a_ladder_is_bisected() -> None:
    """Oracle: who stands on seven rungs is attacked at 2, 8 and 16; its copy is made smaller below 2."""
    sizes: list[float] = []

    def nothing(space: Space, goal: Goal, reached: Reached, draws: Draws) -> None:
        sizes.append(float(space.severity.unique()))
        reached.update(torch.arange(N), reached.unit, goal.scores(space.copy(reached.unit)), goal.leave)

    curve, _ = attacked("linf", model(1e-6 * linear() + torch.tensor([[1.0], [-1.0]])), images() + 0.4, nothing)
    assert sizes == [2.0, 8.0, 16.0]
    assert bool(curve.critical.isinf().all())
    assert len({float(scores[0, 0]) for scores in curve.scores[:4]}) == 4
    assert all(torch.equal(scores, curve.scores[3]) for scores in curve.scores[4:])


def test_what_is_known_to_topple_bounds_the_search() -> None:
    """An attack that finds nothing leaves what a copy at the third rung has shown."""
    scores, x = model(linear()), images()
    clean = scores(x)
    draws = Draws(load("perturbations", "linf")(), Keys(IDS, 0, 0, "a"), x)
    known = Fallen.none(draws(0), clean, 7)
    known.note(3, draws(0), -clean, Goal(scores, clean.argmax(1)))
    curve, _ = search_ladder(
        x, Goal(scores, clean.argmax(1)), clean, LADDERS["linf"], topple=lambda *_: None, draws=draws, known=known
    )
    assert curve.critical.tolist() == [1.0] * N
    assert torch.equal(curve.scores[2], -clean)
    assert torch.equal(curve.scores[6], -clean)


def test_images_that_are_wrong_fall_at_0() -> None:
    scores, x = model(linear()), images()
    clean = scores(x)
    draws = Draws(load("perturbations", "linf")(), Keys(IDS, 0, 0, "a"), x)
    curve, _ = search_ladder(x, Goal(scores, 1 - clean.argmax(1)), clean, (1.0,), topple=Gradient(2, 1), draws=draws)
    assert curve.critical.tolist() == [0.0] * N
    assert torch.equal(curve.scores[0], clean)


@pytest.mark.parametrize("momentum", [0.0, 0.75])
def test_a_batch_that_shrinks_gives_the_answer_of_one_that_does_not(momentum: float) -> None:
    """Oracle: the same climb with every image kept to the end; double precision leaves no ties."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    network, x = network.double().requires_grad_(False), images(0.2).double().clamp(0, 1)
    goal, space = Goal(network, network(x).argmax(1)), Space(load("perturbations", "linf")(), x, x.new_full((N,), 4.0))
    found = []
    for shrink in (0.0, 2.0):
        unit = space.perturbation.sample(Keys(IDS, 0, 0, "a"), x)
        reached = Reached.nowhere(unit, 4)
        Climb(20, by_margin, momentum, shrink).run(space, goal, reached, torch.arange(N), unit)
        found.append(reached)
    assert 0 < int(found[0].fallen.sum()) < N
    assert torch.equal(found[0].fallen, found[1].fallen)
    torch.testing.assert_close(found[0].margin, found[1].margin)
    torch.testing.assert_close(found[0].unit["field"], found[1].unit["field"])


def test_only_those_standing_are_looked_at() -> None:
    """Images that fall at the first look cost one forward and one backward pass."""
    passes = [0.0]

    def count(amount: float) -> None:
        passes[0] += amount

    scores, x = model(linear()), images(0.001)
    attacked("linf", scores, x, Gradient(50, 3, count=count))
    assert passes[0] < 0.2 * N * 150 * 3


def test_copies_stay_in_the_ball_and_in_range() -> None:
    for name, norm in (("linf", float("inf")), ("l2", 2.0)):
        x = images(0.4).clamp(0, 1)
        space = Space(load("perturbations", name)(), x, x.new_full((N,), 16.0))
        unit = space.perturbation.sample(Keys(IDS, 0, 0, name), x)
        goal = Goal(model(linear(4)), torch.zeros(N, dtype=torch.int64))
        for _ in range(4):
            _, slope = space.look(unit, goal, by_margin)
            unit = space.moved(unit, slope, 0.7)
            copy = space.copy(unit)
            assert 0 <= float(copy.min()) <= float(copy.max()) <= 1
            assert float((copy - x).flatten(1).norm(p=norm, dim=1).max()) <= 16 / 255 * (1 + 1e-4)


def test_draws_belong_to_the_image() -> None:
    """One image alone falls at the size at which it falls among others; another seed may give another."""
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    network, x = network.double().requires_grad_(False), images(0.2).double().clamp(0, 1)
    clean = network(x)
    draws = Draws(load("perturbations", "linf")(), Keys(IDS, 0, 0, "a"), x)
    whole, _ = search_ladder(
        x, Goal(network, clean.argmax(1)), clean, LADDERS["linf"], topple=Gradient(8, 2), draws=draws
    )
    for i in (0, 5, N - 1):
        row = torch.tensor([i])
        alone, _ = search_ladder(
            x[row], Goal(network, clean[row].argmax(1)), clean[row], LADDERS["linf"], topple=Gradient(8, 2),
            draws=draws.of(row),
        )  # fmt: skip
        assert alone.critical.item() == whole.critical[i]


def test_a_search_without_gradients_finds_a_linear_models_way_out() -> None:
    """At most a rung above twice the closed form on a model of 192 inputs; never better than it."""
    weights, x = linear(), images()
    with torch.no_grad():
        curve, _ = attacked("linf", model(weights), x, Square(300))
    gap = margin(model(weights)(x), model(weights)(x).argmax(1)).abs()
    exact = 255 * gap / (weights[0] - weights[1]).norm(p=1)
    assert bool((curve.critical >= exact * (1 - 1e-4)).all())
    assert bool((curve.critical <= (4 * exact).clamp(min=LADDERS["linf"][0])).all())


def test_margins_and_targets() -> None:
    scores, leave = torch.tensor([[3.0, 1.0, 2.0, 0.0]]), torch.tensor([0])
    assert margin(scores, leave).item() == -1
    goal = Goal(lambda x: x, leave)
    assert [goal.towards(rank, scores).enter.item() for rank in range(4)] == [2, 1, 3, 2]  # type: ignore[union-attr]
    assert by_margin(scores, goal.towards(1, scores)).item() == -2
