"""What users type or hand over becomes settings, or one sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import semcon
from semcon.core.errors import SemconError
from semcon.recipes.sources import numbers


def test_a_name_alone_is_one() -> None:
    """Not its letters: perturbations, layers and gauges. Oracle: the lists of one."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    x = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    one = semcon.audit(network, x, perturbations="brightness:0.2", layers="1", gauges="logits.cosine", mean=0, std=1)
    settings = one.record.settings
    assert [each.name for each in settings.perturbations] == ["brightness"]
    assert [gauge.name for gauge in settings.gauges] == ["pixels.l2", "1.l2", "logits.cosine", "logits.l2"]


@pytest.mark.parametrize(
    ("given", "found"), [(None, None), (".485,.456,.406", (0.485, 0.456, 0.406)), (0.5, (0.5,)), ([0, 1, 1], (0, 1, 1))]
)
def test_numbers(given: Any, found: Any) -> None:
    assert numbers(given, "mean") == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((None, 1, 1), r"--mean expects numbers such as .*, got \(None, 1, 1\)"),
        ("a,b,c", "expects numbers"),
        ("127,127,127", r"on pixels in \[0, 1\], got '127,127,127': .* divide by 255: 0\.498,0\.498,0\.498"),
        ([123.675, 116.28, 103.53], r"divide by 255: 0\.485,0\.456,0\.406"),
    ],
)
def test_numbers_that_are_none(given: Any, words: str) -> None:
    """Oracle of the last: ImageNet's mean, written both ways."""
    with pytest.raises(SemconError, match=words):
        numbers(given, "mean")


def test_an_evaluation_that_needs_what_is_not_there_is_refused_by_name():
    """Images without labels: what the evaluation's own `needs` says, before anything is measured."""
    with pytest.raises(SemconError, match="evaluation axis_meaning needs labels, and the data have none"):
        semcon.audit(nn.Flatten(), torch.rand(12, 3, 8, 8), mean=0.0, std=1.0, evaluate="axis_meaning")
