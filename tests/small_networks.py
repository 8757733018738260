"""Networks of a few hundred weights, and batches for them: what the tests of training share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semcon.keyed import Keys
from semcon.training.student import Student


def images(count: int = 8, side: int = 8, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """(count, 3, side, side) away from 0 and 1, so that small changes are not clipped."""
    generator = torch.Generator().manual_seed(seed)
    return (0.2 + 0.6 * torch.rand(count, 3, side, side, generator=generator)).to(dtype)


def labels(count: int = 8, classes: int = 4) -> Tensor:
    return torch.arange(count) % classes


def keys(count: int = 8, *, seed: int = 0, draw: int = 0, first: int = 0) -> Keys:
    return Keys(torch.arange(first, first + count) * 2**33 + 7, seed, draw, "train")


def plain(classes: int = 4, *, seed: int = 0, side: int = 8) -> nn.Sequential:
    """Smooth, without batch norm: what one image gives does not depend on the others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(4 * (side // 2) ** 2, 16), nn.Tanh(), nn.Linear(16, classes),
        )  # fmt: skip


def normed(classes: int = 4, *, seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    """With batch norm and dropout: what differs between training and evaluation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Dropout(dropout), nn.Linear(24, classes),
        )  # fmt: skip


class Counted(nn.Module):
    """Counts images forward, and images whose output a gradient came back to."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.forwards, self.backwards = network, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        out = self.network(x)
        if out.requires_grad:
            out.register_hook(self._back)
        return out

    def _back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)

    @property
    def passes(self) -> int:
        """Images forward, those backward counted twice."""
        return self.forwards + 2 * self.backwards


def student(network: nn.Module | None = None) -> Student:
    """With a normalisation; the last linear layer is known."""
    network = network or plain()
    linear = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    return Student(network, mean=(0.5,), std=(0.25,), penultimate=linear[-1] if linear else None)
