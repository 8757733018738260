"""Text to models, data, normalisation, class names and run folders."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.registry import available, load

if TYPE_CHECKING:
    from semcon.core.concepts import Dataset
    from semcon.transferring.target import Target


def numbers(text: str | Sequence[float] | float | None, name: str) -> tuple[float, ...] | None:
    """`.485,.456,.406` -> three floats; one value stands for all channels."""
    if text is None:
        return None
    parts: Sequence[Any] = (
        text.split(",") if isinstance(text, str) else [text] if isinstance(text, int | float) else list(text)
    )
    try:
        values = tuple(float(part) for part in parts)
    except (ValueError, TypeError):
        raise SemconError(f"--{name} expects numbers such as .485,.456,.406, got {text!r}") from None
    if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
        raise SemconError(f"--{name} expects one or three finite numbers, got {text!r}")
    if name == "std" and min(values) <= 0:
        raise SemconError(f"--std must be positive, got {text!r}")
    if max(values) > 1:
        divided = ",".join(f"{value / 255:.4g}" for value in values)
        raise SemconError(
            f"--{name} is on pixels in [0, 1], got {text!r}: if that is on 0..255, divide by 255: {divided}"
        )
    return values


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Class names of the outputs: line i (from 0) names output i."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SemconError(f"cannot read the class file {path}: {error}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return tuple(line.strip() for line in lines)


MODEL_SOURCES = {
    "timm": "timm:NAME (or hf-hub:ORG/NAME)",
    "torchvision": "torchvision:NAME",
    "file": "file:PATH.py:BUILDER --weights FILE",
}


def parse_model(text: Any, weights: str | None) -> Any:
    """A model source, ready to `.build()`: text by its prefix, a Python module or callable as it is."""
    if not isinstance(text, str):
        return load("models", "module")(text)
    prefix, separator, rest = text.partition(":")
    if prefix == "hf-hub":
        return load("models", "timm")(text, weights=weights)
    if prefix == "file" and rest:
        path, _, builder = rest.rpartition(":")
        if not path or not builder:
            raise SemconError(f"expected file:PATH.py:BUILDER, got {text!r}")
        return load("models", "file")(path, builder, weights=weights)
    if prefix in available("models") and rest and prefix != "module":
        return load("models", prefix)(rest, weights=weights)
    forms = "; ".join(MODEL_SOURCES.values())
    if not separator and (Path(text).suffix == ".py" or Path(text).exists()):
        raise SemconError(f"{text!r} names no builder: expected file:{text}:BUILDER")
    raise SemconError(f"unknown model source {text!r}: expected {forms}")


def parse_data(data: Any, limit: int | None, masks: str | Path | None = None) -> Dataset:
    """A data set: text by its prefix, Python objects as they are; the first `limit` images.

    `masks`: a folder of them, for a folder of images. Errors: `SemconError` for other data.
    """
    from semcon.loading import as_dataset

    if masks is not None:
        folder = str(data).removeprefix("folder:")
        if isinstance(data, str) and data.startswith("folder:") and not Path(folder).is_dir():
            raise SemconError(f"no such folder: {folder}")
        if not isinstance(data, str | Path) or not Path(folder).is_dir():
            raise SemconError(f"--masks belongs to a folder of images, got {data!r}: expected folder:DIR")
        return load("datasets", "folder").parse(folder, limit=limit, masks=masks)
    if not isinstance(data, str | Path):
        return as_dataset(data, limit=limit)
    text = str(data)
    prefix, separator, rest = text.partition(":")
    if separator and prefix == "builtin":
        builtins = _datasets_with("builtin")
        if rest not in builtins:
            raise UnknownNameError("builtin data set", rest, builtins)
        return builtins[rest](limit=limit)
    if separator and prefix in available("datasets"):
        kind = load("datasets", prefix)
        if hasattr(kind, "parse"):
            return kind.parse(rest, limit=limit)
    path = Path(text)
    if path.is_dir() or re.search(r"\.parquet(\?.*)?(\[\d*:\d*\])?$", text):
        return load("datasets", "folder" if path.is_dir() else "parquet").parse(text, limit=limit)
    forms = [getattr(kind, "form", f"{name}:TEXT") for name, kind in _datasets_with("parse").items()]
    forms += [f"builtin:{name}" for name in _datasets_with("builtin")]
    raise SemconError(f"unknown data {text!r}: expected {', '.join(forms[:-1])} or {forms[-1]}")


def parse_target(data: Any, seed: int, *, skip_bad: bool = False) -> Target | None:
    """What is transferred to: one data set, or two as `TRAIN,TEST` or a pair; None for None."""
    from semcon.transferring.target import Target

    if data is None:
        return None
    parts: list[Any] = list(data) if isinstance(data, tuple | list) else [data]  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(data, str) and "," in data and not Path(data.partition(":")[2] or data).exists():
        parts = [part.strip() for part in data.split(",")]
    if not 1 <= len(parts) <= 2:
        raise SemconError(f"--transfer-to expects one data set, or two as TRAIN,TEST, got {data!r}")
    return Target.of(*(parse_data(part, None) for part in parts), seed=seed, skip_bad=skip_bad)


def _datasets_with(fact: str) -> dict[str, Any]:
    """The data sets with a fact: `builtin` (reached by name alone) or `parse` (by name and text)."""
    kinds = {name: load("datasets", name) for name in available("datasets")}
    return {name: kind for name, kind in kinds.items() if getattr(kind, fact, False)}


def default_folder(model: str, data: str, name: str | None, *, resume: bool) -> Path:
    """`runs/MODEL-DATA`, numbered where taken; with `resume` the first unfinished one."""
    from semcon.partial import free_folder

    def plain(text: str) -> str:
        return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")[-40:]

    last = data.split(",")[0].rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".parquet")
    stem = f"{plain(name or model.rpartition(':')[2])}-{plain(last)}"
    return free_folder(Path("runs") / stem, resume=resume)
