"""What a run folder holds, as plain data: `record.json`, `rows.parquet`, `gallery/`. No torch, never NaN."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import ValidationError

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.figures import Key
from semcon.core.pictured import ExplainedEntry, GalleryEntry, MapRecord
from semcon.core.plain import Plain

SCHEMA = 1


class Estimate(Plain):
    """One figure with its 95 % interval. All fields but the numbers together are unique in a record."""

    perturbation: str | None
    severity: float | None
    draws: Literal["random", "worst"]
    representation: str | None
    distance: str | None
    quantity: str
    subset: str
    statistic: Literal["mean", "ratio", "median"]
    mean: float | None
    low: float | None
    high: float | None
    samples: int
    censored: float | None = None
    reason: str | None = None

    @property
    def key(self) -> Key:
        """What the figure is about."""
        gauge = self.representation, self.distance
        return Key(self.perturbation, self.severity, self.draws, *gauge, self.quantity, self.subset, self.statistic)


class ProfileRow(Plain):
    """One quantity of one family of perturbations: the mean over the family's perturbations and severities."""

    family: str
    quantity: str
    mean: float | None
    low: float | None
    high: float | None
    samples: int
    perturbations: tuple[str, ...]


class Finding(Plain):
    """Why a number cannot be trusted, or should be read with care, and what to do."""

    code: str
    severity: Literal["issue", "warning", "note"]
    message: str
    remedy: str


class GaugeInfo(Plain):
    """One representation with one distance; `projected`: its sketch's size where it is longer than 4096."""

    name: str
    representation: str
    distance: str
    dimension: int
    projected: int | None
    projection_error: float | None
    homogeneous: bool


class PerturbationRecord(Plain):
    """A perturbation as it was used.

    `kind`: continuous, discrete, binary, or "place" where severities say where (in the spectrum) and not how much.
    """

    name: str
    family: str
    unit: str
    source: str
    kind: str
    parameters: str
    version: int
    severities: tuple[float, ...]
    draws: int


class CanvasRecord(Plain):
    """The size that images are brought to, and how."""

    height: int
    width: int
    resize: int | None
    interpolation: str
    crop: str


class TrainingRecord(Plain):
    """What it cost to train a network. `images`: samples seen; `passes`: forward-pass equivalents over all of them.

    A backward pass counts as two forward ones, so plain cross-entropy costs 3 passes for every image seen.
    """

    objective: str
    seed: int
    steps: int
    images: int
    passes: float
    seconds: float
    parameters: int
    hardware: str


class SubjectRecord(Plain):
    """The model with its preprocessing; `training` where it is known."""

    name: str
    source: str
    weights: str | None
    outputs: int
    classes: tuple[str, ...] | None
    parameters: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    differentiable: bool
    preprocessing: str
    fingerprint: str | None
    canvas: CanvasRecord
    training: TrainingRecord | None = None


class DataRecord(Plain):
    """The images."""

    name: str
    source: str
    images: int
    labelled: bool
    classes: tuple[str, ...] | None
    class_of_output: tuple[int, ...] | None
    skipped: tuple[str, ...]
    fingerprint: str
    median_size: tuple[int, int]


class SearchRecord(Plain):
    """How the worst case was searched."""

    steps: int
    restarts: int
    best_of: int


class SettingsRecord(Plain):
    """What the rows depend on."""

    seed: int
    draws: int
    budget: str
    limit: int | None
    gradient_norm: bool
    critical: bool
    worst: SearchRecord | None
    evaluation_version: int
    primary: str
    perturbations: tuple[PerturbationRecord, ...]
    inert: tuple[str, ...]
    gauges: tuple[GaugeInfo, ...]
    command: str
    class_names: tuple[str, ...] | None = None  # of the rows' labels, where these are no outputs of the model


class TimingRecord(Plain):
    """How long it took; `forward_images`: images that went through the model."""

    seconds: float
    estimated_seconds: float
    images_per_second: float
    forward_images: int


class EvaluationRecord(Plain):
    """One evaluation besides continuity; its rows are in `NAME.parquet`. `settings`: what they depend on."""

    name: str
    question: str
    version: int
    seconds: float
    settings: dict[str, Any]
    perturbations: tuple[PerturbationRecord, ...]
    gauges: tuple[GaugeInfo, ...]
    inert: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    verdict: tuple[str, ...]
    maps: tuple[MapRecord, ...] = ()
    explained: tuple[ExplainedEntry, ...] = ()


class Record(Plain):
    """Everything about a run but its rows.

    `estimates`, `profile`, `gallery` and the settings' perturbations are continuity's; without it they are empty, but
    for what is told of the untouched images.
    """

    schema_version: int = SCHEMA
    semcon: str
    created: str
    kind: Literal["audit"] = "audit"
    subject: SubjectRecord
    data: DataRecord
    settings: SettingsRecord
    environment: dict[str, str | int | None]
    timing: TimingRecord
    estimates: tuple[Estimate, ...]
    profile: tuple[ProfileRow, ...]
    findings: tuple[Finding, ...]
    verdict: tuple[str, ...]
    gallery: tuple[GalleryEntry, ...]
    evaluations: tuple[EvaluationRecord, ...] = ()

    def evaluation(self, name: str) -> Record:
        """The record as if this evaluation were all there is. Errors: `UnknownNameError`."""
        known = {one.name: one for one in self.evaluations}
        if name not in known:
            raise UnknownNameError("evaluation in this run", name, known)
        one = known[name]
        critical = any(estimate.quantity == "critical_severity" for estimate in one.estimates)
        settings = {
            "perturbations": one.perturbations, "gauges": one.gauges, "inert": one.inert, "worst": None,
            "evaluation_version": one.version, "critical": critical,
            "draws": one.settings.get("draws", 1), "gradient_norm": False,
            "class_names": one.settings.get("class_names"),
        }  # fmt: skip
        return self.model_copy(update={
            "estimates": one.estimates, "profile": (), "gallery": (), "verdict": one.verdict, "evaluations": (),
            "settings": self.settings.model_copy(update=settings),
        })  # fmt: skip

    def limited(self, evaluations: Collection[str], *, continuity: bool) -> Record:
        """The record as if only these evaluations had been made, and continuity where it says so."""
        kept = {"evaluations": tuple(one for one in self.evaluations if one.name in evaluations)}
        without = {} if continuity else {
            "estimates": tuple(one for one in self.estimates if one.perturbation is None), "profile": (),
            "gallery": (), "verdict": (), "settings": self.settings.model_copy(update={"perturbations": ()}),
        }  # fmt: skip
        return self.model_copy(update=kept | without)

    def figures(self) -> list[Estimate]:
        """The estimates of all evaluations, continuity's first; one that two of them have stands once."""
        found: dict[tuple[object, ...], Estimate] = {}
        for part in (self, *self.evaluations):
            for estimate in part.estimates:
                found.setdefault(estimate.key, estimate)
        return list(found.values())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `schema` is the format's version."""
        plain = self.model_dump(mode="json")
        return {"schema": plain.pop("schema_version"), **plain}


def write_record(record: Record, folder: Path) -> Path:
    """`record.json` in a folder, whole or not at all. Errors: `SemconError` where it cannot be written."""
    target = folder / "record.json"
    temporary = target.with_suffix(".tmp")
    text = json.dumps(record.to_json(), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SemconError(
            f"cannot write {target}: {error.strerror or error}. Make room and use --resume, or choose another --out"
        ) from None
    return target


def read_record(folder: Path) -> Record:
    """The record of a run folder. Errors: `SemconError` for what is no run, newer than this version, or damaged."""
    path = folder / "record.json"
    if not path.is_file():
        beside = folder.with_name(folder.name + ".partial")
        hint = f"; {beside.name} beside it is unfinished: audit again with --resume" if beside.exists() else ""
        raise SemconError(f"{folder} is no run folder: it has no record.json{hint}")
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(read, dict) or "schema" not in read:
            raise ValueError("it is no record of semcon's, or names no schema")
        plain = cast(dict[str, Any], read)
        version: object = plain.pop("schema")
    except (ValueError, OSError) as error:
        raise SemconError(f"{path} is damaged: {error}. Audit again") from None
    if version != SCHEMA:
        raise SemconError(f"{path} has schema {version}, this semcon reads {SCHEMA}: use the version that wrote it")
    try:
        return Record.model_validate({"schema_version": version, **plain})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SemconError(f"{path} is damaged at {where}: {first['msg']}. Audit again") from None
