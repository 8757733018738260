"""The Lightning callback: what it adds to a fit, and that it leaves the module as it came."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from semcon.constraint import ContinuityConstraint
from semcon.torchvision_import import import_torchvision

import_torchvision()  # Lightning imports it
pytest.importorskip("pytorch_lightning")
from pytorch_lightning import LightningModule, Trainer  # noqa: E402

from semcon.callback import ContinuityCallback  # noqa: E402


class Classifier(LightningModule):
    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.network, self.stop_at = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), stop_at

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Any, index: int) -> Tensor:
        if index == self.stop_at:
            raise KeyboardInterrupt
        return functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fitted(module: Classifier, callback: ContinuityCallback) -> Any:
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(16, 3, 4, 4, generator=generator), torch.arange(16) % 3)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback],
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, 4), DataLoader(data, 4))
    return trainer


def test_a_step_pays_one_penalty_and_the_module_comes_back() -> None:
    """Oracle: four batches count four steps; the class's own `training_step`, and no hooks."""
    callback, module = ContinuityCallback(ContinuityConstraint("gaussian_noise", severity=0.2)), Classifier()
    trainer = fitted(module, callback)
    assert int(callback.constraint.step) == 4
    assert float(trainer.callback_metrics["continuity"]) > 0
    assert "training_step" not in module.__dict__
    assert not module._forward_hooks


def test_a_fit_that_was_stopped_leaves_nothing_behind() -> None:
    """Oracle: the same counts in a second fit, with the same callback and with another."""
    module = Classifier(stop_at=2)
    first = ContinuityCallback(ContinuityConstraint("gaussian_noise", severity=0.2))
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fitted(module, first)
    assert "training_step" not in module.__dict__
    module.stop_at = None
    for callback in (first, ContinuityCallback(ContinuityConstraint("gaussian_noise", severity=0.2))):
        before = int(callback.constraint.step)
        fitted(module, callback)
        assert int(callback.constraint.step) - before == 4
