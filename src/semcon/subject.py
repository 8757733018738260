"""Subject: the model under study with its preprocessing inside; it takes the canvas and gives logits."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from semcon.attribution import last_linear, spatial_layer, stages
from semcon.canvas import Canvas
from semcon.core.concepts import View
from semcon.core.errors import SemconError
from semcon.core.record import TrainingRecord
from semcon.viewing import Viewer, to_logits

LUMINANCE = (0.2989, 0.587, 0.114)
CHANNELS_LAST_FROM = 8  # images: with fewer, putting the weights into that order costs more than it saves


@contextmanager
def whole_float32() -> Iterator[None]:
    """Within the block, or the function that it decorates, float32 has all its bits on GPUs too.

    By default torch lets convolutions there round what they multiply to 10 bits (TF32), which drowns small changes: on
    an H100 it doubled the local Lipschitz constant under saturation (`studies/devices`). A caller who has set torch's
    newer switches of single operations keeps them.
    """
    switches: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    try:
        before = [switch.allow_tf32 for switch in switches]
    except RuntimeError:  # torch does not tell where its two kinds of switches were mixed
        switches, before = (), []
    try:
        for switch in switches:
            switch.allow_tf32 = False
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


class Subject:
    """A classifier from the canvas (B, 3, H, W) in [0, 1] to logits (B, K).

    `model`: an `nn.Module`, put into eval mode for the measurement (`release` undoes it), or any callable, a black
    box without gradients. `mean`, `std`: on [0, 1], one value or one per channel. `channels`: 1 feeds luminance.
    Outputs may be a tensor, a tuple, a dict, or an object with `.logits`; a single logit z becomes two, (-z/2, z/2).
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
        training: TrainingRecord | None = None,
    ) -> None:
        self.model, self.name, self.source, self.canvas = model, name, source, canvas
        self.mean, self.std = tuple(float(value) for value in mean), tuple(float(value) for value in std)
        self.classes, self.preprocessing = tuple(classes) if classes else None, preprocessing
        self.weights, self.training = weights, training
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
        probe = torch.rand(2, 3, self.canvas.height, self.canvas.width, device=self.device)
        self._channels_last = False
        self.outputs = self._probed(probe)
        self._channels_last = self._runs_channels_last(probe)
        ready = self._prepared(probe)
        self._viewer = Viewer(self.module, last_linear(self.module, ready) if self.module is not None else None)
        self.differentiable = self._has_gradient(probe)

    @property
    def has_penultimate(self) -> bool:
        """Whether a last linear layer was found."""
        return self._viewer.last_linear is not None

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
        return to_logits(output, len(x)).float()

    def view(self, x: Tensor, layers: Sequence[str] = (), *, leaves: bool = False) -> View:
        """One forward pass, with the outputs of some layers. A layer that runs several times keeps its last output.

        `leaves`: the autograd graph begins at these outputs.
        """
        return self._viewer.view(x, self, () if self.module is None else layers, leaves=leaves)

    def layer_names(self) -> list[str]:
        """Every module's name, and `penultimate`."""
        return self._viewer.names

    def stages(self, limit: int = 4) -> list[str]:
        """Evenly spaced stages of the network, in the order they run."""
        if self.module is None:
            return []
        probe = torch.rand(2, 3, self.canvas.height, self.canvas.width, device=self.device)
        return [name for name in stages(self.module, self._prepared(probe), limit) if name != self._viewer.last_linear]

    def spatial_layer(self) -> str | None:
        """The last layer that still knows where in the image; None where there is none, and for a black box."""
        if self.module is None or not self.differentiable:
            return None
        return spatial_layer(self.module, self._prepared(torch.rand(2, 3, *self.size, device=self.device)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return self.canvas.height, self.canvas.width

    def variant(self, mean: Sequence[float], std: Sequence[float]) -> Subject:
        """The same model with another normalisation."""
        other = copy.copy(self)
        other.mean, other.std = tuple(mean), tuple(std)
        other._set_normalisation()
        return other

    def replaced(self, module: nn.Module) -> Subject:
        """The same preprocessing around another network of the same layers."""
        other = copy.copy(self)
        other.model = other.module = module.eval()
        other._viewer = Viewer(module, self._viewer.last_linear)
        other._modes = []
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

    def _input_channels(self) -> int:
        if self.module is None:
            return 3
        first = next((m for m in self.module.modules() if isinstance(m, nn.Conv2d)), None)
        return 1 if first is not None and first.in_channels == 1 else 3

    @torch.no_grad()
    def _probed(self, probe: Tensor) -> int:
        try:
            return self(probe).shape[1]
        except SemconError:
            raise
        except (Exception, SystemExit) as error:
            size = f"{self.canvas.height} x {self.canvas.width}"
            raise SemconError(
                f"the model {self.name} fails on a batch (2, {self.channels}, {size}): "
                f"{type(error).__name__}: {error}. {self._advice(str(error))}"
            ) from error

    def _advice(self, error: str) -> str:
        """What a model that fails on a batch may need."""
        layers = [] if self.module is None else list(self.module.modules())
        kinds = {value.dtype for layer in layers for value in layer.parameters() if value.is_floating_point()}
        other = next((kind for kind in kinds if kind != torch.float32), None)
        if other is not None:
            return f"Its weights are {str(other).removeprefix('torch.')}, images are float32: give it as model.float()"
        first = next((layer for layer in layers if isinstance(layer, nn.Conv2d)), None)
        if first is not None and first.in_channels not in (1, 3):
            return f"It takes {first.in_channels} channels: expected 3 (RGB) or 1 (luminance)"
        if self.device.type != "cpu" and "same device" in error:
            return "A tensor of it stays behind on the CPU: register it as a buffer, or give --device cpu"
        return "Expected images of that size to be accepted; try --size"

    @torch.no_grad()
    def _runs_channels_last(self, probe: Tensor) -> bool:
        """Whether the model has convolutions, which are faster on a CPU in that order, and takes such batches."""
        if self.device.type != "cpu" or self.module is None:
            return False
        if not any(isinstance(layer, nn.Conv2d) for layer in self.module.modules()):
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
                if not bool(value.isfinite()):
                    return value.requires_grad  # what is wrong with it is told where images are looked at
                return value.requires_grad and bool(torch.autograd.grad(value, source)[0].isfinite().all())
            except RuntimeError:
                return False
