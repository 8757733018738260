"""What a training run leaves beside its weights, as plain data: `training.json`. No torch, never NaN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from semcon.core.errors import SemconError
from semcon.core.plain import Plain
from semcon.core.record import CanvasRecord, TrainingRecord

SCHEMA = 1
FILE = "training.json"


class NetworkRecord(Plain):
    """How the network is built again: a model source's name and its fields."""

    kind: str
    fields: dict[str, str | int | None]


class TrainingRun(Plain):
    """A trained network: how to build it, what it wants to see, and what it cost. `weights`: a file in the folder."""

    schema_version: int = SCHEMA
    semcon: str
    created: str
    network: NetworkRecord
    weights: str
    canvas: CanvasRecord
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    classes: tuple[str, ...] | None
    training: TrainingRecord
    recipe: dict[str, Any]
    environment: dict[str, str | int | None]

    def to_text(self) -> str:
        """JSON; `schema` is the format's version."""
        plain = self.model_dump(mode="json")
        return json.dumps({"schema": plain.pop("schema_version"), **plain}, indent=1, allow_nan=False) + "\n"


def read_training(folder: Path) -> TrainingRun:
    """The training of a run folder. Errors: `SemconError` for what holds none, is damaged or too new."""
    path = folder / FILE
    if not path.is_file():
        beside = folder.with_name(folder.name + ".partial")
        hint = f"; {beside.name} beside it is unfinished: train again with --resume" if beside.exists() else ""
        raise SemconError(f"{folder} holds no trained network: it has no {FILE}{hint}")
    try:
        plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = plain.pop("schema")
    except (ValueError, KeyError, AttributeError, OSError) as error:
        raise SemconError(f"{path} is damaged: {error}. Train again") from None
    if version != SCHEMA:
        raise SemconError(f"{path} has schema {version}, this semcon reads {SCHEMA}: use the version that wrote it")
    try:
        return TrainingRun.model_validate({"schema_version": version, **plain})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SemconError(f"{path} is damaged at {where}: {first['msg']}. Train again") from None
