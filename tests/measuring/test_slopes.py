"""Slopes of the margin and chords in a ball. Oracles: linear and quadratic models, singular values, scale."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.keyed import Keys
from semcon.measuring.slopes import Margin, centred, chord, steepest
from semcon.perturbations import L2
from semcon.search import SearchSettings
from semcon.subject import Subject

SIDE, SIZE = 4, 48


class Quadratic(nn.Module):
    """z_k = s (w_k x + (x - 1/2)' diag(h_k) (x - 1/2) / 2 + b_k): gradients and Hessians are known."""

    def __init__(self, bend: float = 1.0, scale: float = 1.0, classes: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.scale = scale
        self.w = nn.Parameter(torch.randn(classes, SIZE, generator=generator))
        self.h = nn.Parameter(bend * torch.rand(classes, SIZE, generator=generator))
        self.b = nn.Parameter(torch.tensor([3.0, 0.0, -3.0][:classes]))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return self.scale * (flat @ self.w.T + ((flat - 0.5) ** 2) @ self.h.T / 2 + self.b)


def subject(bend: float = 0.0, scale: float = 1.0) -> Subject:
    return Subject(Quadratic(bend, scale), name="known", canvas=Canvas(SIDE, SIDE))


def network(model: Subject) -> Quadratic:
    assert isinstance(model.model, Quadratic)
    return model.model


def images(count: int = 6) -> Tensor:
    """Away from 0 and 1, so that small steps are not clipped."""
    return 0.3 + 0.4 * torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def found(model: Subject, x: Tensor, radius: float, inner: Tensor | None = None, **search: int) -> Tensor:
    keys = Keys(torch.arange(len(x)) + 5)
    settings = SearchSettings(**({"steps": 20, "restarts": 2} | search))
    margin = Margin.at(model, x)
    with torch.no_grad():
        return steepest(
            L2(), model, x, radius, margin, draw=lambda _: L2().sample(keys, x), settings=settings, inner=inner
        )


def lipschitz(model: Subject, x: Tensor, copies: Tensor) -> Tensor:
    with torch.no_grad():
        return chord(model(copies), x, copies, Margin.at(model, x))


def test_the_slope_is_the_gradient_of_the_margin_over_it():
    """Oracle: the closed form, and the difference of the two weights where nothing bends."""
    model, x = subject(bend=0.0), images()
    net, margin = network(model), Margin.at(model, x)
    with torch.no_grad():
        top = net(x).topk(2, dim=1)
    norms = (net.w[top.indices[:, 0]] - net.w[top.indices[:, 1]]).norm(dim=1)
    torch.testing.assert_close(margin.slope, norms / (top.values[:, 0] - top.values[:, 1]))


def test_a_linear_model_is_not_curved():
    model, x = subject(bend=0.0), images()
    assert Margin.at(model, x).curvature(model, x, 2 / 255).abs().max() < 1e-4


def test_the_curvature_of_a_quadratic_model():
    """Oracle: |H v| over the margin, H = diag(h_top - h_second), v minus the gradient's sign over its norm."""
    model, x = subject(bend=4.0), images()
    margin, net = Margin.at(model, x), network(model)
    hessian = net.h[margin.top] - net.h[margin.second]
    expected = hessian.norm(dim=1) / SIZE**0.5 / margin.value
    torch.testing.assert_close(margin.curvature(model, x, 2 / 255), expected.detach(), rtol=1e-3, atol=1e-4)


def test_the_steepest_chord_of_a_linear_model_is_its_largest_singular_value():
    """Oracle: numpy's of the weights less their mean over classes. Any chord is below it; the search comes close."""
    model, x = subject(bend=0.0), images()
    largest = torch.linalg.matrix_norm(centred(network(model).w.detach().T).T, ord=2)
    values = lipschitz(model, x, found(model, x, 16.0))
    assert bool((values <= largest * (1 + 1e-4)).all())
    torch.testing.assert_close(values, largest.expand(len(x)), rtol=0.01, atol=0)
    few = lipschitz(model, x, found(model, x, 16.0, steps=2, restarts=1))
    assert bool((few <= values * (1 + 1e-4)).all())


def test_copies_stay_in_the_ball_and_in_the_canvas():
    model, x = subject(bend=4.0), images()
    for radius in (16.0, 2000.0):
        copies = found(model, x, radius)
        assert bool(((copies - x).flatten(1).norm(dim=1) <= radius / 255 * (1 + 1e-4)).all())
        assert bool(((copies >= 0) & (copies <= 1)).all())


def test_a_larger_ball_has_no_smaller_bound():
    """The small ball's chord is the first candidate, even where no step is taken."""
    model, x = subject(bend=4.0), images()
    small = found(model, x, 16.0)
    for steps in (0, 3):
        large = lipschitz(model, x, found(model, x, 64.0, small, steps=steps, restarts=1))
        assert bool((large >= lipschitz(model, x, small) * (1 - 1e-4)).all())


@pytest.mark.parametrize("factor", [10.0, 0.01])
def test_scaling_the_logits_changes_no_relative_figure(factor: float):
    x = images()
    figures = []
    for model in (subject(bend=4.0), subject(bend=4.0, scale=factor)):
        margin = Margin.at(model, x)
        constant = margin.share(lipschitz(model, x, found(model, x, 32.0)))
        figures.append(torch.stack([margin.slope, margin.curvature(model, x, 2 / 255), constant]))
    torch.testing.assert_close(figures[1], figures[0], rtol=1e-3, atol=1e-5)


def test_without_a_margin_there_is_no_figure():
    """Equal logits: the margin is 0 and nothing can be divided by it."""
    linear = nn.Linear(SIZE, 3, bias=False)
    nn.init.zeros_(linear.weight)
    model = Subject(nn.Sequential(nn.Flatten(), linear), name="flat", canvas=Canvas(SIDE, SIDE))
    x = images()
    margin = Margin.at(model, x)
    assert margin.slope.isnan().all()
    assert margin.curvature(model, x, 2 / 255).isnan().all()
