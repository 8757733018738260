"""A model whose outputs are NaN is told so by every evaluation, in the same words; none blames its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import semcon
from semcon.core.errors import SemconError
from semcon.core.registry import available
from semcon.datasets import Arrays, Shapes

NEEDS: dict[str, dict[str, Any]] = {
    "group_gap": {"groups": "bias"}, "transfer": {"transfer_to": Shapes(size=16, limit=60)},
    **{f"explanation_{name}": {"explanations": "grad_cam"} for name in ("stability", "faithfulness", "focus")},
}  # fmt: skip


class Spoilt(nn.Module):
    """Five classes; `at`: where NaN comes in."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.body, self.head, self.at = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), at

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.body(x).mean((2, 3))
        z = self.head(z * float("nan") if self.at == "features" else z)
        return z * float("nan") if self.at == "outputs" else z


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCON_CACHE", "")


@pytest.mark.parametrize("evaluation", available("evaluations"))
def test_outputs_that_are_nan_are_said_to_be(evaluation: str) -> None:
    data = Shapes(size=16, limit=20, background=0.5)
    with pytest.raises(SemconError, match=r"the model's output is NaN or infinite for .*: "):
        semcon.audit(Spoilt("outputs"), data, evaluate=evaluation, **NEEDS.get(evaluation, {}))


def test_features_that_are_nan_are_said_to_be_before_anything_is_learned_from_them() -> None:
    with pytest.raises(SemconError, match=r"the layer 'penultimate' is NaN or infinite for .* of the target: "):
        semcon.audit(Spoilt("features"), Shapes(size=16, limit=20), evaluate="transfer", **NEEDS["transfer"])


def test_a_model_without_gradients_is_still_told_apart() -> None:
    class Detached(Spoilt):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).detach()

    data = Arrays(
        np.random.default_rng(0).integers(0, 255, (20, 16, 16, 3), dtype=np.uint8), [i % 5 for i in range(20)]
    )
    with pytest.raises(SemconError, match="needs gradients, and the model has none"):
        semcon.audit(Detached(""), data, evaluate="explanation_stability", explanations="grad_cam")
