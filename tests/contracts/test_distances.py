"""What every distance keeps, tested once over the folder: a new file is covered by being there, and needs an oracle."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import distance as scipy_distance
from scipy.special import rel_entr
from torch import Tensor

from semcon.core.concepts import Distance
from semcon.core.registry import available, load

NAMES = available("distances")
ORACLES: dict[str, Callable[[Any, Any], float]] = {
    "cosine": scipy_distance.cosine,
    "jensen_shannon": lambda p, q: scipy_distance.jensenshannon(p, q) ** 2,
    "kl": lambda p, q: rel_entr(p, q).sum(),
    "l2": scipy_distance.euclidean,
    "label_change": lambda a, b: float(np.argmax(a) != np.argmax(b)),
}
BOUNDS = {"cosine": 2.0, "jensen_shannon": math.log(2), "label_change": 1.0}  # as documented
FAR = -math.log(1e-12)  # KL of disjoint probabilities, as documented


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def distance(name: str) -> Distance:
    return load("distances", name)()


def rows(distance: Distance, n: int = 9, width: int = 6, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Rows that the distance may be asked about, in double precision."""
    values = torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * scale
    return values.softmax(1) if distance.wants == "probabilities" else values


def differentiable(distance: Distance) -> bool:
    return distance(rows(distance).requires_grad_(), rows(distance, seed=1)).requires_grad


def test_facts_are_declared(distance: Distance) -> None:
    assert distance.source
    assert isinstance(distance.homogeneous, bool)
    assert distance.wants in {"vector", "probabilities", "scores"}
    assert (type(distance).__doc__ or "").splitlines()[0].count(" ") > 3
    assert dataclasses.is_dataclass(distance)
    assert pickle.loads(pickle.dumps(distance)) == distance == type(distance)()
    assert hash(distance) == hash(type(distance)())
    assert differentiable(distance) == ("No gradient" not in (type(distance).__doc__ or ""))


@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 6), (torch.float64, 6), (torch.float64, 300)])
def test_it_is_the_definition(distance: Distance, name: str, dtype: torch.dtype, width: int) -> None:
    """Oracle: scipy (labels: numpy's arg max), row by row, in double precision."""
    a, b = rows(distance, 40, width), rows(distance, 40, width, seed=1)
    expected = torch.tensor([ORACLES[name](p, q) for p, q in zip(a.numpy(), b.numpy(), strict=True)])
    found = distance(a.to(dtype), b.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-5, atol=1e-6 if width == 6 else 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "others", "width"), [(9, 4, 6), (3, 5, 300), (5, 8400, 500)])
def test_pairwise_is_every_pair(distance: Distance, dtype: torch.dtype, n: int, others: int, width: int) -> None:
    """Short and long vectors, and more rows than one chunk holds. Oracle: the same pairs one to one."""
    tolerance = 2e-6 if dtype == torch.float32 else 1e-12
    a, b = rows(distance, n, width).to(dtype), rows(distance, others, width, seed=1).to(dtype)
    found = distance.pairwise(a, b)
    assert found.shape == (n, others)
    for i in {0, 1, 3, others - 1} & set(range(others)):
        torch.testing.assert_close(found[:, i], distance(a, b[i].expand_as(a)), rtol=2e-5, atol=tolerance)


@pytest.mark.parametrize("name", ["l2", "cosine"])
@pytest.mark.parametrize("width", [6, 300, 2048])
def test_a_large_common_offset_costs_no_precision(name: str, width: int) -> None:
    """Vectors that differ by a thousandth of what they share. Oracle: scipy in double precision."""
    generator = torch.Generator().manual_seed(0)
    offset = 100 * torch.randn(1, width, generator=generator)
    a, b = (offset + 0.1 * torch.randn(n, width, generator=generator) for n in (7, 11))
    expected = [[ORACLES[name](p, q) for q in b.double().numpy()] for p in a.double().numpy()]
    found = load("distances", name)().pairwise(a, b)
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-2, atol=0)


def test_zero_at_equality_and_never_negative(distance: Distance) -> None:
    """Exactly 0 one to one, also where entries are 0; by pairs within rounding. Close rows stay at 0 or above."""
    a = rows(distance, 50, 10).float()
    a[0] = torch.eye(10)[3]
    assert torch.equal(distance(a, a.clone()), torch.zeros(50))
    torch.testing.assert_close(distance.pairwise(a, a).diagonal(), torch.zeros(50), rtol=0, atol=1e-6)
    if distance.wants != "probabilities":
        zeros = torch.zeros(2, 10)
        assert not distance(zeros, zeros).any()
        assert not distance.pairwise(zeros, zeros).any()
    near = a * (1 + 1e-6 * torch.randn(50, 10, generator=torch.Generator().manual_seed(2)))
    for found in (distance(a, near), distance.pairwise(a, near)):
        assert bool((found.isfinite() & (found >= 0)).all())


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_it_stays_within_its_documented_range(distance: Distance, name: str, scale: float) -> None:
    a, b = rows(distance, 300, 3, scale=scale).float(), rows(distance, 300, 3, seed=1, scale=scale).float()
    for found in (distance(a, b), distance.pairwise(a, b)):
        assert bool(found.isfinite().all())
        assert 0 <= float(found.min()) <= float(found.max()) <= BOUNDS.get(name, math.inf) + 1e-6


@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [
        ("l2", (3.0, 0.0), (0.0, 4.0), 5.0),
        ("cosine", (2.0, 0.0), (-3.0, 0.0), 2.0),
        ("cosine", (1.0, 0.0), (0.0, 9.0), 1.0),
        ("cosine", (0.0, 0.0), (4.0, 1.0), 1.0),
        ("jensen_shannon", (1.0, 0.0), (0.0, 1.0), math.log(2)),
        ("jensen_shannon", (1.0, 0.0), (0.5, 0.5), math.log(4 / 3) / 2 + (math.log(2 / 3) + math.log(2)) / 4),
        ("kl", (1.0, 0.0), (0.5, 0.5), math.log(2)),
        ("kl", (0.5, 0.5), (1.0, 0.0), 0.5 * math.log(0.5) + 0.5 * (math.log(0.5) + FAR)),
        ("kl", (1.0, 0.0), (0.0, 1.0), FAR),
        ("label_change", (1.0, 2.0), (2.0, 1.0), 1.0),
        ("label_change", (1.0, 2.0), (-5.0, 9.0), 0.0),
    ],
)  # fmt: skip
def test_values_by_hand(name: str, a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    """Oracle: closed forms, at the ends of the ranges and where entries are 0."""
    distance, first, second = load("distances", name)(), torch.tensor([a]), torch.tensor([b])
    assert float(distance(first, second)) == pytest.approx(expected, rel=1e-5)
    assert float(distance.pairwise(first, second)) == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_one_equals_a_batch_of_many(distance: Distance) -> None:
    a, b = rows(distance), rows(distance, seed=1)
    before = a.clone(), b.clone()
    together, pairs = distance(a, b), distance.pairwise(a, b)
    assert together.shape == (9,)
    for i in range(9):
        one = slice(i, i + 1)
        torch.testing.assert_close(distance(a[one], b[one]), together[one], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(distance.pairwise(a[one], b), pairs[one], rtol=1e-10, atol=1e-12)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


def test_gradients_are_right_and_finite(distance: Distance) -> None:
    """Oracles: finite differences away from equality (gradcheck); at equality a minimum, flat along the rows' set."""
    if not differentiable(distance):
        pytest.skip("documented without")
    assert torch.autograd.gradcheck(
        distance, (rows(distance).requires_grad_(), rows(distance, seed=1).requires_grad_())
    )
    ones = torch.eye(6, dtype=torch.float64)
    cases = {"inside": (rows(distance), rows(distance)), "corners": (ones, ones), "apart": (ones, ones.flip(0))}
    if distance.wants != "probabilities":
        cases |= {"zeros": (ones * 0, ones * 0), "one zero": (ones, ones * 0)}
    for case, pair in cases.items():
        for precision in (torch.float32, torch.float64):
            a, b = (part.to(precision, copy=True).requires_grad_() for part in pair)
            for gradient in torch.autograd.grad(distance(a, b).sum(), (a, b)):
                assert bool(gradient.isfinite().all()), case
                if case == "inside":
                    along = gradient - gradient.mean(1, keepdim=True) if distance.wants == "probabilities" else gradient
                    torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-5)


def test_homogeneity_is_as_declared(distance: Distance) -> None:
    """Declared: D(c a, c b) = c ** degree D(a, b), one degree for all c. Not: confidence changes pairs unequally.

    Relative figures on probabilities are not scale-free, so nothing that wants them may be declared so.
    """
    assert distance.homogeneous == (distance.wants != "probabilities")
    a, b = rows(distance, 30), rows(distance, 30, seed=1)
    if distance.homogeneous:
        plain = distance(a, b)
        degree = round(math.log2(float(distance(2 * a, 2 * b).sum() / plain.sum())))
        for c in (2.0, 0.25, 30.0):
            torch.testing.assert_close(distance(c * a, c * b), c**degree * plain, rtol=1e-9, atol=1e-12)
    else:
        ratio = distance((2 * a.log()).softmax(1), (2 * b.log()).softmax(1)) / distance(a, b)
        assert float(ratio.std() / ratio.mean()) > 0.05


def test_small_changes_of_a_sure_answer_keep_their_kl() -> None:
    """Oracle: float64 throughout."""
    kl = load("distances", "kl")()
    logits = 8 * torch.randn(200, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = logits + 0.02 * torch.randn(200, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = kl(logits.softmax(1), moved.softmax(1))
    found = kl(logits.float().softmax(1), moved.float().softmax(1)).double()
    some = expected > 1e-9
    assert float(((found - expected).abs() / expected)[some].median()) < 0.02
    assert int((found[some] == 0).sum()) == 0
