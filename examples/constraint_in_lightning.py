"""The semantic continuity constraint in a Lightning Trainer: one callback."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import semcon
from semcon.callback import ContinuityCallback


class Classifier(pl.LightningModule):
    """A small network; the images come in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(16, 10),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> logits (B, 10)."""
        return self.network(x)

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        """Cross-entropy; the callback adds the rest."""
        x, y = batch
        return cross_entropy(self(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


torch.manual_seed(0)
data = TensorDataset(torch.rand(256, 3, 32, 32), torch.randint(10, (256,)))
constraint = semcon.ContinuityConstraint("gaussian_noise", severity=0.1)
trainer = pl.Trainer(
    max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
    enable_progress_bar=False, callbacks=[ContinuityCallback(constraint, alpha=4.0)],
)  # fmt: skip
trainer.fit(Classifier(), DataLoader(data, batch_size=64))
print({name: round(float(value), 3) for name, value in trainer.callback_metrics.items()})
