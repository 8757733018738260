"""Two processes with half a batch each against one with all of it: the constraint, and a whole training."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from semcon.constraint import ContinuityConstraint, Options
from semcon.gathering import everywhere, gathered, processes, rank
from semcon.neighbourhood import Neighbourhood
from semcon.objectives import Continuity
from small_networks import images, keys, labels, plain, student

STEPS, BATCH, WORLD = 20, 16, 2
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": ("logits", {}),
    "a quarter": ("logits", {"share": 0.25}),
    "two layers of a quarter": (("logits", "penultimate"), {"share": 0.25}),
    "an eighth, searched": ("logits", {"share": 0.125, "ascent_steps": 2}),
}


class Whole(nn.Module):
    """Student and objective, as the training loop wraps them."""

    def __init__(self, case: str) -> None:
        super().__init__()
        representation, options = CASES[case]
        near = Neighbourhood.of(["gaussian_noise", "brightness", "linf"], [0.1, 0.3, 8.0])
        self.student = student(plain()).double()
        self.objective = Continuity(
            ContinuityConstraint(near, "l2", representation, options=Options(**options, ramp=5)), alpha=4.0
        )

    def forward(self, x: Tensor, y: Tensor, rows: Tensor, step: int) -> Tensor:
        mine = keys(BATCH, draw=step).of(rows)
        return self.objective.total(self.objective(self.student, x, y, mine))


def trained(case: str, own: slice) -> tuple[dict[str, Tensor], float, float]:
    """Weights after some steps with this slice of every batch, the last loss, and the running spread."""
    whole = Whole(case)
    wrapped: nn.Module = DistributedDataParallel(whole) if processes() > 1 else whole
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.05, momentum=0.9)
    loss = torch.zeros(())
    for step in range(STEPS):
        x = images(BATCH, seed=step, dtype=torch.float64)
        rows = torch.arange(BATCH)[own]
        loss = wrapped(x[own], labels(BATCH)[own], rows, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    constraint = whole.objective.constraint
    return whole.student.state_dict(), float(gathered(loss.detach()[None]).mean()), float(constraint.scales[0])


def work(number: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=address, rank=number, world_size=WORLD)
    found: dict[str, Any] = {"rank": rank(), "processes": processes()}
    size = BATCH // WORLD
    for case in CASES:
        found[case] = trained(case, slice(number * size, (number + 1) * size))
    ids = torch.arange(3) + 3 * number
    found["gathered"] = gathered(ids)
    z = torch.tensor([[1.0 + number], [3.0 - number]], requires_grad=True)
    # the square of the sum over all processes, times the process's own weight
    (everywhere(z).sum().square() * (number + 1)).backward()
    found["gradient"] = z.grad
    without = ContinuityConstraint("gaussian_noise", severity=0.1)
    x = images(4, dtype=torch.float64)[2 * number : 2 * number + 2]
    found["keyless"] = without.copies(plain(), x).x
    torch.save(found, Path(folder) / f"{number}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("gloo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, str(folder)), nprocs=WORLD)
    return [torch.load(folder / f"{number}.pt") for number in range(WORLD)]


@pytest.mark.parametrize("case", list(CASES))
def test_two_processes_train_as_one(two: list[dict[str, Any]], case: str) -> None:
    """Oracle: one process with the same global batch: float64, no batch norm, 20 steps, several perturbations; weights,
    loss and running spread within 1e-10.
    """
    weights, loss, spread = trained(case, slice(None))
    start = student(plain()).double().state_dict()
    assert max(float((weights[name] - start[name]).abs().max()) for name in weights) > 1e-3
    for found in two:
        other, its_loss, its_spread = found[case]
        for name, value in weights.items():
            assert float((other[name] - value).abs().max()) < 1e-10, name
        assert its_loss == pytest.approx(loss, abs=1e-10)
        assert its_spread == pytest.approx(spread, abs=1e-10)


def test_rows_come_in_the_order_of_the_ranks(two: list[dict[str, Any]]) -> None:
    """Oracle: by hand."""
    assert [found["rank"] for found in two] == [0, 1]
    assert [found["processes"] for found in two] == [2, 2]
    assert all(torch.equal(found["gathered"], torch.arange(6)) for found in two)


def test_gradients_come_back_from_all_processes(two: list[dict[str, Any]]) -> None:
    """Oracle: by hand: the losses are S^2 and 2 S^2 with S = 1 + 3 + 2 + 2 = 8, so every row gets 2 S + 4 S = 48."""
    for found in two:
        assert found["gradient"].flatten().tolist() == [48.0, 48.0]


def test_without_keys_a_samples_place_in_the_global_batch_decides(two: list[dict[str, Any]]) -> None:
    """Oracle: one process with both halves."""
    whole = ContinuityConstraint("gaussian_noise", severity=0.1).copies(plain(), images(4, dtype=torch.float64)).x
    assert torch.equal(torch.cat([found["keyless"] for found in two]), whole)


def test_one_process_gathers_nothing() -> None:
    """Oracle: identity."""
    values = torch.rand(3, requires_grad=True)
    assert gathered(values) is values
    assert everywhere(values) is values
    assert (rank(), processes()) == (0, 1)
