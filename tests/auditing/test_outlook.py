"""How long an audit will take: what is timed, and what is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from semcon.auditing.outlook import outlook, seconds_for
from semcon.canvas import Canvas
from semcon.datasets import Shapes
from semcon.environment import emulated
from semcon.evaluations import Adversarial
from semcon.loading import Batch, scan
from semcon.subject import Subject


def some(images: int) -> Batch:
    x = torch.rand(images, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(images)
    return Batch(x, rows, rows, rows % 3, tuple(map(str, range(images))))


def subject() -> Subject:
    torch.manual_seed(0)
    return Subject(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), name="net", canvas=Canvas(8, 8))


def test_nothing_left_takes_no_time() -> None:
    assert seconds_for(subject(), Adversarial(), some(4), 0) == 0


def test_autoattack_is_counted_and_not_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its passes are part of the estimate; the attack itself, which is slow on few images, is not run for it."""

    def never(*_: object) -> None:
        raise AssertionError("rehearsed")

    monkeypatch.setattr("semcon.attacking.batch_run.autoattack", never)
    passes = [Adversarial(linf=(1.0,), autoattack=sizes).passes(subject()) for sizes in ((), (2.0,))]
    assert passes[1] - passes[0] == 5000
    assert seconds_for(subject(), Adversarial(linf=(1.0,), autoattack=(2.0,)), some(4), 100) > 0


@pytest.mark.parametrize(
    ("capability", "machine", "precision", "told"),
    [
        ("AVX2", "x86_64", "bf16", True), ("AVX2", "AMD64", "16", True), ("AVX2", "x86_64", "32", False),
        ("AVX512", "x86_64", "bf16", False), ("DEFAULT", "arm64", "bf16", False),
    ],
)  # fmt: skip
def test_a_processor_without_half_precision_is_told(
    capability: str, machine: str, precision: str, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16 ran 20 times slower than 32 on a processor with AVX2, and nothing said why."""
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert bool(emulated(torch.device("cpu"), precision)) == told
    assert not emulated(torch.device("cuda"), precision)
    own = Subject(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), name="net", canvas=Canvas(8, 8), precision=precision)
    sentence = outlook(own, {"adversarial": Adversarial()}, scan(Shapes(n=3, size=8)), 5.0, 0)
    assert ("on cpu (without" in sentence) == told
