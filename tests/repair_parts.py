"""A repair of seconds: images, a checkpoint that fails under noise, and displays that interrupt it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from semcon.datasets import Arrays
from semcon.progress import Silent

CLASSES, SIDE = 4, 8
MODEL = """
import torch
from torch import nn


def build():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(24, 4),
    )


def frozen():
    network = build()
    for layer in (network[0], network[1]):
        layer.requires_grad_(False)
    return network


def still():
    return build().requires_grad_(False)


def talking():
    print("hello from the builder")
    return build()
"""


def corners(count: int, seed: int = 0, *, labels: bool = True) -> Arrays:
    """Bright corners: one of four, under noise."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 160, (count, SIDE, SIDE, 3))
    classes = np.arange(count) % CLASSES
    for image, label in zip(pixels, classes, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 40
    return Arrays(pixels.astype(np.uint8), classes if labels else None)


def network() -> nn.Module:
    """The network of `MODEL`."""
    namespace: dict[str, Any] = {}
    exec(MODEL, namespace)
    return namespace["build"]()


def checkpoint(root: Path) -> Path:
    """`model.py` and the weights of a network trained for 60 steps, as `weights.safetensors` with metadata."""
    (root / "model.py").write_text(MODEL)
    data = corners(400, seed=7)
    x = torch.stack([torch.from_numpy(data.image(i)) for i in range(400)]).permute(0, 3, 1, 2).float() / 255
    y = torch.arange(400) % CLASSES
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trained = network()
        optimizer = torch.optim.Adam(trained.parameters(), lr=0.03)
        for step in range(60):
            rows = (torch.arange(64) + 64 * step) % 400
            optimizer.zero_grad()
            nn.functional.cross_entropy(trained(x[rows]), y[rows]).backward()
            optimizer.step()
    save_file(
        {f"module.{k}": v for k, v in trained.state_dict().items()}, root / "weights.safetensors", {"made": "by hand"}
    )
    return root


class StoppingAt(Silent):
    """Ctrl-C in the `count`-th step of the task of this title (its `time`-th start), or as that task begins with 0."""

    def __init__(self, title: str, count: int = 0, time: int = 1) -> None:
        self.title, self.count, self.time, self.inside = title, count, time, False

    @contextmanager
    def task(self, title: str, total: float, done: float = 0) -> Iterator[None]:
        if title == self.title:
            self.time -= 1
            self.inside = self.time == 0
            if self.inside and self.count == 0:
                raise KeyboardInterrupt
        yield
        self.inside = False

    def advance(self, amount: float) -> None:
        if self.inside:
            self.count -= 1
            if self.count <= 0:
                raise KeyboardInterrupt


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)
