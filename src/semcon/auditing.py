"""One audit, end to end: subject and data to a run folder with rows, record, gallery and report."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semcon import __version__
from semcon.checks import run_checks
from semcon.core.concepts import Dataset, Gauge
from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.evaluations.continuity import Continuity
from semcon.evidence import Evidence
from semcon.gallery import Gallery
from semcon.keyed import Keys
from semcon.labelling import check_labels, check_names, outputs_of_classes
from semcon.loading import Batch, Scan, batches
from semcon.measure import Plan, Trial
from semcon.partial import PartialRun
from semcon.progress import Progress
from semcon.references import Index
from semcon.run_record import RunRecord
from semcon.subject import Subject

PROBE = 256


@dataclass(frozen=True)
class AuditSettings:
    """What a recipe decides about an audit besides the model and the data."""

    trials: tuple[Trial, ...]
    layers: tuple[str, ...] | None
    gauges: tuple[tuple[str, str], ...]
    plan: Plan
    budget: str
    limit: int | None
    classes_given: bool
    batch_size: int | None
    workers: int | None
    skip_bad: bool
    resume: bool
    command: str


def default_batch_size(subject: Subject) -> int:
    """Images per pass: as many as keep a core's caches or a GPU busy."""
    pixels = subject.canvas.height * subject.canvas.width
    budget = 128 * 1024 if subject.device.type == "cpu" else 2048 * 1024
    return max(16, min(1024, 2 ** round(math.log2(max(1, budget / pixels)))))


def choose_gauges(subject: Subject, layers: tuple[str, ...] | None, extra: Sequence[tuple[str, str]]) -> list[Gauge]:
    """Pixels (the control), stages of the network in order, penultimate features, centred logits, probabilities."""
    known = set(subject.layer_names())
    chosen = tuple(subject.stages()) if layers is None else layers
    missing = [layer for layer in chosen if layer not in known]
    if missing:
        raise UnknownNameError("layer", missing[0], known)
    pairs: list[tuple[str, str]] = [("pixels", "l2"), *((layer, "l2") for layer in chosen)]
    if subject.has_penultimate:
        pairs += [("penultimate", "l2"), ("penultimate", "cosine")]
    pairs += [("logits", "l2"), ("logits", "cosine"), ("probabilities", "jensen_shannon")]
    pairs += [pair for pair in extra if pair not in pairs]
    return [make_gauge(representation, distance, known) for representation, distance in pairs]


def make_gauge(name: str, distance_name: str, layers: set[str]) -> Gauge:
    """A gauge from names: a representation's file name, `penultimate`, or a layer of the network."""
    distance = load("distances", distance_name)()
    if name in available("representations") and name != "layer":
        representation = load("representations", name)()
    elif name == "penultimate" or name in layers:
        representation = load("representations", "layer")(name)
    else:
        raise UnknownNameError("representation", name, {*available("representations"), "penultimate", *layers})
    check_compatible(representation, distance)
    return Gauge(representation, distance_name, distance)


def inert(trial: Trial, x: Tensor, ids: Tensor, seed: int) -> bool:
    """Whether the perturbation, at its highest severity, leaves these images as they are."""
    unit = trial.perturbation.sample(Keys(ids, seed, 0, trial.name), x)
    return bool((trial.perturbation(x, unit, max(trial.severities)) - x).abs().max() < 1e-4)
