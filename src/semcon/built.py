"""What a model source yields before it becomes a subject."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
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


def build_subject(
    built: Built, *, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, size: int | None,
    classes: tuple[str, ...] | None, device: str, precision: str, common_size: tuple[int, int] | None, name: str | None,
) -> Subject:  # fmt: skip
    """The subject: what the user gave, else the source's own configuration, else the common size and no normalisation.

    Each of size, mean and std alone: the source's other values stay. `device` auto: a function that does not take
    images on the accelerator gets them on the CPU.

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
    if own is None and (mean is None) != (std is None):
        raise SemconError("normalisation is a mean and a standard deviation: give --mean and --std, or neither")
    origin = "given" if mean is not None or std is not None else own.origin if own is not None else "default"
    if own is not None:
        mean, std = mean or own.mean, std or own.std
    made = partial(
        Subject, built.model, name=name or built.name, canvas=canvas, source=built.source,
        mean=mean or (0.0,), std=std or (1.0,), classes=classes or built.classes, preprocessing=origin,
        weights=built.weights, precision=precision, training=built.training,
    )  # fmt: skip
    picked = pick_device(device)
    if device == "auto" and picked.type != "cpu" and not isinstance(built.model, nn.Module):
        with suppress(SemconError):  # what a function calls may well be on the CPU
            return made(device=picked)
        picked = torch.device("cpu")
    return made(device=picked)


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
