"""Student: the network that is trained, with its preprocessing inside; differentiable, in the mode it is put into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from semcon.attribution import last_linear
from semcon.core.concepts import View
from semcon.subject import LUMINANCE, Subject
from semcon.viewing import Viewer, to_logits


class Student(nn.Module):
    """A network from the canvas (B, 3, H, W) in [0, 1] to logits (B, K), as `Subject` but to be trained.

    `mean`, `std`: on [0, 1], one value or one per channel. `channels`: 1 feeds luminance. `penultimate`: the name of
    the last linear layer.
    """

    mean: Tensor
    std: Tensor
    luminance: Tensor

    def __init__(
        self, network: nn.Module, *, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,), channels: int = 3,
        penultimate: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.channels = network, channels
        for name, values in (("mean", mean), ("std", std), ("luminance", LUMINANCE)):
            self.register_buffer(name, torch.tensor(tuple(values)).view(1, -1, 1, 1), persistent=False)
        self.keeps_statistics = False  # all batch norms stay in evaluation mode whatever the mode of the rest
        self._viewer = Viewer(network, penultimate)

    def train(self, mode: bool = True) -> Student:
        """Training or evaluation mode; a frozen batch norm keeps its statistics in both, or it would not be frozen."""
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and (  # pyright: ignore[reportPrivateUsage]
                self.keeps_statistics or _frozen(layer)
            ):
                layer.eval()
        return self

    @contextmanager
    def estimating(self) -> Iterator[None]:
        """Batch norms forget their statistics and average those of every batch; what is frozen keeps its own."""
        norms = [layer for layer in self.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]  # pyright: ignore[reportPrivateUsage]
        momenta = {layer: layer.momentum for layer in norms if layer.training}
        for layer in momenta:
            layer.reset_running_stats()
            layer.momentum = None
        yield
        for layer, momentum in momenta.items():
            layer.momentum = momentum

    @classmethod
    def of(cls, subject: Subject) -> Student:
        """The network under study, to be trained: the same module, not a copy. Errors: `ValueError` for a black box."""
        if subject.module is None:
            raise ValueError("a callable without parameters cannot be trained")
        canvas = subject.canvas
        probe = torch.rand(2, subject.channels, canvas.height, canvas.width, device=subject.device)
        return cls(
            subject.module, mean=subject.mean, std=subject.std, channels=subject.channels,
            penultimate=last_linear(subject.module, probe),
        ).to(subject.device)  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Canvas (B, 3, H, W) -> logits (B, K)."""
        if self.channels == 1:
            x = (x * (self.luminance / self.luminance.sum())).sum(1, keepdim=True)
        return to_logits(self.network((x - self.mean) / self.std), len(x))

    def view(self, x: Tensor, layers: Sequence[str] = (), *, leaves: bool = False) -> View:
        """One forward pass with the outputs of some layers; `leaves`: the autograd graph begins there."""
        return self._viewer.view(x, self, layers, leaves=leaves)


def _frozen(layer: nn.Module) -> bool:
    own = list(layer.parameters())
    return bool(own) and not any(parameter.requires_grad for parameter in own)
