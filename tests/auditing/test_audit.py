"""Whole audits of small models: what one function alone does not show."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import semcon
from semcon.core.concepts import Unit
from semcon.core.errors import SemconError
from semcon.core.record import Estimate
from semcon.perturbations import Occlusion
from semcon.run_record import RunRecord

QUICK: dict[str, Any] = {"perturbations": ["brightness:0.2"], "layers": [], "mean": 0.0, "std": 1.0}


def pictures(n: int = 40, classes: int = 4) -> tuple[Tensor, Tensor]:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(n) % classes


class Linear(nn.Module):
    """Random logits of the pixels; from the fifth on they are `low`."""

    def __init__(self, outputs: int = 5, low: float = -30.0) -> None:
        super().__init__()
        self.linear, self.outputs, self.low = nn.Linear(768, 5), outputs, low
        generator = torch.Generator().manual_seed(1)
        self.linear.weight.data = torch.randn(5, 768, generator=generator) * 0.2
        self.linear.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(self.linear(x.flatten(1)), (0, self.outputs - 5), value=self.low)


def audit(model: Any, data: Any, **changes: Any) -> RunRecord:
    return semcon.audit(model.eval() if isinstance(model, nn.Module) else model, data, **(QUICK | changes))


def by_key(record: RunRecord, *representations: str) -> dict[tuple[object, ...], Estimate]:
    return {
        (e.representation, e.distance, e.quantity, e.subset): e
        for e in record.record.estimates
        if e.representation in representations
    }


@pytest.mark.parametrize("labelled", [True, False])
def test_five_thousand_outputs_tell_what_five_do(labelled: bool) -> None:
    """Oracle: the same network with five outputs, to which 4995 of no probability are added."""
    images, labels = pictures(84)
    data = (images, labels) if labelled else images
    settings: dict[str, Any] = {"perturbations": ["gaussian_noise:0.5"]}
    settings["gauges"] = ["probabilities.jensen_shannon", "probabilities.kl", "logits.label_change"]
    few, many = (audit(Linear(outputs), data, **settings) for outputs in (5, 5000))
    left, right = by_key(few, "probabilities"), by_key(many, "probabilities")
    left |= {key: e for key, e in by_key(few, "logits").items() if key[1] == "label_change"}
    right |= {key: e for key, e in by_key(many, "logits").items() if key[1] == "label_change"}
    assert len(left) >= (10 if labelled else 6)
    for key, estimate in left.items():
        expected = None if estimate.mean is None else pytest.approx(estimate.mean, rel=1e-3)
        assert right[key].mean == expected, key
    assert all(gauge.projected is None for gauge in many.record.settings.gauges)
    assert len(many.record.gallery) == (4 if labelled else 1)
    assert all((entry.other_distance is not None) == labelled for entry in many.record.gallery)


class Overflow(Linear):
    """A layer that overflows where the mean pixel is above `limit`, though the output stays finite."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.inner, self.limit = nn.Identity(), limit

    def forward(self, x: Tensor) -> Tensor:
        self.inner(torch.where((x.mean((1, 2, 3)) > self.limit)[:, None], torch.inf, x.flatten(1)[:, :9]))
        return super().forward(x)


def test_a_layer_that_is_infinite_is_named_with_its_images() -> None:
    """Untouched, and only under a perturbation. Oracle: the mean pixels."""
    images, labels = pictures()
    means = images.mean((1, 2, 3))
    brightest = int(means.argmax())
    limit = float(means.sort().values[-2:].mean())
    with pytest.raises(
        SemconError, match=f"the layer 'inner' is NaN or infinite for 1 image untouched: image {brightest}"
    ):
        audit(Overflow(limit), (images, labels), layers=["inner"])
    with pytest.raises(SemconError, match=r"the layer 'inner' is NaN .* under brightness at severity 0.9: image"):
        audit(Overflow(float(means.max()) + 0.1), (images, labels), layers=["inner"], perturbations=["brightness:0.9"])


class Tight(Linear):
    """Has memory for eight images."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_little_memory_changes_no_number_and_no_finding(batch_size: int | None) -> None:
    """From the time estimate to the checks and the gallery. Oracle: the audit of the same network with more memory."""
    settings: dict[str, Any] = {"perturbations": ["brightness:0.5"], "worst": "search", "batch_size": batch_size}
    loose, tight = (audit(model, pictures(), **settings) for model in (Linear(), Tight()))
    assert tight.record.findings == loose.record.findings
    assert {finding.code for finding in tight.record.findings} == {"chance", "few-images"}
    for left, right in zip(loose.record.estimates, tight.record.estimates, strict=True):
        assert right.mean == (None if left.mean is None else pytest.approx(left.mean, rel=1e-4, abs=1e-6))
    assert [one.title for one in tight.record.gallery] == [one.title for one in loose.record.gallery]


def test_the_estimate_knows_that_one_perturbation_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: a perturbation that sleeps 2 ms an image; 40 images, three severities, two draws."""

    def slow(self: Occlusion, x: Tensor, unit: Unit, severity: Tensor, context: object = None) -> Tensor:
        time.sleep(0.002 * len(x))
        return x.flip(3)

    monkeypatch.setattr(Occlusion, "apply", slow)
    chosen = ["brightness:0.1/0.2", "occlusion:10/20/30", "gamma:0.2"]
    timing = audit(Linear(), pictures(), perturbations=chosen, draws=2).record.timing
    slept = 0.002 * 40 * 3 * 2
    assert slept <= timing.estimated_seconds <= 3 * slept
