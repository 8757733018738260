"""Subject: the model under study with its preprocessing inside; it takes the canvas and gives logits."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from semcon.attribution import first_tensor, last_linear, stages, watching
from semcon.canvas import Canvas
from semcon.core.concepts import View
from semcon.core.errors import SemconError, UnknownNameError

PENULTIMATE = "penultimate"
LUMINANCE = (0.2989, 0.587, 0.114)
CHANNELS_LAST_FROM = 8  # images: with fewer, putting the weights into that order costs more than it saves


class Subject:
    """A classifier from the canvas (B, 3, H, W) in [0, 1] to logits (B, K).

    `model`: an `nn.Module`, put into eval mode for the measurement (`release` undoes it), or any callable, a black
    box without gradients. `mean`, `std`: on [0, 1], one value or one per channel. `channels`: 1 feeds luminance.
    Outputs may be a tensor, a tuple, a dict, or an object with `.logits`; a single logit z becomes two classes (0, z).
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Tensor], Any],
        *,
        name: str,
        canvas: Canvas,
        source: str = "",
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        channels: int | None = None,
        classes: Sequence[str] | None = None,
        preprocessing: str = "given",
        weights: str | None = None,
        device: str | torch.device = "cpu",
        precision: str = "32",
    ) -> None:
        self.model, self.name, self.source, self.canvas = model, name, source, canvas
        self.mean, self.std = tuple(float(value) for value in mean), tuple(float(value) for value in std)
        self.classes, self.preprocessing = tuple(classes) if classes else None, preprocessing
        self.weights = weights
        self.device, self.precision = torch.device(device), precision
        self.module = model if isinstance(model, nn.Module) else None
        modules = [] if self.module is None else list(self.module.modules())
        self._modes = [(module, module.training) for module in modules]
        self._home = next((parameter.device for module in modules for parameter in module.parameters()), self.device)
        self.was_training = any(training for _, training in self._modes)
        try:
            if self.module is not None:
                self.module.eval().to(self.device)
            self._open(channels)
        except BaseException:
            self.release()
            raise

    def _open(self, channels: int | None) -> None:
        """What the model's own look at a batch of two tells."""
        self.channels = channels or self._input_channels()
        self._set_normalisation()
        self._layers = dict(self.module.named_modules()) if self.module is not None else {}
        self._in_place = any(getattr(module, "inplace", False) for module in self._layers.values())
        probe = torch.rand(2, 3, self.canvas.height, self.canvas.width, device=self.device)
        self._channels_last = False
        self.outputs = self._probed(probe)
        self._channels_last = self._runs_channels_last(probe)
        ready = self._prepared(probe)
        self._last_linear = last_linear(self.module, ready) if self.module is not None else None
        self.differentiable = self._has_gradient(probe)

    @property
    def has_penultimate(self) -> bool:
        """Whether a last linear layer was found."""
        return self._last_linear is not None

    @property
    def parameters(self) -> int | None:
        """How many parameters the model has; None for a black box."""
        return None if self.module is None else sum(p.numel() for p in self.module.parameters())

    @property
    def fingerprint(self) -> str | None:
        """A hash of the weights and buffers; None for a black box."""
        if self.module is None:
            return None
        digest = hashlib.blake2b(digest_size=8)
        for name, value in sorted(self.module.state_dict().items()):
            digest.update(name.encode())
            if isinstance(value, Tensor):
                digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def __call__(self, x: Tensor) -> Tensor:
        """Canvas (B, 3, H, W) in [0, 1] -> logits (B, K) float32."""
        with self._autocast():
            output = self.model(self._prepared(x))
        return self._logits(output, len(x))

    def view(self, x: Tensor, layers: Sequence[str] = ()) -> View:
        """One forward pass, with the outputs of some layers. A layer that runs several times keeps its last output."""
        if not layers or self.module is None:
            return View(x, self(x))
        modules = {self._module_name(layer): self._layers[self._module_name(layer)] for layer in layers}
        seen: list[tuple[str, object, object]] = []
        with watching(modules, seen, keep=self._in_place):
            logits = self(x)
        caught = {name: (inputs, output) for name, inputs, output in seen}
        return View(x, logits, {layer: self._caught(layer, caught, len(x)) for layer in layers})

    def layer_names(self) -> list[str]:
        """Every module's name, and `penultimate`."""
        own = [name for name in self._layers if name]
        return [*own, PENULTIMATE] if self.has_penultimate else own

    def stages(self, limit: int = 4) -> list[str]:
        """Evenly spaced stages of the network, in the order they run."""
        if self.module is None:
            return []
        probe = torch.rand(2, 3, self.canvas.height, self.canvas.width, device=self.device)
        return [name for name in stages(self.module, self._prepared(probe), limit) if name != self._last_linear]

    def variant(self, mean: Sequence[float], std: Sequence[float]) -> Subject:
        """The same model with another normalisation."""
        other = copy.copy(self)
        other.mean, other.std = tuple(mean), tuple(std)
        other._set_normalisation()
        return other

    def release(self) -> None:
        """Give the model back as it came: every module's mode, and its device."""
        if self.module is not None:
            self.module.to(self._home)
        for module, training in self._modes:  # parents first: train() reaches the children, who come later
            if module.training != training:
                module.train(training)

    def _set_normalisation(self) -> None:
        wrong = next((v for v in (self.mean, self.std) if len(v) not in (1, self.channels)), None)
        if wrong is not None:
            raise SemconError(f"the model takes {self.channels} channel(s), but mean or std has {len(wrong)} values")
        shape = (1, -1, 1, 1)
        self._scale = 1 / torch.tensor(self.std, device=self.device).view(shape)
        self._offset = -torch.tensor(self.mean, device=self.device).view(shape) * self._scale

    def _prepared(self, x: Tensor) -> Tensor:
        if self.channels == 1:
            weights = x.new_tensor(LUMINANCE).view(1, 3, 1, 1)
            x = (x * weights).sum(1, keepdim=True) / sum(LUMINANCE)
        if not (self.preprocessing == "default" and self.mean == (0.0,) and self.std == (1.0,)):
            x = torch.addcmul(self._offset.to(x.dtype), x, self._scale.to(x.dtype))
        if self._channels_last and len(x) >= CHANNELS_LAST_FROM:
            x = x.contiguous(memory_format=torch.channels_last)
        return x

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "32":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def _logits(self, output: Any, batch: int) -> Tensor:
        if not isinstance(output, Tensor):
            output = _unwrapped(output)
        if output is None or output.dim() == 0 or len(output) != batch:
            raise SemconError(f"the model must give logits of shape ({batch}, classes), gave {_shape(output)}")
        output = output.float().flatten(1) if output.dim() > 1 and output.shape[2:].numel() == 1 else output.float()
        if output.dim() == 1:
            output = output[:, None]
        if output.dim() != 2:
            raise SemconError(f"the model must give logits of shape ({batch}, classes), gave {_shape(output)}")
        return torch.cat([torch.zeros_like(output), output], 1) if output.shape[1] == 1 else output

    def _module_name(self, layer: str) -> str:
        if layer == PENULTIMATE and self._last_linear is not None:
            return self._last_linear
        if layer not in self._layers or not layer:
            raise UnknownNameError("layer", layer, self.layer_names())
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

    def _input_channels(self) -> int:
        if self.module is None:
            return 3
        first = next((m for m in self.module.modules() if isinstance(m, nn.Conv2d)), None)
        return 1 if first is not None and first.in_channels == 1 else 3

    @torch.no_grad()
    def _probed(self, probe: Tensor) -> int:
        try:
            return self(probe).shape[1]
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            size = f"{self.canvas.height} x {self.canvas.width}"
            raise SemconError(
                f"the model {self.name} fails on a batch (2, {self.channels}, {size}): {error}. "
                "Expected images of that size to be accepted; try --size"
            ) from error

    @torch.no_grad()
    def _runs_channels_last(self, probe: Tensor) -> bool:
        """Whether the model has convolutions, which are faster on a CPU in that order, and takes such batches."""
        if self.device.type != "cpu" or not any(isinstance(layer, nn.Conv2d) for layer in self._layers.values()):
            return False
        try:
            self.model(self._prepared(probe).contiguous(memory_format=torch.channels_last))
        except RuntimeError:  # such as a view() of what is no longer contiguous
            return False
        return True

    def _has_gradient(self, probe: Tensor) -> bool:
        if self.module is None:
            return False
        with torch.enable_grad():
            source = probe[:1].clone().requires_grad_()
            try:
                value = self(source).sum()
                return value.requires_grad and bool(torch.autograd.grad(value, source)[0].isfinite().all())
            except RuntimeError:
                return False


def _unwrapped(output: Any) -> Tensor | None:
    if isinstance(output, Mapping):
        if "logits" in output:
            return output["logits"]
        tensors = [value for value in output.values() if isinstance(value, Tensor)]
        return tensors[0] if len(tensors) == 1 else None
    if hasattr(output, "logits"):
        return output.logits
    return first_tensor(output)


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
