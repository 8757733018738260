"""What a model source yields before it becomes a subject, and how weights get into it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.core.errors import SemconError
from semcon.core.record import TrainingRecord
from semcon.subject import Subject


@dataclass(frozen=True)
class Preprocessing:
    """A source's own configuration: canvas, normalisation, and where it is from."""

    canvas: Canvas
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str


@dataclass(frozen=True)
class Built:
    """A network (or callable) with what its source knows of it."""

    model: nn.Module | Callable[[Tensor], Any]
    name: str
    source: str
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] | None = None
    weights: str | None = None
    training: TrainingRecord | None = None


def load_weights(network: nn.Module, path: str) -> None:
    """Load a .safetensors file, or a pickle of tensors only, strictly; "none" keeps the random weights.

    Accepts a state dict nested under "state_dict", "model" or "net", and one prefix on all keys ("module.", "model.").
    Errors: `SemconError` naming the keys that do not fit.
    """
    if path == "none":
        return
    state = _unprefixed(_read(Path(path)), set(network.state_dict()))
    own = network.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # older files lack them; eval ignores them
    missing, unexpected = sorted(set(own) - set(state) - counters), sorted(set(state) - set(own))
    shapes = [
        f"{key} is {tuple(state[key].shape)}, the model's {tuple(own[key].shape)}"
        for key in sorted(set(own) & set(state))
        if state[key].shape != own[key].shape
    ]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for keys, what in ((missing, "missing"), (unexpected, "unexpected"), (shapes, "of another shape"))
        if keys
    ]
    if problems:
        raise SemconError(f"the weights in {path} do not fit the model: keys {'; '.join(problems)}")
    network.load_state_dict(own | state)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise SemconError(f"no such weights file: {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise SemconError(f"{path} is not a readable safetensors file: {error}") from None
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start != b"PK\x03\x04" and start[:1] != b"\x80":
            raise ValueError("it is no file that torch.save wrote")
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise SemconError(
            f"{path} holds more than tensors, and semcon does not run code from weight files: save "
            "model.state_dict() with torch.save, or better with safetensors.torch.save_file"
        ) from None
    except Exception as error:  # torch.load fails in many ways on what is cut short or no pickle
        raise SemconError(f"cannot read the weights in {path}: {error}") from None
    for key in ("state_dict", "model", "net"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
    ):
        raise SemconError(f"{path} holds no state dict (names to tensors), but {type(loaded).__name__}")
    return dict(loaded)


def _unprefixed(state: dict[str, Tensor], own: set[str]) -> dict[str, Tensor]:
    for prefix in ("module.", "model.", "_orig_mod."):
        if state and all(key.startswith(prefix) for key in state) and not all(key in own for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def build_subject(
    built: Built, *, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, size: int | None,
    classes: tuple[str, ...] | None, device: str, precision: str, common_size: tuple[int, int] | None, name: str | None,
) -> Subject:  # fmt: skip
    """The subject: what the user gave, else the source's own configuration, else the common size and no normalisation.

    Each of size, mean and std alone: the source's other values stay.

    Errors: `SemconError` for images of mixed sizes without a size to bring them to.
    """
    own = built.preprocessing
    if size is not None:
        canvas = Canvas(size, size, interpolation=own.canvas.interpolation if own else "bicubic")
    elif own is not None:
        canvas = own.canvas
    elif common_size is not None:
        canvas = Canvas(*common_size)
    else:
        raise SemconError("the images have different sizes and the model names none: give --size N (pixels)")
    origin = "given" if mean is not None or std is not None else own.origin if own is not None else "default"
    if own is not None:
        mean, std = mean or own.mean, std or own.std
    return Subject(
        built.model, name=name or built.name, canvas=canvas, source=built.source,
        mean=mean or (0.0,), std=std or (1.0,), classes=classes or built.classes, preprocessing=origin,
        weights=built.weights, device=pick_device(device), precision=precision, training=built.training,
    )  # fmt: skip


def pick_device(text: str) -> torch.device:
    """`auto`: CUDA, else MPS, else the CPU. Errors: `SemconError` for a device that is not there."""
    if text == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        device = torch.device(text)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SemconError(f"device {text!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device
