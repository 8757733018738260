"""How long an audit will take: what is timed, and what is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from semcon.auditing.outlook import seconds_for
from semcon.canvas import Canvas
from semcon.evaluations import Adversarial
from semcon.loading import Batch
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
