"""The search against closed forms: a linear model's worst case is known."""

from __future__ import annotations

import pytest
import torch

from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.search import SearchSettings, bisect, worst_case

IDS = torch.arange(4) + 7


def _draws(perturbation, x, name):
    return lambda number: perturbation.sample(Keys(IDS, 0, number, name), x)


@pytest.mark.parametrize(("name", "dual"), [("linf", 1), ("l2", 2)])
def test_gradient_search_reaches_the_dual_norm_of_a_linear_objective(name, dual):
    """max of <w, x' - x> over the ball of radius r is r times the dual norm of w (closed form)."""
    perturbation = load("perturbations", name)()
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(3, 8, 8, generator=generator)
    x = torch.full((4, 3, 8, 8), 0.5)
    draw = _draws(perturbation, x, name)

    def objective(copy):
        return ((copy - x) * w).flatten(1).sum(1)

    known = [objective(perturbation(x, draw(0), 4.0))]
    best = worst_case(
        perturbation, x, 4.0, draw, objective=objective, settings=SearchSettings(), gradients=True, known=known
    )
    expected = 4 / 255 * w.flatten().norm(p=dual)
    assert torch.allclose(best.value, expected.expand(4), rtol=1e-3)
    assert bool((best.value >= known[0]).all())


@pytest.mark.parametrize("name", ["brightness", "gaussian_noise", "rotation", "grayscale", "salt_and_pepper"])
def test_the_worst_case_is_never_milder_than_the_random_draws(name):
    """The random draws are candidates, so the maximum is at least theirs (invariant)."""
    perturbation = load("perturbations", name)()
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    draw = _draws(perturbation, x, name)
    severity = perturbation.ladder[2]

    def objective(copy):
        return -(copy - x).flatten(1).norm(dim=1)  # the mildest copy: ascent works against the draws

    known = [objective(perturbation(x, draw(i), severity)) for i in range(3)]
    best = worst_case(
        perturbation,
        x,
        severity,
        draw,
        objective=objective,
        settings=SearchSettings(5, 1, 6),
        gradients=True,
        known=known,
    )
    assert bool((best.value >= torch.stack(known).max(0).values).all())
    again = objective(perturbation(x, best.unit, severity))
    assert torch.allclose(again, best.value, atol=1e-5)


def test_bisection_finds_a_known_threshold():
    """Flips from 0.3 on: the bracket (0.2, 0.5) shrinks by 2 ** -10 and keeps the flipping end."""
    threshold = torch.tensor([0.3, 0.21, 0.5])
    found = bisect(lambda s: s >= threshold, torch.full((3,), 0.2), torch.full((3,), 0.5), discrete=False)
    assert bool((found >= threshold).all())
    assert torch.allclose(found, threshold, atol=0.3 / 2**10 + 1e-6)


def test_bisection_over_whole_numbers_gives_the_first_that_flips():
    """Flips from 7, 11 and 20 on, in (5, 20): exact."""
    threshold = torch.tensor([7.0, 11.0, 20.0])
    found = bisect(lambda s: s >= threshold, torch.full((3,), 5.0), torch.full((3,), 20.0), discrete=True)
    assert found.tolist() == [7, 11, 20]
