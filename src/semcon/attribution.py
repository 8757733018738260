"""Which layer of a network to look at: the last linear layer, and the stages on the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def watching(
    modules: dict[str, nn.Module], seen: list[tuple[str, object, object]], *, keep: bool = False
) -> Iterator[None]:
    """Within the block, `seen` collects (name, inputs, output) of every call of these modules, in order.

    `keep`: copy outputs, for networks whose later layers work in place on them.
    """

    def note(name: str, inputs: object, output: object) -> None:
        seen.append((name, inputs, output.clone() if keep and isinstance(output, Tensor) else output))

    handles = [
        module.register_forward_hook(lambda _module, inputs, output, name=name: note(name, inputs, output))
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
