"""Run folders for comparisons: clouds whose changes, flips and mistakes are known, under one perturbation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

import clouds
from semcon.core.pictured import GalleryEntry
from semcon.core.profile import profile
from semcon.core.record import EvaluationRecord, Record, write_record
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.run_record import RunRecord

N, LADDER = 200, (0.05, 0.1)
GENERATOR = np.random.default_rng(0)
Z, LABELS = clouds.clusters(GENERATOR, N)
BASE = np.abs(GENERATOR.normal(size=(N, 1))) + 0.5
RESIDUAL = GENERATOR.normal(size=(N, 1)) * 0.05
CHANGES = {("gaussian_noise", severity): BASE * severity for severity in LADDER}
OTHER = {key: change + 0.1 * RESIDUAL + 0.01 for key, change in CHANGES.items()}
FLIPS = {key: np.arange(N)[:, None] < 20 for key in CHANGES}
MORE_FLIPS = {key: np.arange(N)[:, None] < 30 for key in CHANGES}
WRONG = np.arange(N) < 8


def build(folder: Path, record: Record, name: str, changes=None, *, z=Z, order=None, subject=None, settings=None,
          **options) -> RunRecord:  # fmt: skip
    """A run in folder/name; `subject` and `settings` change the record, `order` the images."""
    own = clouds.table(z, options.pop("labels", LABELS), changes or CHANGES, **options)
    if order is not None:
        place = pl.DataFrame({"position": order, "moved": np.arange(len(order))}, schema_overrides={
            "position": own.images.schema["position"], "moved": own.images.schema["position"],
        })  # fmt: skip
        own = SampleTable(*(_moved(frame, place) for frame in (own.images, own.rows)), own.gauges)
    gauges = tuple(clouds.info(gauge.name) for gauge in own.gauges)
    record = record.model_copy(update={
        "subject": record.subject.model_copy(update={"name": name, "fingerprint": name} | (subject or {})),
        "settings": record.settings.model_copy(update={"gauges": gauges} | (settings or {})),
        "data": record.data.model_copy(update={"images": len(own.images)}),
    })  # fmt: skip
    (folder / name).mkdir(parents=True)
    own.save(folder / name / "rows.parquet")
    return RunRecord(record, folder / name)


def _moved(frame: pl.DataFrame, place: pl.DataFrame) -> pl.DataFrame:
    """The same images at other positions."""
    moved = frame.join(place, on="position").with_columns(position="moved")
    return moved.select(frame.columns).sort("position", maintain_order=True)


def finished(run: RunRecord, gallery: Sequence[GalleryEntry] = ()) -> RunRecord:
    """The same with its estimates, its profile and its record.json."""
    families = {one.name: one.family for one in run.record.settings.perturbations}
    record = run.record.model_copy(update={
        "estimates": tuple(summarise(run.samples, class_names=[f"class {i}" for i in range(10)])),
        "profile": tuple(profile(run.samples, families)), "gallery": tuple(gallery),
    })  # fmt: skip
    write_record(record, run.folder)
    return RunRecord.load(run.folder)


def pictured(run: RunRecord, positions: Sequence[int], severity: float = 0.05, title: str = "picture") -> RunRecord:
    """The finished run with pictures of these images under gaussian noise."""
    (run.folder / "gallery").mkdir()
    images = run.samples.images
    entries = []
    for position in positions:
        files = {role: f"gallery/{severity:g}-{position}-{role}.png" for role in ("image", "copy")}
        for place, name in enumerate(files.values()):
            Image.fromarray(np.full((8, 8, 3), (17 * position + 90 * place) % 256, np.uint8)).save(run.folder / name)
        entries.append(GalleryEntry(
            perturbation="gaussian_noise", severity=severity, draws="random", draw=0, class_name="class 1",
            sample=images["sample"][position], position=position, other_position=None, title=f"{title} {position}",
            other_title=None, gauge="logits.l2", change=1.0, other_distance=None, pixel_change=1.0, pixel_other=None,
            relative=0.5, figure1=False, prediction="1", prediction_copy="2", prediction_other=None, confidence=0.9,
            confidence_copy=0.8, files=files,
        ))  # fmt: skip
    return finished(run, entries)


def evaluated(run: RunRecord, name: str = "shortcut", seed: int = 0, ladder: Sequence[float] = LADDER) -> RunRecord:
    """The run with another evaluation beside continuity, of the same rows; `seed`: of its own settings."""
    run.samples.save(run.folder / f"{name}.parquet")
    settings = run.record.settings
    (noise,) = settings.perturbations
    one = EvaluationRecord(
        name=name, question="?", version=1, seconds=1.0, settings={"version": 1, "seed": seed}, gauges=settings.gauges,
        perturbations=(noise.model_copy(update={"severities": tuple(ladder)}),), inert=(), verdict=(),
        estimates=tuple(summarise(run.samples)),
    )  # fmt: skip
    return replace(run, record=run.record.model_copy(update={"evaluations": (*run.record.evaluations, one)}))
