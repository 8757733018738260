"""The training loop: a bare loop's numbers, interrupted anywhere and gone on, stopped where a loss is not finite."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from semcon.core.concepts import Learner, Objective
from semcon.core.errors import SemconError
from semcon.keyed import Keys
from semcon.objectives import CrossEntropy
from semcon.training.loop import Trained, train
from semcon.training.pool import Order
from semcon.training.settings import Settings
from semcon.training.student import Student
from small_networks import plain
from training_parts import CLASSES, COUNT, Pressing, continuity, dataset, fresh, pool, run, weights, with_


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semcon.training.loop.LOG_EVERY", 4)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(one: Trained, other: Trained, folder: Path, other_folder: Path) -> None:
    """Weights and metrics, bit for bit."""
    mine, its = weights(one), weights(other)
    assert mine.keys() == its.keys()
    for name, value in mine.items():
        assert torch.equal(value, its[name]), name
    assert (folder / "metrics.jsonl").read_bytes() == (other_folder / "metrics.jsonl").read_bytes()


# The numbers


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_the_learning_rate_is_the_closed_form(schedule: Any) -> None:
    """Oracles: torch's CosineAnnealingLR; for one cycle the values at the ends, the peak and half way by hand."""
    settings = Settings(200, schedule=schedule, learning_rate=0.5)
    if schedule == "cosine":
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
        torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
        for step in range(201):
            assert settings.rate(step) == pytest.approx(torchs.get_last_lr()[0], rel=1e-9, abs=1e-12)
            optimizer.step()
            torchs.step()
        return
    expected = {0: 0.04, 30: 0.52, 60: 1.0, 130: 0.5 * (1 + 1e-5), 200: 1e-5}
    assert [settings.rate(step) / 0.5 for step in expected] == pytest.approx(list(expected.values()), rel=1e-12)
    rates = [settings.rate(step) for step in range(201)]
    assert sorted(rates[:61]) == rates[:61]
    assert sorted(rates[60:], reverse=True) == rates[60:]


def test_the_default_peak_depends_on_the_optimizer() -> None:
    """Oracle: the documented values."""
    assert max(Settings(100, optimizer="sgd").rate(step) for step in range(100)) == 0.1
    assert max(Settings(100, optimizer="adam").rate(step) for step in range(100)) == 0.01


@pytest.mark.parametrize(("clip", "average"), [(None, None), (0.05, 0.8)])
def test_the_loop_is_a_bare_loop(tmp_path: Path, clip: float | None, average: float | None) -> None:
    """Oracle: SGD with Nesterov momentum, weight decay, clipping and the moving average, written out by hand."""
    settings = Settings(12, 16, learning_rate=0.1, weight_decay=1e-2, clip=clip, average=average, accelerator="cpu")
    data, start = pool(), plain(CLASSES)
    trained = run(
        tmp_path / "run", settings, images=data, objective=CrossEntropy(), student=Student(plain(CLASSES), mean=(0.5,))
    )
    order = Order(data.ids, 16, 0)
    values = [parameter.detach().clone() for parameter in start.parameters()]
    momentum, mean, losses = [torch.zeros_like(value) for value in values], None, []
    for step in range(12):
        for parameter, value in zip(start.parameters(), values, strict=True):
            parameter.data = value.clone()
        rows, _ = order.rows(step)
        x = torch.stack([torch.tensor(data.dataset.image(int(row)) / 255).permute(2, 0, 1) for row in rows]).float()
        loss = functional.cross_entropy(start(x - 0.5), torch.tensor([int(row) % CLASSES for row in rows]))
        losses.append(float(loss.detach()))
        gradients = list(torch.autograd.grad(loss, list(start.parameters())))
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        for i, gradient in enumerate(gradients):
            g = gradient * min(1, (clip or math.inf) / norm) + 1e-2 * values[i]
            momentum[i] = g if step == 0 else 0.9 * momentum[i] + g
            values[i] = values[i] - settings.rate(step) * (g + 0.9 * momentum[i])
        if average is not None and step >= 6:
            mean = list(values) if mean is None else mean
            mean = [average * m + (1 - average) * v for m, v in zip(mean, values, strict=True)]
    expected = values if mean is None else mean
    for found, value in zip(trained.student.network.parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach(), value, rtol=1e-4, atol=1e-6)
    assert [line["loss"] for line in lines(tmp_path / "run")] == pytest.approx(
        [sum(losses[i : i + 4]) / 4 for i in (0, 4, 8)], rel=1e-5
    )
    assert trained.steps == 12
    assert trained.images == 12 * 16


def test_the_averages_batch_norm_is_estimated_anew(tmp_path: Path) -> None:
    """Oracle: the mean of the first convolution's output over the images of an epoch, computed here."""
    data = pool()
    trained = run(tmp_path / "run", with_(augment=()), images=data, objective=CrossEntropy())
    network: Any = trained.student.network
    order = Order(data.ids, 16, 3)
    means = [network[0]((data.take(order.rows(step)[0]) - 0.4) / 0.3).mean((0, 2, 3)) for step in range(3)]
    torch.testing.assert_close(network[1].running_mean, torch.stack(means).mean(0).detach(), rtol=1e-4, atol=1e-5)
    assert not any(module.training for module in trained.student.modules())


def test_averaging_leaves_a_frozen_batch_norm_as_it_was(tmp_path: Path) -> None:
    """Oracle: the statistics that it came with."""
    student = fresh()
    network: Any = student.network
    network[1].requires_grad_(False)
    network[1].running_mean.fill_(0.7)
    run(tmp_path / "run", with_(average=0.9), student=student)
    assert bool((network[1].running_mean == 0.7).all())


def test_statistics_behind_a_frozen_batch_norm_are_of_what_it_gives(tmp_path: Path) -> None:
    """Oracle: the mean of the second convolution's output over an epoch, behind the first batch norm as it is."""
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
    layers[1].requires_grad_(False)
    layers[1].running_mean = torch.full((4,), 0.7)
    data = pool()
    student = Student(network, mean=(0.4,), std=(0.3,))
    run(tmp_path / "run", with_(augment=()), images=data, objective=CrossEntropy(), student=student)
    order = Order(data.ids, 16, 3)
    x = [(data.take(order.rows(step)[0]) - 0.4) / 0.3 for step in range(3)]
    means = torch.stack([network[:3](one).mean((0, 2, 3)) for one in x]).mean(0).detach()
    torch.testing.assert_close(layers[3].running_mean, means, rtol=1e-4, atol=1e-5)


def test_training_leaves_the_callers_randomness_and_module_as_they_were(tmp_path: Path) -> None:
    """Oracle: torch's state before; no gradients, no compiled call."""
    before = torch.get_rng_state()
    student = fresh()
    run(tmp_path / "run", with_(steps=2), student=student)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in student.parameters())


def test_ctrl_c_keeps_the_step_that_ran(tmp_path: Path) -> None:
    """Oracle: the uninterrupted run's weights, bit for bit; the checkpoint is of the step at which it was pressed,
    though the next regular one is far away; Ctrl-C is Python's own again.
    """
    rarely = with_(checkpoint_seconds=1e9)
    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), pool(), continuity(), rarely, folder=(tmp_path / "run"), progress=Pressing(7))
    assert torch.load(tmp_path / "run" / "checkpoint.pt")["step"] == 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    whole, rest = run(tmp_path / "whole", rarely), run(tmp_path / "run", rarely)
    for one, two in zip(weights(whole).values(), weights(rest).values(), strict=True):
        assert torch.equal(one, two)


def test_it_learns(tmp_path: Path) -> None:
    """Oracle: bright corners can be told apart: at least 90 % of the images after 60 steps, chance is 25 %."""
    data = pool()
    trained = run(tmp_path / "run", with_(steps=60, augment=(), learning_rate=0.1), images=data)
    with torch.no_grad():
        right = trained.student(data.take(torch.arange(COUNT))).argmax(1) == data.labels
    assert float(right.double().mean()) > 0.9
    told = lines(tmp_path / "run")
    assert [line["step"] for line in told] == list(range(4, 61, 4))
    assert told[-1]["loss"] < told[0]["loss"]
    assert {"cross_entropy", "continuity", "learning_rate", "epoch", "floored_share", "spread"} <= told[0].keys()
    assert told[0]["learning_rate"] == with_(steps=60, learning_rate=0.1).rate(3)


# Interrupted and gone on


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("seconds", [0.0, 0.02, 1000.0])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path: Path, optimizer: Any, seconds: float) -> None:
    """Oracle: the uninterrupted run, bit for bit, weights and metrics; dropout, batch norm, share, augmentation,
    clipping and averaging inside; checkpoints every step, now and then, and never.
    """
    settings = with_(optimizer=optimizer, learning_rate=0.02 if optimizer == "sgd" else 0.005)
    whole = run(tmp_path / "whole", settings)
    chance = random.Random(f"{optimizer}{seconds}")
    broken = with_(settings, checkpoint_seconds=seconds)
    for after in [1, *(chance.randint(1, 12) for _ in range(4))]:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "part", broken, after=after)
    parted = run(tmp_path / "part", broken)
    same(whole, parted, tmp_path / "whole", tmp_path / "part")
    assert parted.steps == 30


def test_a_run_that_is_over_is_not_trained_further(tmp_path: Path) -> None:
    """Oracle: invariance: the last checkpoint gives the result again."""
    whole, again = run(tmp_path / "run"), run(tmp_path / "run")
    same(whole, again, tmp_path / "run", tmp_path / "run")


def test_torchs_own_generator_does_not_matter(tmp_path: Path) -> None:
    """Oracle: invariance: dropout's numbers come from the step, whatever was drawn before."""
    torch.manual_seed(1)
    one = run(tmp_path / "one")
    torch.rand(7)
    two = run(tmp_path / "two")
    same(one, two, tmp_path / "one", tmp_path / "two")
    other = run(tmp_path / "other", with_(seed=4))
    assert not torch.equal(weights(one)["0.weight"], weights(other)["0.weight"])


class Stopping:
    """Ends the run at the second look; remembers how often it looked."""

    every = 7

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self, student: Student, step: int) -> tuple[dict[str, float], bool]:
        assert not student.training
        self.looks += 1
        return {"looks": float(self.looks)}, self.looks == 2

    def state_dict(self) -> dict[str, Any]:
        return {"looks": self.looks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.looks = state["looks"]


def test_an_observer_looks_and_ends_the_run_also_across_an_interruption(tmp_path: Path) -> None:
    """Oracle: the uninterrupted run; two looks seven steps apart, the second ends it."""
    whole = run(tmp_path / "whole", observer=Stopping())
    assert whole.steps == 14
    looks = [line for line in lines(tmp_path / "whole") if line["kind"] == "look"]
    assert [(line["step"], line["looks"]) for line in looks] == [(7, 1.0), (14, 2.0)]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part", observer=Stopping(), after=10)
    parted = run(tmp_path / "part", observer=Stopping())
    same(whole, parted, tmp_path / "whole", tmp_path / "part")
    assert run(tmp_path / "part", observer=Stopping()).steps == 14


def killed(folder: Path, settings: Settings, checkpoints: int | None, delay: float = 0.0) -> bool:
    """One part of the run in a process of its own, killed some time after so many of its checkpoints were seen; whether
    it was over before.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.save(weights(run(folder, settings)), folder / "result.pt")
            code = 0
        finally:
            os._exit(code)
    seen: set[int] = set()
    while checkpoints is not None and len(seen) <= checkpoints:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        with suppress(FileNotFoundError):
            seen.add((folder / "checkpoint.pt").stat().st_mtime_ns)
        time.sleep(0.0005)
    if checkpoints is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork") or torch.cuda.is_available(), reason="no fork here, or none beside CUDA")
@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_nothing(tmp_path: Path, kills: int) -> None:
    """Oracle: the uninterrupted run, bit for bit, after SIGKILL at random moments, checkpoints at every step."""
    settings, chance = with_(steps=15 * kills, checkpoint_seconds=0.0), random.Random(0)
    whole = run(tmp_path / "whole", settings)
    (tmp_path / "part").mkdir()
    done = 0
    while done < kills and not killed(tmp_path / "part", settings, chance.randint(2, 6), chance.uniform(0, 0.03)):
        done += 1
    if not (tmp_path / "part" / "result.pt").exists():
        assert killed(tmp_path / "part", settings, None)
    assert done >= kills // 2
    for name, value in torch.load(tmp_path / "part" / "result.pt").items():
        assert torch.equal(value, weights(whole)[name]), name
    assert (tmp_path / "part" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_a_torn_temporary_file_is_ignored(tmp_path: Path) -> None:
    """Oracle: the uninterrupted run; what a power cut leaves of a file that was being written has no say."""
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part", after=9)
    content = (tmp_path / "part" / "checkpoint.pt").read_bytes()
    (tmp_path / "part" / "checkpoint.pt.tmp").write_bytes(content[: len(content) // 2])
    with (tmp_path / "part" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "ki')
    same(whole, run(tmp_path / "part"), tmp_path / "whole", tmp_path / "part")


# What stops a run


class Poisoned(Objective):
    """Cross-entropy with a term of 0 that is NaN at a step."""

    source = "definition"
    passes = 3.0

    def __init__(self, step: int) -> None:
        super().__init__()
        self.inner, self.step = CrossEntropy(), step
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        self.seen: Tensor
        self.seen += 1
        poison = x.new_zeros(len(x))
        poison[3] = math.nan if int(self.seen) == self.step else 0
        return {**self.inner(model, x, y, keys), "poison": poison}


def test_a_loss_that_is_not_finite_stops_and_names_batch_and_terms(tmp_path: Path) -> None:
    """Oracle: the message; the checkpoint before it stays, is finite, and the run goes on from it as without poison."""
    whole = run(tmp_path / "whole", objective=Poisoned(1000))
    with pytest.raises(SemconError) as caught:
        run(tmp_path / "part", objective=Poisoned(11))
    message, data = str(caught.value), pool()
    assert "not finite at step 11" in message
    assert "terms: poison;" in message
    assert "checkpoint of step 10 is kept" in message
    rows = Order(data.ids, 16, 3).rows(10)[0]
    assert f"batch of 16: image {int(rows[0])}, " in message
    state = torch.load(tmp_path / "part" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 10
    assert all(bool(value.isfinite().all()) for value in state["network"].values())
    same(whole, run(tmp_path / "part", objective=Poisoned(1000)), tmp_path / "whole", tmp_path / "part")


@pytest.mark.parametrize("steps", [1, 6])
def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path, steps: int) -> None:
    """Oracle: a step of infinite length; no checkpoint of it exists, whether or not a step follows."""
    with pytest.raises(SemconError, match=r"not finite at step .*There is no checkpoint yet"):
        run(tmp_path / "run", with_(steps=steps, learning_rate=math.inf, clip=None))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_another_network_or_objective_on_resume_is_refused(tmp_path: Path) -> None:
    """Oracle: the message, and what a stranger's checkpoint leaves untouched: the checkpoint itself."""
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", after=5)
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    for student, objective in ((Student(plain(CLASSES)), continuity()), (fresh(), CrossEntropy())):
        with pytest.raises(SemconError, match="of another network or objective"):
            run(tmp_path / "run", student=student, objective=objective)
    with pytest.raises(SemconError, match="of another network or objective"):
        run(tmp_path / "run", with_(average=None), student=Student(plain(5)))
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_a_damaged_checkpoint_is_said(tmp_path: Path) -> None:
    """Oracle: the message says what to do."""
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", after=5)
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SemconError, match=r"is damaged .*remove it to begin again"):
        run(tmp_path / "run")


def test_too_few_images_are_said(tmp_path: Path) -> None:
    """Oracle: the message."""
    with pytest.raises(SemconError, match="7 images do not fill one batch of 16"):
        run(tmp_path / "run", images=pool(dataset(7)))
