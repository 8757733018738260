"""The continuity constraint: its formula, what cannot be gamed, its options, precision and modes of running."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from semcon.constraint import ContinuityConstraint, Options, evaluating
from semcon.core.errors import SemconError, UnknownNameError
from semcon.neighbourhood import Neighbourhood
from small_networks import Counted, images, keys, normed, plain, student


def net(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Sequential:
    return plain(seed=seed).to(dtype)


def noisy(distance: str = "l2", representation: Any = "logits", **options: Any) -> ContinuityConstraint:
    return ContinuityConstraint("gaussian_noise", distance, representation, 0.1, options=Options(**options))


def x64(count: int = 8) -> Tensor:
    return images(count, dtype=torch.float64)


def centred(logits: Tensor) -> list[list[float]]:
    return [[value - sum(row) / len(row) for value in row] for row in logits.tolist()]


def spread_of(rows: list[list[float]]) -> float:
    """The mean distance between different samples, a double loop."""
    pairs = [math.dist(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
    return sum(pairs) / len(pairs)


# The formula


@pytest.mark.parametrize("relative", [True, False])
def test_the_penalty_is_the_change_over_the_spread(relative: bool) -> None:
    """Oracle: a double loop over the batch, in Python's floats, on logits centred by hand."""
    model, x, constraint = net(), x64(), noisy(relative=relative)
    found = constraint(model, x, model(x), keys())
    copies = constraint.neighbourhood.draw(x, keys().within("constraint"))
    before, after = centred(model(x)), centred(model(copies))
    unit = spread_of(before) if relative else 1.0
    expected = [math.dist(a, b) / unit for a, b in zip(before, after, strict=True)]
    torch.testing.assert_close(found.tolist(), expected, rtol=1e-12, atol=0)


def test_the_joint_pass_gives_the_same_as_two() -> None:
    """Oracle: invariance without batch norm; with it, one call of the network in training mode."""
    model, x = net(), x64()
    clean, together = noisy().together(model, x, keys())
    assert torch.equal(clean.canvas, x)
    torch.testing.assert_close(clean.logits, model(x), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(together, noisy()(model, x, model(x), keys()), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("distance", ["l2", "cosine", "jensen_shannon", "kl"])
def test_nothing_is_gained_by_adding_the_same_to_all_logits(distance: str) -> None:
    """Oracle: invariance of softmax. g(x) = 1000 times the mean pixel, different for every image."""
    model, x = net(), x64()

    class Lifted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return model(x) + 1000 * x.mean((1, 2, 3))[:, None]

    representation = "logits" if distance in ("l2", "cosine") else "probabilities"
    lifted, own = (noisy(distance, representation)(m, x, m(x), keys()) for m in (Lifted(), model))
    torch.testing.assert_close(lifted, own, rtol=1e-8, atol=1e-12)


class Scaled(nn.Module):
    """A network whose representation, logits or penultimate, is multiplied by exp(t)."""

    def __init__(self, network: nn.Sequential, where: str) -> None:
        super().__init__()
        self.body, self.head, self.where = network[:-1], network[-1], where
        self.t = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        if self.where == "penultimate":
            return self.head(features * self.t.exp())
        return self.head(features) * self.t.exp()


def log_scale_slope(constraint: ContinuityConstraint, where: str = "logits") -> tuple[float, float]:
    """Derivative of the mean penalty along log-scale, and the penalty."""
    model, x = Scaled(net(), where), x64()
    penalty = constraint(model, x, constraint.view(model, x), keys()).mean()
    (slope,) = torch.autograd.grad(penalty, model.t)
    return float(slope), float(penalty.detach())


@pytest.mark.parametrize("where", ["logits", "penultimate"])
@pytest.mark.parametrize("distance", ["l2", "cosine"])
def test_shrinking_the_representation_gains_nothing(distance: str, where: str) -> None:
    """Oracle: Euler's theorem for a function of degree 0: the derivative along log-scale is 0, to float64 rounding.

    Mutation seen to fail: a detached divisor gives the penalty itself as the slope.
    """
    slope, penalty = log_scale_slope(noisy(distance, where), where)
    assert penalty > 1e-3
    assert abs(slope) < 1e-14


def test_the_absolute_and_the_half_stopped_penalty_can_be_gamed() -> None:
    """Oracle: Euler's theorem again. Degree 1 without the divisor: the slope is the penalty. With a fixed clean side
    shrinking gains something else than nothing; asked for, the relative form stays possible.
    """
    slope, penalty = log_scale_slope(noisy(relative=False))
    assert slope == pytest.approx(penalty, rel=1e-12)
    for relative in (None, True):
        slope, _ = log_scale_slope(noisy(relative=relative, stop_gradient=True))
        assert abs(slope) > 1e-3


def test_a_fixed_clean_side_gets_no_gradient() -> None:
    """Oracle: the gradient of |z - z'| by hand, with z as numbers."""
    model, x, constraint = net(), x64(), noisy(stop_gradient=True)
    constraint(model, x, model(x), keys()).mean().backward()
    found = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    copies = constraint.neighbourhood.draw(x, keys().within("constraint"))
    target, moved = model(x).detach(), model(copies)
    gap = (target - target.mean(1, keepdim=True)) - (moved - moved.mean(1, keepdim=True))
    gap.square().sum(1).sqrt().mean().backward()
    expected = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    torch.testing.assert_close(found[:-1], expected[:-1], rtol=1e-9, atol=1e-13)


# The floor of the divisor


def test_a_collapsing_batch_cannot_blow_the_penalty_up() -> None:
    """Oracle: closed form. Far below the running spread the divisor is the floor's share of it, and that is counted."""
    model, x, constraint = net(), x64(), noisy(floor=0.1)
    constraint(model, x, model(x), keys())
    assert constraint.floored_share == 0
    spread = spread_of(centred(model(x)))
    assert float(constraint.scales[0]) == pytest.approx(spread, rel=1e-6)
    flat = (images(1, dtype=torch.float64).expand(8, -1, -1, -1) + 1e-5 * x).clone()
    found = constraint(model, flat, model(flat), keys(draw=1))
    copies = constraint.neighbourhood.draw(flat, keys(draw=1).within("constraint"))
    running = 0.99 * spread + 0.01 * spread_of(centred(model(flat)))
    expected = [
        math.dist(a, b) / (0.1 * running) for a, b in zip(centred(model(flat)), centred(model(copies)), strict=True)
    ]
    torch.testing.assert_close(found.tolist(), expected, rtol=1e-6, atol=0)
    assert constraint.floored_share == 0.5
    assert float(constraint.scales[0]) == pytest.approx(running, rel=1e-6)


def test_equal_images_give_a_finite_penalty_even_at_first() -> None:
    """Oracle: the documented contract; a batch of one image has no spread and no running mean yet."""
    model, x = net(torch.float32), images()[:1].expand(8, -1, -1, -1).clone()
    for name, severity in (("brightness", 0.5), ("gaussian_noise", 0.2)):  # copies alike, and copies that differ
        constraint = ContinuityConstraint(name, severity=severity)
        black = torch.zeros_like(x)
        penalty = constraint(model, black, model(black), keys())
        penalty.mean().backward()
        assert not penalty.detach().any()
    assert all(bool(p.grad is None or p.grad.isfinite().all()) for p in model.parameters())


def test_an_overflow_does_not_become_the_running_spread() -> None:
    """Oracle: the penalty of the next batch without the overflow, as a skipped step of half precision leaves it."""
    model, x, constraint = net(), x64(), noisy()
    first = constraint(model, x, model(x), keys())
    constraint(model, x, model(x) * math.inf, keys())
    constraint(model, x, 1e300 * torch.arange(8).double()[:, None] * torch.eye(8, 4).double(), keys())
    again = constraint(model, x, model(x), keys())
    assert bool(first.isfinite().all())
    torch.testing.assert_close(again, first, rtol=1e-12, atol=0)
    assert float(constraint.scales[0]) == pytest.approx(spread_of(centred(model(x))), rel=1e-6)


def test_one_sample_has_no_spread() -> None:
    """Oracle: the message says what to do; the absolute form takes one image."""
    model, x = net(), x64(1)
    with pytest.raises(SemconError, match=r"at least 2 images, or Options\(relative=False\)"):
        noisy()(model, x, model(x), keys(1))
    assert noisy(relative=False)(model, x, model(x), keys(1)).shape == (1,)


# Share, ramp, several perturbations, several representations


@pytest.mark.parametrize(("share", "count"), [(0.25, 2), (0.3, 3), (1 / 8, 1), (0.01, 1), (1.0, 8), (0.99, 8)])
def test_a_share_picks_so_many_and_carries_their_weight(share: float, count: int) -> None:
    """Oracle: ceil(p B) of the penalties are those of the whole batch times B / ceil(p B), the others are 0."""
    model, x = net(), x64()
    whole = noisy()(model, x, model(x), keys())
    found = noisy(share=share)(model, x, model(x), keys())
    chosen = found.detach() > 0
    assert int(chosen.sum()) == count == math.ceil(share * 8)
    torch.testing.assert_close(found[chosen], whole[chosen] * 8 / count, rtol=1e-11, atol=0)


def test_a_share_keeps_the_means_expectation() -> None:
    """Oracle: the mean over 400 visits against that of the whole batch, 5 standard errors; each sample's turn comes
    a quarter of the time (binomial, 5 sigma).
    """
    model, x = net(), x64()
    with torch.no_grad():
        part, whole = noisy(share=0.25), noisy()
        found = torch.stack([part(model, x, model(x), keys(draw=draw)) for draw in range(400)])
        full = torch.stack([whole(model, x, model(x), keys(draw=draw)) for draw in range(400)])
    gap = (found - full).mean(1)
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / 20
    turns = (found > 0).double().mean(0)
    assert float((turns - 0.25).abs().max()) < 5 * math.sqrt(0.25 * 0.75 / 400)


def test_equal_images_in_a_share_keep_the_mean() -> None:
    """Oracle: closed form. Equal images with equal ids are chosen together, and together they weigh the batch."""
    model, x = net(), x64(1).expand(8, -1, -1, -1).clone()
    same = replace(keys(), ids=keys().ids[:1].expand(8).clone())
    constraint = noisy(relative=False, share=0.25)
    whole = noisy(relative=False)(model, x, model(x), same)
    torch.testing.assert_close(constraint(model, x, model(x), same).mean(), whole.mean(), rtol=1e-12, atol=0)


def test_the_ramp_grows_in_a_straight_line() -> None:
    """Oracle: closed form: step k of a ramp of 4 weighs min(k / 4, 1)."""
    model, x = net(), x64()
    full, ramped = noisy(), noisy(ramp=4)
    for step in range(1, 7):
        expected = full(model, x, model(x), keys(draw=step)) * min(step / 4, 1)
        torch.testing.assert_close(ramped(model, x, model(x), keys(draw=step)), expected, rtol=1e-12, atol=0)


def test_several_representations_are_averaged() -> None:
    """Oracle: the mean of the penalties of each alone, on the same copies, each with its own divisor and distance."""
    model, x = net(), x64()
    names, distances = ["logits", "probabilities", "penultimate", "1"], ["l2", "jensen_shannon", "cosine", "l2"]
    both = ContinuityConstraint("gaussian_noise", distances, names, 0.1)
    alone = [ContinuityConstraint("gaussian_noise", d, n, 0.1) for n, d in zip(names, distances, strict=True)]
    found = both(model, x, both.view(model, x), keys())
    each = [one(model, x, one.view(model, x), keys()) for one in alone]
    torch.testing.assert_close(found, torch.stack(each).mean(0), rtol=1e-11, atol=0)
    assert [float(one.scales[0]) for one in alone] == pytest.approx(both.scales.tolist(), rel=1e-12)


# Searches


def test_the_worst_of_several_draws_is_at_least_the_first() -> None:
    """Oracle: order: the first draw is among the candidates; more candidates never do worse, and often better."""
    model, x = net().eval(), x64(32)
    one, two, eight = (
        noisy(relative=False, worst_of=count)(model, x, model(x), keys(32)).detach() for count in (1, 2, 8)
    )
    assert bool((two >= one).all())
    assert bool((eight >= two).all())
    assert float(eight.mean()) > 1.1 * float(one.mean())


class Linear2(nn.Module):
    """Two logits that are linear in the image."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(2, 3 * 64, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T


@pytest.mark.parametrize(("ball", "order"), [("linf", 1), ("l2", 2)])
def test_a_gradient_search_finds_the_worst_of_a_linear_network(ball: str, order: int) -> None:
    """Oracle: the dual norm. Two centred logits move by |(w1 - w2) d| / sqrt 2, at most eps |w1 - w2|_q / sqrt 2; the
    search reaches 99 % of it, and a random draw does not.
    """
    model, x = Linear2(), torch.full((8, 3, 8, 8), 0.5, dtype=torch.float64)
    weight = model.weight.detach()
    most = 8 / 255 * float((weight[0] - weight[1]).norm(order)) / math.sqrt(2)
    for steps, low, high in ((20, 0.99, 1 + 1e-6), (0, 0.0, 0.5)):
        options = Options(relative=False, severities="fixed", ascent_steps=steps)
        found = ContinuityConstraint(ball, severity=8.0, options=options)(model, x, model(x), keys()).detach() / most
        assert low <= float(found.min()) <= float(found.max()) <= high


def test_a_gradient_search_is_at_least_the_random_draw() -> None:
    """Oracle: order, sample by sample, over sets that are searched by gradient and by draws, one of them per sample."""
    model, x = net().eval(), x64(32)
    near = Neighbourhood.of(["linf", "brightness", "gaussian_noise", "posterize"], [8.0, 0.3, 0.1, 4])
    random, searched = (
        ContinuityConstraint(near, options=Options(relative=False, ascent_steps=steps))(model, x, model(x), keys(32))
        for steps in (0, 5)
    )
    assert bool((searched >= random - 1e-12).all())
    assert float(searched.mean().detach()) > 1.1 * float(random.mean().detach())


def test_a_search_leaves_no_trace_in_the_network() -> None:
    """Oracle: invariance: buffers, gradients and modes are those from before; the copies carry no graph."""
    model, x = normed(dropout=0.5).train(), images()
    before = copy.deepcopy(model.state_dict())
    constraint = ContinuityConstraint("linf", severity=8.0, options=Options(ascent_steps=3))
    copies = constraint.copies(model, x, keys())
    assert not copies.x.requires_grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_evaluation_mode_is_left_again_after_an_error() -> None:
    """Oracle: the modes from before, a frozen layer among them."""
    model = normed().train()
    model[1].eval()
    modes: list[bool] = []
    with suppress(ZeroDivisionError), evaluating(model):
        modes = [module.training for module in model.modules()]
        _ = 1 / 0
    assert modes
    assert not any(modes)
    assert [module.training for module in model] == [True, False, True, True, True, True, True]


# Draws


def test_without_keys_every_step_draws_anew_and_its_state_repeats_it() -> None:
    """Oracle: invariance: a constraint that gets another's state makes the same next draws; another seed does not."""
    model, x = net(), x64()
    one = noisy()
    steps = [one(model, x, model(x)).detach() for _ in range(3)]
    assert not torch.equal(steps[0], steps[1])
    state = copy.deepcopy(one.state_dict())
    other = noisy()
    other.load_state_dict(state)
    assert torch.equal(one(model, x, model(x)), other(model, x, model(x)))
    assert int(other.step) == 4
    fresh = noisy()
    assert torch.equal(fresh(model, x, model(x)).detach(), steps[0])
    reseeded = ContinuityConstraint("gaussian_noise", severity=0.1, seed=1)
    assert not torch.equal(reseeded(model, x, model(x)).detach(), steps[0])


@pytest.mark.parametrize("options", [{}, {"worst_of": 2}, {"combine": "chain"}])
def test_with_keys_neither_order_nor_batch_matter(options: dict[str, Any]) -> None:
    """Oracle: invariance of the absolute form under a shuffle and a split into batches of 3 and 5."""
    model, x, whole = net(), x64(), keys()
    near: list[str] = ["gaussian_noise", "brightness", "posterize"]

    def penalty(rows: Tensor) -> Tensor:
        constraint = ContinuityConstraint(near, severity=[0.1, 0.3, 4], options=Options(relative=False, **options))
        return constraint(model, x[rows], model(x[rows]), whole.of(rows)).detach()

    everyone, order = torch.arange(8), torch.tensor([5, 2, 7, 0, 3, 1, 6, 4])
    together = penalty(everyone)
    torch.testing.assert_close(penalty(order), together[order], rtol=1e-10, atol=1e-14)
    split = torch.cat([penalty(everyone[:3]), penalty(everyone[3:])])
    torch.testing.assert_close(split, together, rtol=1e-10, atol=1e-14)


def test_gradients_accumulate_over_parts_of_a_batch() -> None:
    """Oracle: linearity: with keys the absolute form's two half batches add up to the whole batch's gradient; the
    relative form's own halves add up to the sum of their gradients.
    """
    model, x, whole = net(), x64(), keys()
    halves = [torch.arange(4), torch.arange(4, 8)]

    def gradient(parts: list[Tensor], constraint: Callable[[], ContinuityConstraint]) -> Tensor:
        model.zero_grad()
        for rows in parts:
            penalty = constraint()(model, x[rows], model(x[rows]), whole.of(rows))
            (penalty.sum() / 8).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    absolute = lambda: noisy(relative=False)  # noqa: E731
    torch.testing.assert_close(gradient(halves, absolute), gradient([torch.arange(8)], absolute), rtol=1e-9, atol=1e-12)
    relative = noisy()
    each = [gradient([rows], noisy) for rows in halves]
    torch.testing.assert_close(gradient(halves, lambda: relative), each[0] + each[1], rtol=1e-9, atol=1e-12)


# Ways of looking


def test_layers_of_a_plain_module_are_seen_by_name_and_hooks_are_gone_afterwards() -> None:
    """Oracle: the layers computed by hand."""
    model, x = net(), x64()
    constraint = ContinuityConstraint("gaussian_noise", "l2", ["1", "penultimate"], 0.1)
    assert constraint.layers == ("1", "penultimate")
    view = constraint.view(model, x)
    torch.testing.assert_close(view.layers["1"], model[:2](x))
    torch.testing.assert_close(view.layers["penultimate"], model[:6](x))
    constraint(model, x, view, keys()).mean().backward()
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_in_a_network_that_works_in_place_is_what_it_was() -> None:
    """Oracle: the layer's own output, copied before the in-place activation behind it."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.ReLU(inplace=True), nn.Linear(5, 3))
    constraint, x = ContinuityConstraint("gaussian_noise", "l2", "1", 0.1), images()
    torch.testing.assert_close(constraint.view(model, x).layers["1"], model[:2](x))
    constraint(model, x, constraint.view(model, x), keys()).mean().backward()


def test_a_layer_is_seen_before_a_functional_change_in_place() -> None:
    """Oracle: the layer's own output; `out += shortcut` and torch.relu_ write to it afterwards."""

    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head, self.calls = nn.Linear(192, 5), nn.Linear(5, 3), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            out = self.first(x.flatten(1))
            out += 1.0
            return self.head(torch.relu_(out))

    model, x = Written(), images()
    constraint = ContinuityConstraint("gaussian_noise", "l2", "first", 0.1)
    with torch.no_grad():
        torch.testing.assert_close(constraint.view(model, x).layers["first"], model.first(x.flatten(1)))
    constraint, model.calls = ContinuityConstraint("gaussian_noise", "l2", "first", 0.1), 0
    torch.testing.assert_close(constraint.view(model, x).layers["first"], model.first(x.flatten(1)))
    assert model.calls == 1, "a training step is one forward pass"
    with torch.no_grad():
        torch.testing.assert_close(constraint.view(model, x).layers["first"], model.first(x.flatten(1)))


def test_a_divisor_at_its_floor_is_told_of_whichever_look_it_is() -> None:
    """The second look's samples come together from the second step on."""
    model, x = net(), x64()
    constraint = ContinuityConstraint("gaussian_noise", "l2", ["logits", "1"], 0.1)
    constraint(model, x, constraint.view(model, x), keys())
    assert constraint.floored_share == 0
    constraint.scales[1] *= 1e6
    constraint(model, x, constraint.view(model, x), keys())
    assert constraint.floored_share == 0.5


def test_a_student_looks_at_its_own_layers() -> None:
    """Oracle: the same network without preprocessing, fed what the preprocessing gives."""
    network, x = net(), x64()
    taught = student(network).double()
    constraint = ContinuityConstraint("gaussian_noise", "l2", "1", 0.1)
    expected = network[:2]((x - 0.5) / 0.25)
    torch.testing.assert_close(constraint.view(taught, x).layers["1"], expected)


def test_what_cannot_be_looked_at_is_said() -> None:
    """Oracle: the message names what is missing and what to do."""
    model, x = net(), x64()
    layered = ContinuityConstraint("gaussian_noise", "l2", "penultimate", 0.1)
    with pytest.raises(SemconError, match=r"lacks layer 'penultimate': give constraint.view\(model, x\)"):
        layered(model, x, model(x), keys())
    with pytest.raises(UnknownNameError, match="penultimate"):
        ContinuityConstraint("gaussian_noise", "l2", "penultimat", 0.1).view(net(), x)
    with pytest.raises(SemconError, match="wants probabilities"):
        noisy("jensen_shannon")
    with pytest.raises(SemconError, match="one distance, or one for each of 2"):
        ContinuityConstraint("gaussian_noise", ["l2", "l2", "cosine"], ["logits", "penultimate"])
    with pytest.raises(UnknownNameError, match="gaussian_noise"):
        ContinuityConstraint("gausian_noise")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "above 0 and at most 1: got 0"),
        ({"share": 1.5}, "above 0 and at most 1"),
        ({"worst_of": 0}, "at least 1"),
        ({"ramp": -1}, "at least 0"),
        ({"worst_of": 2, "ascent_steps": 3}, "give one of them"),
        ({"floor": 1.0}, "below 1"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    """Oracle: the message says what was expected."""
    with pytest.raises(SemconError, match=message):
        Options(**options)


# Precision and compilation


@pytest.mark.parametrize("name", ["gaussian_blur", "jpeg", "rotation", "gaussian_noise", "color_jitter", "linf"])
@pytest.mark.parametrize("options", [{}, {"worst_of": 2}, {"combine": "chain"}])
def test_copies_are_made_in_full_precision_under_autocast(name: str, options: dict[str, Any]) -> None:
    """Oracle: the copies made outside autocast, bit for bit; the network is one whose order of copies bf16 keeps."""
    x, model = images(4), Counted(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    near = ["brightness", name] if options.get("combine") else name
    outside, inside = (ContinuityConstraint(near, options=Options(**options)) for _ in range(2))
    expected = outside.copies(model, x, keys(4)).x
    with torch.autocast("cpu", torch.bfloat16):
        assert nn.functional.conv2d(x, torch.ones(1, 3, 1, 1)).dtype == torch.bfloat16
        found = inside.copies(model, x, keys(4)).x
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("representation", ["logits", "probabilities", "penultimate"])
def test_the_penalty_under_bfloat16_is_close_and_finite(representation: str) -> None:
    """Oracle: the penalty in float32, within what 8 bits of mantissa leave of it; gradients are finite."""
    model, x = net(torch.float32), images(32)
    full, half = noisy("l2", representation), noisy("l2", representation)
    expected = full(model, x, full.view(model, x), keys(32))
    with torch.autocast("cpu", torch.bfloat16):
        found = half(model, x, half.view(model, x), keys(32))
        loss = found.mean()
    loss.backward()
    assert found.dtype == torch.float32
    assert all(bool(p.grad is None or p.grad.isfinite().all()) for p in model.parameters())
    assert float(found.detach().mean()) == pytest.approx(float(expected.detach().mean()), rel=0.05)


@pytest.mark.parametrize("representation", ["logits", "1"])
def test_a_traced_model_gives_the_same_penalty(representation: str) -> None:
    """Oracle: the model as it is; traced and differentiated ahead of time, without a compiler behind."""
    model, x = net(), x64()
    own = ContinuityConstraint("gaussian_noise", "l2", representation, 0.1)
    expected = own(model, x, own.view(model, x), keys())
    expected.mean().backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    model.compile(backend="aot_eager")
    other = ContinuityConstraint("gaussian_noise", "l2", representation, 0.1)
    found = other(model, x, other.view(model, x), keys())
    found.mean().backward()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    again = [p.grad for p in model.parameters() if p.grad is not None]
    torch.testing.assert_close(again, gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_a_compiled_model_gives_the_same_penalty() -> None:
    """Oracle: the model as it is, in float32."""
    model, x = net(torch.float32), images()
    expected = noisy()(model, x, model(x), keys())
    compiled: Any = torch.compile(model)
    torch.testing.assert_close(noisy()(compiled, x, compiled(x), keys()), expected, rtol=1e-4, atol=1e-5)
    joint, _ = noisy().together(compiled, x, keys())
    torch.testing.assert_close(joint.logits, model(x), rtol=1e-4, atol=1e-5)


# Training


def test_training_from_random_weights_stays_finite_and_does_not_collapse() -> None:
    """Oracle: invariance of the relative form: 100 steps on real digits at a high learning rate with alpha 4, no ramp:
    every loss finite, the spread of the logits grows as the network learns, under 1 % of steps at the floor.
    """
    data = pytest.importorskip("sklearn.datasets").load_digits()
    x = torch.tensor(data.images / 16, dtype=torch.float32)[:, None].expand(-1, 3, -1, -1)
    y = torch.tensor(data.target)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    constraint = ContinuityConstraint("gaussian_noise", severity=0.3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    generator, spreads = torch.Generator().manual_seed(0), []
    for _ in range(100):
        rows = torch.randint(len(x), (128,), generator=generator)
        clean, penalty = constraint.together(model, x[rows])
        loss = functional.cross_entropy(clean.logits, y[rows]) + 4 * penalty.mean()
        assert math.isfinite(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            spreads.append(float(torch.pdist(clean.logits).mean()))
    assert constraint.floored_share < 0.01
    assert min(spreads) > 0.3 * spreads[0]
    assert spreads[-1] > spreads[0]
    accuracy = float((model.eval()(x).argmax(1) == y).double().mean())
    assert accuracy > 0.9, (accuracy, spreads[0], spreads[-1])
