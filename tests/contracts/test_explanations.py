"""What every explanation keeps, tested once over the folder: a new file is covered by being there."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.core.concepts import Explanation
from semcon.core.registry import available, load
from semcon.keyed import Keys
from semcon.subject import Subject

SIZE = 16
SMALL = {"lime": {"segments": 8, "samples": 64}, "rise": {"samples": 256, "cells": 4}, "smooth_grad": {"samples": 4}}
PATCH = (slice(4, 8), slice(8, 12))


@pytest.fixture(params=available("explanations"))
def explanation(request: pytest.FixtureRequest) -> Explanation:
    return load("explanations", request.param)(**SMALL.get(request.param, {}))


class Patch(nn.Module):
    """Class 1 is how bright one patch is; class 0 never changes. Nothing else counts."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 1, 1, bias=False)
        self.maps.weight.data.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.zeros_like(x[:, :1])
        seen[:, :, PATCH[0], PATCH[1]] = 1
        bright = (self.maps(x) * seen).sum((1, 2, 3)) / 16
        return torch.stack([torch.zeros_like(bright), bright], 1)


def patch() -> Subject:
    return Subject(Patch(), name="patch", canvas=Canvas(SIZE, SIZE))


def bent() -> Subject:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (
            nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(6, 3),
        )  # fmt: skip
        return Subject(nn.Sequential(*layers), name="net", canvas=Canvas(SIZE, SIZE))


def images(count: int = 5) -> Tensor:
    return 0.2 + 0.6 * torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def keys(count: int = 5) -> Keys:
    return Keys(torch.arange(count) * 2**33 + 7, 3, 0, "explanation")


def test_a_map_of_an_image_does_not_depend_on_the_batch(explanation: Explanation) -> None:
    subject, x, target = bent(), images(), torch.tensor([0, 1, 2, 0, 1])
    own = explanation.settled(subject)
    maps = own(subject, x, target, keys())
    assert maps.shape == (5, SIZE, SIZE)
    assert maps.isfinite().all()
    rows = torch.tensor([3, 1])
    torch.testing.assert_close(own(subject, x[rows], target[rows], keys().of(rows)), maps[rows], atol=1e-5, rtol=1e-3)


def test_equal_keys_give_equal_maps_and_others_others(explanation: Explanation) -> None:
    subject, x, target = bent(), images(), torch.ones(5, dtype=torch.int64)
    own = explanation.settled(subject)
    again = [own(subject, x, target, dataclasses.replace(keys(), seed=seed)) for seed in (3, 3, 4)]
    assert torch.equal(again[0], again[1])
    assert torch.equal(again[0], again[2]) is not explanation.stochastic


def test_facts_hold(explanation: Explanation) -> None:
    """Frozen, picklable, and never negative where it says so."""
    assert pickle.loads(pickle.dumps(explanation)) == explanation
    assert explanation.passes >= 1
    subject = bent()
    maps = explanation.settled(subject)(subject, images(), torch.zeros(5, dtype=torch.int64), keys())
    assert explanation.signed or bool((maps >= 0).all())


def test_those_that_need_no_gradient_serve_a_black_box(explanation: Explanation) -> None:
    if explanation.needs_gradient:
        pytest.skip("needs gradients")
    net = bent()
    box = Subject(lambda x: net(x).detach(), name="box", canvas=Canvas(SIZE, SIZE))
    target = torch.zeros(5, dtype=torch.int64)
    ours = explanation(net, images(), target, keys())
    torch.testing.assert_close(explanation(box, images(), target, keys()), ours, atol=1e-5, rtol=1e-3)


def test_those_with_gradients_can_be_trained_through(explanation: Explanation) -> None:
    """The gradient of the map's sum with respect to x, against a difference quotient (smooth network, float64)."""
    if not explanation.needs_gradient:
        pytest.skip("needs no gradient")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 4, 3, 2), nn.Tanh(), nn.AvgPool2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3))
        subject = Subject(nn.Sequential(*layers), name="net", canvas=Canvas(SIZE, SIZE))
    own, target = explanation.settled(subject), torch.tensor([2])
    x = images(1)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0.95, 0.05  # one brightest and one darkest pixel, whatever the step
    x.requires_grad_()
    weight = torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    (slope,) = torch.autograd.grad((own(subject, x, target, keys(1)) * weight).sum(), x)
    step = 1e-3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        ends = [(own(subject, x + way * step, target, keys(1)).double() * weight).sum() for way in (1, -1)]
    assert float((slope * step).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2, rel=0.05, abs=2e-6)


def test_a_model_that_looks_at_one_patch_is_explained_by_it(explanation: Explanation) -> None:
    """All exact methods put everything there; those that cover squares or superpixels say most there."""
    subject, x = patch(), images() / 2
    x[:, :, PATCH[0], PATCH[1]] += 0.5
    own = explanation.settled(subject)
    if dataclasses.is_dataclass(own) and getattr(own, "layer", None) is not None:
        pytest.skip("its weights are means over all places: every bright place counts")
    maps = own(subject, x, torch.ones(5, dtype=torch.int64), keys())
    inside = maps[:, PATCH[0], PATCH[1]]
    if explanation.needs_gradient:
        torch.testing.assert_close(inside.abs().sum((1, 2)) / maps.abs().sum((1, 2)), torch.ones(5))
    else:
        assert (inside.mean((1, 2)) > maps.mean((1, 2)) + maps.std((1, 2))).all()
