"""What every objective keeps, tested once over the folder: a new file is covered by being there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from semcon.constraint import ContinuityConstraint, Options
from semcon.core.concepts import Objective
from semcon.core.registry import available, load
from semcon.neighbourhood import Neighbourhood
from semcon.training.student import Student
from small_networks import Counted, images, keys, labels, normed, plain, student

NAMES = available("objectives")
STILL = {"cross_entropy"}  # looks at the images as they are
BLACK = Neighbourhood.of("brightness", 0.5)  # does nothing to a black image


def near() -> Neighbourhood:
    return Neighbourhood.of(["gaussian_noise", "brightness"], [0.1, 0.3])


def searched(**options: Any) -> Callable[[Neighbourhood], Objective]:
    return lambda neighbourhood: load("objectives", "continuity")(
        ContinuityConstraint(neighbourhood, options=Options(**options))
    )


def distilled(copies: float = 0.0, **options: Any) -> Callable[[Neighbourhood], Objective]:
    """The teacher is a network of its own, in the student's precision."""

    def teacher(x: Tensor) -> Tensor:
        return student(plain(seed=9, side=x.shape[-1])).to(x.dtype).eval()(x)

    return lambda neighbourhood: load("objectives", "distillation")(
        teacher, ContinuityConstraint(neighbourhood, options=Options(**options)), copies=copies
    )


TEACHER = 1  # its pass is not counted by the student's counter


SPECIAL: dict[str, Callable[[Neighbourhood], Objective]] = {
    "cross_entropy": lambda _: load("objectives", "cross_entropy")(),
    "continuity": searched(),
    "distillation": distilled(),
}
VARIANTS: dict[str, Callable[[Neighbourhood], Objective]] = {
    "continuity, a quarter": searched(share=0.25),
    "continuity, worst of 3": searched(worst_of=3),
    "continuity, worst of 3 of a quarter": searched(worst_of=3, share=0.25),
    "continuity, 4 ascent steps": searched(ascent_steps=4),
    "continuity, fixed target": searched(stop_gradient=True),
    "distillation, copies of a quarter, worst of 2": distilled(0.5, share=0.25, worst_of=2),
    "continuity, chain": searched(combine="chain"),
    "trades, 3 steps": lambda neighbourhood: load("objectives", "trades")(neighbourhood, steps=3),
    "augmentation, half": lambda neighbourhood: load("objectives", "augmentation")(neighbourhood, share=0.5),
}


def make(name: str, neighbourhood: Neighbourhood | None = None) -> Objective:
    """An objective by file name, or one of the variants; others take a neighbourhood."""
    build = VARIANTS.get(name) or SPECIAL.get(name) or load("objectives", name)
    return build(neighbourhood or near())


@pytest.fixture(params=[*NAMES, *VARIANTS])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def network(module: nn.Module | None = None, dtype: torch.dtype = torch.float64) -> Student:
    return student(module).to(dtype).train()


def terms_of(
    objective: Objective, model: Student, x: Tensor, rows: Tensor | None = None, *, draw: int = 0
) -> dict[str, Tensor]:
    rows = torch.arange(len(x)) if rows is None else rows
    mine = replace(keys(len(x), draw=draw), ids=keys(len(x)).ids[rows])
    return objective(model, x[rows], labels(len(x))[rows], mine)


def test_facts_are_declared(name: str) -> None:
    """Oracle: the documented contract. A source, a first sentence, a cost of at least one forward and backward pass."""
    objective = make(name)
    assert isinstance(objective, Objective)
    assert objective.source.startswith(("arXiv", "definition"))
    assert (type(objective).__doc__ or "").splitlines()[0].count(" ") > 3
    assert objective.source == "definition" or objective.source in (type(objective).__doc__ or "")
    assert objective.passes >= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_terms_are_one_number_a_sample(name: str, dtype: torch.dtype) -> None:
    """Oracle: the documented contract. (B,), finite, in the images' dtype and on their device."""
    x = images(dtype=dtype)
    before = x.clone()
    terms = terms_of(make(name), network(dtype=dtype), x)
    assert terms
    for value in terms.values():
        assert value.shape == (8,)
        assert value.dtype == dtype
        assert value.device == x.device
        assert bool(value.isfinite().all())
    assert torch.equal(x, before)


def test_the_loss_is_the_weighted_sum_of_means(name: str) -> None:
    """Oracle: a loop over terms and samples. A weight names a term that exists."""
    objective = make(name)
    terms = terms_of(objective, network(), images(dtype=torch.float64))
    assert set(objective.weights()) <= set(terms)
    expected = 0.0
    for term, values in terms.items():
        weight = objective.weights().get(term, 1.0)
        expected += weight * sum(values.tolist()) / len(values)
    assert float(objective.total(terms).detach()) == pytest.approx(expected, rel=1e-12)


def test_gradients_reach_every_parameter(name: str) -> None:
    """Oracle: finite differences of the loss along a random direction in the weights, float64, draws held by keys.

    A search picks its copies without gradient, so there the copies are held by a step too small to change them.
    """
    objective, model = make(name), network()
    x = images(dtype=torch.float64)
    total = objective.total(terms_of(objective, model, x))
    total.backward()
    generator = torch.Generator().manual_seed(3)
    slope, size = 0.0, 1e-6
    directions: list[Tensor] = []
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())
        assert bool(parameter.grad.any())
        directions.append(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        slope += float((parameter.grad * directions[-1]).sum())
    if "target" in name or "ascent" in name or name.startswith("trades"):
        return  # a fixed target, and a copy that follows the weights, have another slope by design
    values: list[float] = []
    for sign in (1, -1):
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for parameter, direction in zip(moved.parameters(), directions, strict=True):
                parameter += sign * size * direction
            values.append(float(objective.total(terms_of(objective, moved, x))))
    assert (values[0] - values[1]) / (2 * size) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("perturbations", [("linf", 4.0), ("gaussian_noise", 0.1), ("posterize", 4)])
def test_passes_are_what_a_step_costs(name: str, perturbations: tuple[str, float]) -> None:
    """Oracle: images counted on their way forward and back (a backward pass is two), for sets that are searched by
    gradient, by draws, and not at all.
    """
    counted = Counted(plain())
    objective = make(name, Neighbourhood.of(*perturbations))
    x = images()
    objective.total(terms_of(objective, network(counted, torch.float32), x)).backward()
    taught = TEACHER if name.startswith("distillation") else 0
    assert counted.passes / len(x) + taught == pytest.approx(objective.passes)


def test_passes_with_several_perturbations_are_the_mean_over_them(name: str) -> None:
    """Oracle: counted passes over 400 images, half of which get a searched ball, half of them draws; within 5 %."""
    counted = Counted(plain(side=4))
    objective = make(name, Neighbourhood.of(["linf", "gaussian_noise"], [4.0, 0.1]))
    x = images(400, side=4)
    objective.total(terms_of(objective, network(counted, torch.float32), x)).backward()
    taught = TEACHER if name.startswith("distillation") else 0
    assert counted.passes / len(x) + taught == pytest.approx(objective.passes, rel=0.05)


def test_the_order_of_the_batch_does_not_matter(name: str) -> None:
    """Oracle: invariance. The draws belong to the sample, so a shuffled batch gives the shuffled terms."""
    x, order = images(dtype=torch.float64), torch.tensor([5, 2, 7, 0, 3, 1, 6, 4])
    straight, shuffled = terms_of(make(name), network(), x), terms_of(make(name), network(), x, order)
    for term, values in straight.items():
        torch.testing.assert_close(shuffled[term], values[order], rtol=1e-9, atol=1e-12)


def test_equal_keys_give_equal_terms_and_another_visit_others(name: str) -> None:
    """Oracle: invariance. No hidden generator: torch's own is not touched and not used."""
    objective, model, x = make(name), network(), images(dtype=torch.float64)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = float(objective.total(terms_of(objective, model, x)).detach())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = (float(objective.total(terms_of(objective, model, x, draw=draw)).detach()) for draw in (0, 1))
    assert first == again
    assert (first == other) == (name in STILL)


@pytest.mark.parametrize("case", ["copies equal", "all black", "one image", "wide logits"])
def test_nothing_is_nan_where_things_are_equal(name: str, case: str) -> None:
    """Oracle: the documented contract, and the ordinary cross-entropy, which every objective keeps where copies equal.

    Black images do not change under brightness; a batch of one image again and again has no spread.
    """
    objective, x = make(name, BLACK), images()
    if case == "copies equal":
        x[::2] = 0
    elif case == "all black":
        x = torch.zeros_like(x)
    elif case == "one image":
        x = x[:1].expand_as(x).clone()
    module = plain()
    if case == "wide logits":
        with torch.no_grad():
            module[-1].weight.mul_(300)
    model = network(module, torch.float32)
    terms = terms_of(objective, model, x)
    objective.total(terms).backward()
    assert all(bool(value.isfinite().all()) for value in terms.values())
    assert all(bool(p.grad is not None and p.grad.isfinite().all()) for p in model.parameters())
    if case == "all black" and "cross_entropy" in terms:
        expected = nn.functional.cross_entropy(model(x), labels(), reduction="none")
        torch.testing.assert_close(terms["cross_entropy"], expected)


def test_the_training_mode_is_restored_and_searches_leave_batch_norm_alone(name: str) -> None:
    """Oracle: batch norm's own counter. One forward pass in training mode a step, the search in evaluation mode; a
    layer frozen in evaluation mode stays so.
    """
    module = normed(dropout=0.5)
    model = network(module, torch.float32)
    module[5].eval()
    modes = [layer.training for layer in model.modules()]
    terms_of(make(name), model, images())
    assert [layer.training for layer in model.modules()] == modes
    counter = module[1].num_batches_tracked
    assert isinstance(counter, Tensor)
    assert int(counter) == 1


def test_its_state_comes_back(name: str) -> None:
    """Oracle: the same objective going on without a break."""
    one, model, x = make(name), network(), images(dtype=torch.float64)
    for draw in range(3):
        terms_of(one, model, x, draw=draw)
    other = make(name)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for term, values in terms_of(one, model, x, draw=3).items():
        assert torch.equal(terms_of(other, model, x, draw=3)[term], values)
