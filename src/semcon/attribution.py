"""Which layer of a network to look at: the last linear one, the stages on the way to it, the last that knows where."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import product

import torch
from torch import Tensor, nn


@contextmanager
def watching(
    modules: dict[str, nn.Module], seen: list[tuple[str, object, object]], *, keep: bool = False, leaves: bool = False,
    versions: list[int] | None = None,
) -> Iterator[None]:  # fmt: skip
    """Within the block, `seen` collects (name, inputs, output) of every call of these modules, in order.

    `keep`: later layers, which may work in place, get a copy; what is collected stays, on the way to the logits.
    `leaves`: the autograd graph begins at what is collected, also without a gradient before; implies `keep`.
    `versions` collects how often each output had been written to.
    """

    def note(name: str, inputs: object, output: object) -> Tensor | None:
        if leaves and isinstance(output, Tensor) and output.is_floating_point():
            output = output.detach().requires_grad_()
            torch.set_grad_enabled(True)
        seen.append((name, inputs, output))
        if versions is not None:
            versions.append(version_of(output))
        return output.clone() if (keep or leaves) and isinstance(output, Tensor) else None

    handles = [
        module.register_forward_hook(lambda _module, inputs, output, name=name: note(name, inputs, output))
        for name, module in modules.items()
    ]
    try:
        with torch.no_grad() if leaves else nullcontext():
            yield
    finally:
        for handle in handles:
            handle.remove()


def version_of(output: object) -> int:
    """How often a tensor has been written to, as far as torch counts; 0 of anything else."""
    return output._version if isinstance(output, Tensor) and not output.is_inference() else 0


def first_tensor(output: object) -> Tensor | None:
    """A module's output as a tensor: itself, or the first of a tuple, list or dict."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, tuple | list):
        return next((part for part in output if isinstance(part, Tensor)), None)
    return None


@torch.no_grad()
def last_linear(model: nn.Module, probe: Tensor) -> str | None:
    """The name of the linear layer (or 1 x 1 convolution on 1 x 1 maps) that runs last; None where there is none."""
    linear: dict[str, nn.Module] = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))
    }
    seen: list[tuple[str, object, object]] = []
    with watching(linear, seen):
        model(probe)
    for name, _, output in reversed(seen):
        if isinstance(linear[name], nn.Linear):
            return name
        if isinstance(output, Tensor) and output.shape[2:] == (1, 1):
            return name
    return None


@torch.no_grad()
def stages(model: nn.Module, probe: Tensor, limit: int = 4) -> list[str]:
    """At most `limit` evenly spaced top-level stages that run once and give one tensor per image, in order."""
    prefix, children = "", dict(model.named_children())
    while children:
        weight = {name: len(list(child.modules())) for name, child in children.items()}
        largest = max(weight, key=lambda name: weight[name])
        inner = dict(children[largest].named_children())
        if weight[largest] < 0.6 * sum(weight.values()) or len(inner) < 2:
            break
        prefix, children = f"{prefix}{largest}.", inner
    candidates = {f"{prefix}{name}": child for name, child in children.items()}
    seen: list[tuple[str, object, object]] = []
    with watching(candidates, seen):
        model(probe)
    names = [name for name, _, _ in seen]
    good = [
        name
        for name, _, output in seen
        if names.count(name) == 1
        and next(candidates[name].parameters(), None) is not None
        and isinstance(output, Tensor)
        and output.dim() > 2
        and len(output) == len(probe)
    ]
    blocks = [name for name in good if next(candidates[name].children(), None) is not None]
    good = blocks if len(blocks) >= 2 else good
    if len(good) <= limit:
        return good
    step = (len(good) - 1) / (limit - 1)
    return [good[round(i * step)] for i in range(limit)]


@torch.enable_grad()
def spatial_layer(model: nn.Module, probe: Tensor) -> str | None:
    """The module that runs last of those whose output has places that the logits still depend on, each by itself.

    Convolutional maps, and the tokens of transformers: of those only blocks and normalisations, and not where the
    class token alone is read afterwards. None where there is none.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    seen: list[tuple[str, object, object]] = []
    with watching(modules, seen, keep=True):
        logits = first_tensor(model(probe.detach().requires_grad_()))
    if logits is None or not logits.requires_grad:
        return None
    score = logits.flatten(1).max(1).values.sum()
    tokens = {output.shape[1] for _, _, output in seen if isinstance(output, Tensor) and output.dim() == 3}
    height, width = probe.shape[2:]
    met: set[str] = set()
    for name, _, output in reversed(seen):
        if name in met:  # of a layer that runs more than once the last output is kept
            continue
        met.add(name)
        if not isinstance(output, Tensor) or not output.requires_grad or len(output) != len(probe):
            continue
        if output.dim() == 4 and output.shape[2] in tokens:  # attention from token to token
            continue
        if output.dim() == 3 and not _of_tokens(modules[name]):
            continue
        if as_grid(output, height, width) is None:
            continue
        gradient = torch.autograd.grad(score, output, retain_graph=True, allow_unused=True)[0]
        places = None if gradient is None else as_grid(gradient, height, width)
        if places is not None and bool((places != 0).any()):
            return name
    return None


def as_grid(output: Tensor, height: int, width: int) -> Tensor | None:
    """A layer's output as (B, C, h, w), h and w in the canvas's proportions; None where it has no places.

    (B, C, h, w) and (B, h, w, C) as they are; tokens (B, N, C) row by row, without those that stand before them.
    """
    if output.dim() == 4:
        if _alike(output.shape[2], output.shape[3], height, width):
            return output
        return output.permute(0, 3, 1, 2) if _alike(output.shape[1], output.shape[2], height, width) else None
    if output.dim() != 3:
        return None
    rows, columns = _grid_of(output.shape[1], height, width)
    if not _alike(rows, columns, height, width):
        return None
    return output[:, output.shape[1] - rows * columns :].transpose(1, 2).unflatten(2, (rows, columns))


def _grid_of(tokens: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of square patches, less than one left over, and 1, 0, 5 or 2 tokens before them; else about."""
    sides = range(1, min(height, width) + 1)
    for left_over, front in product((False, True), (1, 0, 5, 2)):
        grids = {(height // s, width // s) for s in sides if left_over or height % s == width % s == 0}
        exact = [(rows, columns) for rows, columns in grids if rows * columns == tokens - front]
        if exact:
            return min(exact, key=lambda grid: abs(grid[0] * width - grid[1] * height))
    rows = math.isqrt(tokens * height // width)
    return rows, rows * width // height


def _alike(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether it is a grid over the canvas, more than a single place."""
    return rows * columns > 1 and rows <= height and columns <= width and abs(rows * width - columns * height) < max(
        height, width
    )  # fmt: skip


def _of_tokens(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() or next(module.children(), None) is not None
