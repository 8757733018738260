"""Network: one of semcon's own small networks, with random weights or a file's."""

from __future__ import annotations

from dataclasses import dataclass

from semcon.built import Built
from semcon.core.errors import SemconError
from semcon.networks import build
from semcon.weights import load_weights


@dataclass(frozen=True)
class Network:
    """`name`: `resnet20`, `resnet32`, `resnet56`, `resnet18`, `digits`, or `NAME/CLASSES` (10 without)."""

    name: str
    weights: str | None = None
    seed: int = 0

    def build(self) -> Built:
        """Random weights are drawn from `seed`. Errors: `UnknownNameError`; `SemconError` for other weights."""
        name, slash, count = self.name.partition("/")
        if slash and not count.isdigit():
            raise SemconError(f"expected network:NAME/CLASSES, got {self.name!r}")
        network = build(name, int(count) if slash else 10, self.seed)
        if self.weights is not None:
            load_weights(network, self.weights)
        return Built(network.eval(), name, f"network:{self.name}", weights=self.weights)
