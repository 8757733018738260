"""The margin over two directions. Oracles: a linear model's plane, the image itself, the model asked point by point."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from semcon.canvas import Canvas
from semcon.keyed import Keys
from semcon.measuring.slopes import Margin
from semcon.measuring.surface import sign_directions, surface
from semcon.subject import Subject

SHAPE = (3, 4, 4)


def linear(classes: int = 3) -> Subject:
    torch.manual_seed(0)
    return Subject(nn.Sequential(nn.Flatten(), nn.Linear(48, classes)), name="plane", canvas=Canvas(4, 4))


def image() -> torch.Tensor:
    return 0.3 + 0.4 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


def test_two_classes_of_a_linear_model_make_a_plane():
    """Oracle: 1 in the middle, and the weights' difference along both directions, from the top left on."""
    model, x = linear(2), image()
    margin = Margin.at(model, x[None])
    first, second = (part[0] for part in sign_directions(margin, Keys(torch.tensor([3])), SHAPE))
    values = surface(model, x, (first, second), 8.0, side=5)
    slope = [float((margin.gradient[0] * way).sum() / margin.value[0]) / 255 for way in (first, second)]  # pyright: ignore
    steps = torch.tensor([-8.0, -4, 0, 4, 8])
    torch.testing.assert_close(values, 1 + steps * slope[0] + steps.flip(0)[:, None] * slope[1], rtol=1e-3, atol=1e-3)
    assert slope[0] < 0, "to the right the margin falls"


def test_below_zero_another_class_is_predicted():
    model, x = linear(), image()
    first, second = torch.randn(SHAPE), torch.randn(SHAPE)
    values = surface(model, x, (first, second), 200.0, side=7)
    steps = torch.linspace(-200, 200, 7) / 255
    copies = torch.stack([(x + a * first + b * second).clamp(0, 1) for b in steps.flip(0) for a in steps])
    with torch.no_grad():
        same = model.model(copies).argmax(1) == model.model(x[None]).argmax(1)
    assert values[3, 3] == pytest.approx(1, abs=1e-5)
    assert ((values >= 0) == same.view(7, 7)).all()
    assert not same.all()


def test_directions_are_signs_and_keyed():
    model = linear()
    x = torch.stack([image()] * 3)
    ids = torch.tensor([1, 2, 3])
    first, second = sign_directions(Margin.at(model, x), Keys(ids), SHAPE)
    assert set(second.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(second.mean())) < 0.3
    again = sign_directions(Margin.at(model, x[1:2]), Keys(ids[1:2]), SHAPE)
    torch.testing.assert_close(again[0][0], first[1])
    torch.testing.assert_close(again[1][0], second[1])
    blind = Subject(lambda batch: model.model(batch).detach(), name="blind", canvas=Canvas(4, 4))
    other, _ = sign_directions(Margin.at(blind, x), Keys(ids), SHAPE)
    assert set(other.unique().tolist()) == {-1.0, 1.0}
    assert not torch.equal(other[0], other[1])
