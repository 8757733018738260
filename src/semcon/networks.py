"""Networks for studies: CIFAR-style residual networks and a small one for digits. For all else there is timm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from semcon.core.errors import SemconError, UnknownNameError


class Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut: padded with zeros ("A") or a 1 x 1 convolution ("B")."""

    def __init__(self, before: int, after: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.pad = stride, after - before
        self.shortcut = nn.Sequential()
        if shortcut == "B" and (stride != 1 or before != after):
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            self.pad = 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, after, H / stride, W / stride)."""
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if len(self.shortcut):
            x = self.shortcut(x)
        elif self.stride != 1 or self.pad:
            half = self.pad // 2
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.pad - half))
        return functional.relu(out + x)


class ResidualNetwork(nn.Module):
    """A 3 x 3 stem for small images, stages of residual blocks, global average pooling, one linear layer.

    Source: He et al., arXiv 1512.03385, section 4.2 (widths 16, 32, 64) and table 1 (64 to 512) with a small stem.
    """

    def __init__(self, blocks: tuple[int, ...], widths: tuple[int, ...], classes: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        stages: list[nn.Module] = []
        before = widths[0]
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            strides = [1 if number == 0 else 2] + [1] * (count - 1)
            made: list[nn.Module] = []
            for stride in strides:
                made.append(Block(before, width, stride, shortcut))
                before = width
            stages.append(nn.Sequential(*made))
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, classes)."""
        out = self.stages(functional.relu(self.bn1(self.conv1(x))))
        return self.linear(functional.adaptive_avg_pool2d(out, 1).flatten(1))


def small_residual(depth: int, classes: int) -> nn.Module:
    """Depth 6 n + 2, widths 16, 32, 64."""
    blocks = (depth - 2) // 6
    return ResidualNetwork((blocks,) * 3, (16, 32, 64), classes, "A")


def resnet18(classes: int) -> nn.Module:
    """ResNet-18 with a 3 x 3 stem and no pooling before the stages."""
    return ResidualNetwork((2, 2, 2, 2), (64, 128, 256, 512), classes, "B")


def digits(classes: int) -> nn.Module:
    """Three convolutions for 28 px grey digits: (B, 1, 28, 28) normalised -> logits (B, classes)."""

    def stage(width_in: int, width: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(width_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())

    return nn.Sequential(
        stage(1, 16), nn.MaxPool2d(2), stage(16, 32), nn.MaxPool2d(2), stage(32, 64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes),
    )  # fmt: skip


BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "digits": digits, "resnet18": resnet18,
    **{f"resnet{depth}": partial(small_residual, depth) for depth in (20, 32, 56)},
}  # fmt: skip


def build(name: str, classes: int, seed: int | None = None) -> nn.Module:
    """A network by name with random weights, drawn from `seed` where given.

    Errors: `UnknownNameError`; `SemconError` for fewer than two classes.
    """
    if name not in BUILDERS:
        raise UnknownNameError("network", name, BUILDERS)
    if classes < 2:
        raise SemconError(f"a classifier needs at least 2 classes, got {classes}")
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        return BUILDERS[name](classes)
