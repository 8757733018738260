"""One forward pass as a `View`: logits in whatever form the model gives them, and the outputs of named layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from semcon.attribution import first_tensor, version_of, watching
from semcon.core.concepts import View
from semcon.core.errors import SemconError, UnknownNameError

PENULTIMATE = "penultimate"


class Viewer:
    """Looks into a module while it runs. `last_linear`: the layer whose input is "penultimate", None where unknown."""

    def __init__(self, module: nn.Module | None, last_linear: str | None) -> None:
        self.last_linear = last_linear
        self._modules = dict(module.named_modules()) if module is not None else {}
        self._in_place = any(getattr(layer, "inplace", False) for layer in self._modules.values())

    @property
    def names(self) -> list[str]:
        """Every module's name, and `penultimate` where it is known."""
        own = [name for name in self._modules if name]
        return [*own, PENULTIMATE] if self.last_linear is not None else own

    def view(
        self, x: Tensor, forward: Callable[[Tensor], Tensor], layers: Sequence[str] = (), *, leaves: bool = False
    ) -> View:
        """`forward`: canvas to logits. A layer that runs several times keeps its last output.

        `leaves`: the autograd graph begins at the layers' outputs.
        """
        if not layers:
            return View(x, forward(x))
        modules = {self._module_name(layer): self._modules[self._module_name(layer)] for layer in layers}
        seen: list[tuple[str, object, object]] = []
        versions: list[int] = []
        keep = self._in_place or torch.is_grad_enabled()  # a training step cannot be looked at twice
        with watching(modules, seen, keep=keep, leaves=leaves, versions=versions):
            logits = forward(x)
        written = any(version_of(output) != before for (_, _, output), before in zip(seen, versions, strict=True))
        if written and not (keep or leaves):  # by `out += shortcut`, or torch.relu_(out)
            self._in_place = True
            return self.view(x, forward, layers)
        caught = {name: (inputs, output) for name, inputs, output in seen}
        return View(x, logits, {layer: self._caught(layer, caught, len(x)) for layer in layers})

    def _module_name(self, layer: str) -> str:
        if layer == PENULTIMATE and self.last_linear is not None:
            return self.last_linear
        if layer not in self._modules or not layer:
            raise UnknownNameError("layer", layer, self.names)
        return layer

    def _caught(self, layer: str, caught: Mapping[str, tuple[object, object]], batch: int) -> Tensor:
        name = self._module_name(layer)
        if name not in caught:
            raise SemconError(f"layer {layer!r} does not run in the forward pass: choose another of --layers")
        inputs, output = caught[name]
        value = first_tensor(inputs if layer == PENULTIMATE else output)
        if value is None or value.dim() < 2 or len(value) != batch:
            raise SemconError(f"layer {layer!r} gives no tensor with one entry per image, but {_shape(value)}")
        return value


def to_logits(output: Any, batch: int) -> Tensor:
    """What a model gave for a batch as logits (B, K), at least float32; a single logit z becomes (-z/2, z/2).

    Takes a tensor, a tuple or list, a dict, or an object with `.logits`. Errors: `SemconError` for anything else.
    """
    found = output if isinstance(output, Tensor) else _unwrapped(output)
    if not isinstance(found, Tensor):
        raise SemconError(f"the model must give logits of shape ({batch}, classes), gave {_described(output)}")
    logits = found if found.dtype == torch.float64 else found.float()
    if logits.dim() > 1 and logits.shape[2:].numel() == 1:
        logits = logits.flatten(1)
    if logits.dim() == 1:
        logits = logits[:, None]
    if logits.dim() != 2 or len(logits) != batch or not logits.shape[1]:
        raise SemconError(f"the model must give logits of shape ({batch}, classes), gave {_shape(found)}")
    return torch.cat([-logits / 2, logits / 2], 1) if logits.shape[1] == 1 else logits


def _unwrapped(output: Any) -> Tensor | None:
    if isinstance(output, Mapping):
        if "logits" in output:
            return output["logits"]
        tensors = [value for value in output.values() if isinstance(value, Tensor)]
        return tensors[0] if len(tensors) == 1 else None
    if hasattr(output, "logits"):
        return output.logits
    return first_tensor(output)


def _described(output: object) -> str:
    """An output without logits in it, as its author would recognise it."""
    if isinstance(output, Mapping):
        return f"a mapping with the keys {', '.join(map(str, output)) or '(none)'}: name the logits 'logits'"
    return "None: does forward return them?" if output is None else type(output).__name__


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
