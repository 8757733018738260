"""How a network is trained, whatever the objective; the optimiser and the processes that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from semcon.core.errors import MissingPackageError


@dataclass(frozen=True)
class Settings:
    """How a network is trained, whatever the objective.

    `steps` and `batch_size` (of all processes together); `optimizer` with its learning rate (None: 0.1 for SGD with
    Nesterov momentum 0.9, 0.01 for Adam); `schedule` over all steps, cosine to 0 or one cycle; `clip`: largest norm of
    the gradient; `average`: decay of an exponential average of the weights over the second half, which then is the
    result; `augment`: perturbations with their limits that every image gets, whatever the objective (a flip: half of
    them); `precision`, `compile`: as torch and Fabric know them; `devices`: how many, or which by their numbers.
    """

    steps: int
    batch_size: int = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float | None = None
    weight_decay: float = 5e-4
    schedule: Literal["cosine", "one_cycle"] = "one_cycle"
    clip: float | None = None
    average: float | None = None
    augment: tuple[tuple[str, float], ...] = ()
    precision: Literal["32", "bf16", "16"] = "32"
    accelerator: str = "auto"
    devices: int | tuple[int, ...] = 1
    compile: bool = False
    seed: int = 0
    checkpoint_seconds: float = 30.0

    def rate(self, step: int) -> float:
        """The learning rate of a step: a pure function, so that resuming needs no scheduler."""
        peak = self.learning_rate or (0.1 if self.optimizer == "sgd" else 0.01)
        share = step / max(1, self.steps)
        if self.schedule == "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * share))
        rise = 0.3
        if share < rise:
            return peak * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * share / rise)))
        return peak * (1e-5 + (1 - 1e-5) * 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise))))


def make_optimizer(settings: Settings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW."""
    rate = settings.rate(0)
    if settings.optimizer == "adam":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay)


def launched(settings: Settings) -> Any:
    """Fabric, with all processes started."""
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise MissingPackageError("lightning-fabric", "train", "training") from None
    precision: Any = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[settings.precision]
    with _quiet():
        devices = list(settings.devices) if isinstance(settings.devices, tuple) else settings.devices
        fabric = Fabric(accelerator=settings.accelerator, devices=devices, precision=precision)
        fabric.launch()
    return fabric


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Fabric's banners."""
    import logging

    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
