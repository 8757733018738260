"""One audit, end to end: subject and data to a run folder with rows, record, gallery and report."""

from __future__ import annotations

import hashlib
import math
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semcon import __version__
from semcon.core.concepts import Dataset, Gauge, check_compatible
from semcon.core.errors import SemconError, UnknownNameError, keeping
from semcon.core.profile import profile
from semcon.core.record import (
    CanvasRecord,
    DataRecord,
    PerturbationRecord,
    Record,
    SearchRecord,
    SettingsRecord,
    SubjectRecord,
    TimingRecord,
    write_record,
)
from semcon.core.registry import available, load
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.core.verdict import verdict
from semcon.evaluations.continuity import Continuity
from semcon.evidence import Evidence, run_checks
from semcon.gallery import Gallery
from semcon.keyed import Keys
from semcon.labelling import check_labels, check_names, outputs_of_classes
from semcon.loading import Batch, Scan, batches
from semcon.measure import Plan, Trial, fitting
from semcon.partial import PartialRun
from semcon.progress import Progress
from semcon.references import Index
from semcon.report.numbers import counted
from semcon.run_record import RunRecord
from semcon.subject import Subject

PROBE = 256


@dataclass(frozen=True)
class Request:
    """What a recipe decides about an audit besides the subject and the data.

    `plan` comes without gauges: they depend on the network. `layers`: None chooses stages. `out`: the run folder.
    `accept`: told of the settled plan before anything is measured; may raise.
    """

    plan: Plan
    out: Path
    layers: tuple[str, ...] | None = None
    gauges: tuple[tuple[str, str], ...] | None = None
    classes_given: bool = False
    budget: str = "fast"
    limit: int | None = None
    batch_size: int | None = None
    workers: int | None = None
    resume: bool = False
    command: str = ""
    accept: Callable[[Plan], None] = lambda _: None


class Material:
    """The images of one audit: the scan, labels as output indices, and reading by position in the scan."""

    def __init__(self, subject: Subject, dataset: Dataset, scan: Scan, request: Request) -> None:
        self.subject, self.dataset, self.scan, self.request = subject, dataset, scan, request
        self.output_of_class: list[int] | None = None
        labels = scan.labels
        if bool((labels >= 0).all()):
            if dataset.classes is None:
                check_labels(labels.tolist(), subject.outputs)
            else:
                self.output_of_class = outputs_of_classes(
                    dataset.classes, subject.classes, subject.outputs, given=request.classes_given
                )
                labels = torch.tensor(self.output_of_class)[labels]
        else:
            labels = torch.full_like(labels, -1)
        self.index = Index(scan.ids, labels)
        self.batch_size = request.batch_size or default_batch_size(subject)

    def read(self, rows: Sequence[int]) -> Iterable[Batch]:
        """Batches of the images at these rows of the scan; `Batch.positions` are rows of the scan."""
        return batches(
            self.dataset, self.subject.canvas, self.scan, rows, labels=self.index.labels,
            batch_size=self.batch_size, workers=self.request.workers,
        )  # fmt: skip

    def one(self, rows: Sequence[int]) -> Batch:
        """Some images as one batch."""
        return Batch.concat(list(self.read(rows)))

    def changing(self, images: int = 8) -> tuple[str, ...]:
        """Titles of those among some images, evenly spread, that are no longer what the scan read."""
        rows = range(0, len(self.scan.ids), max(1, len(self.scan.ids) // images))
        places = {int(self.scan.positions[row]): int(self.scan.ids[row]) for row in rows[:images]}
        return tuple(
            self.dataset.title(place) for place, seen in places.items() if self.dataset.identity(place) != seen
        )

    def output_names(self) -> tuple[str, ...]:
        """A name for every output: the model's, else the data's, else its number."""
        names = [str(number) for number in range(self.subject.outputs)]
        if self.subject.classes is not None:
            names = [name or number for name, number in zip(self.subject.classes, names, strict=True)]
        for output, name in zip(self.output_of_class or (), self.dataset.classes or (), strict=True):
            names[output] = name
        return tuple(names)


def default_batch_size(subject: Subject) -> int:
    """Images per pass: as many as keep a core's caches or a GPU busy."""
    pixels = subject.canvas.height * subject.canvas.width
    budget = 64 * 1024 if subject.device.type == "cpu" else 2048 * 1024
    return max(16, min(1024, 2 ** round(math.log2(max(1, budget / pixels)))))


def run_audit(subject: Subject, dataset: Dataset, scan: Scan, request: Request, progress: Progress) -> RunRecord:
    """Measure, summarise, check, choose the gallery, write the run folder. Returns the record."""
    began = time.perf_counter()
    check_names(subject.classes, subject.outputs)
    material = Material(subject, dataset, scan, request)
    probe = material.one(range(min(PROBE, len(scan.ids))))
    plan, left_out = _settled(subject, probe, request)
    request.accept(plan)
    folder = PartialRun(request.out, _settings(subject, material, plan), resume=request.resume)
    done = folder.done()
    few = probe.part(slice(min(32, material.batch_size)))
    evaluation = Continuity(plan)
    with folder.gone_if_empty():
        estimated = seconds_per_image(subject, plan, few) * (len(scan.ids) - len(done))
        progress.say(_outlook(subject, plan, scan, estimated, len(done)))
        eye, references = evaluation.run(
            subject, material.index, material.read, skip=done, keep=folder.add, progress=progress
        )
    table = folder.table()
    names = material.output_names()
    estimates = summarise(table, seed=plan.seed, primary=plan.primary.name, class_names=names)
    families = {trial.name: trial.perturbation.family for trial in plan.trials}
    rows = profile(table, families, seed=plan.seed, primary=plan.primary.name)
    findings = run_checks(
        Evidence(
            subject=subject, probe=probe, table=table, estimates=estimates, labels_known=material.index.labelled,
            unlabelled=int((scan.labels < 0).sum()), median_size=scan.median_size, skipped=scan.bad, inert=left_out,
            changing=material.changing(),
            worst=plan.worst is not None, batch_size=material.batch_size,
        )
    )  # fmt: skip
    gallery = Gallery(eye, references, table, material.one, names, folder.folder / "gallery").make()
    seconds = time.perf_counter() - began
    forwards = round(plan.passes(gradients=subject.differentiable) * len(scan.ids))
    record = Record(
        semcon=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        subject=_subject_record(subject),
        data=_data_record(material),
        settings=_settings_record(plan, request, table, left_out, evaluation.version),
        environment=environment(subject),
        timing=TimingRecord(
            seconds=seconds, estimated_seconds=estimated, images_per_second=forwards / seconds, forward_images=forwards
        ),
        estimates=tuple(estimates),
        profile=tuple(rows),
        findings=tuple(findings),
        verdict=verdict(estimates, rows, [finding.code for finding in findings]),
        gallery=tuple(gallery),
    )
    subject.release()
    with keeping(folder.folder):
        table.save(folder.folder / "rows.parquet")
    write_record(record, folder.folder)
    RunRecord(record, folder.folder).report()
    return RunRecord(record, folder.finish())


def _settled(subject: Subject, probe: Batch, request: Request) -> tuple[Plan, tuple[str, ...]]:
    """The plan with this network's gauges and without the perturbations that leave these images as they are."""
    plan = replace(request.plan, gauges=tuple(choose_gauges(subject, request.layers, request.gauges)))
    idle = tuple(trial.name for trial in plan.trials if inert(trial, probe, plan.seed, subject.device))
    kept = tuple(trial for trial in plan.trials if trial.name not in idle)
    if not kept:
        raise SemconError(f"no perturbation changes these images: {', '.join(idle)} leave them as they are")
    return replace(plan, trials=kept), idle


def choose_gauges(
    subject: Subject, layers: tuple[str, ...] | None, pairs: Sequence[tuple[str, str]] | None
) -> list[Gauge]:
    """Pixels (the control), stages of the network in order, penultimate features, centred logits, probabilities.

    `layers`: None chooses the stages. `pairs`: in place of the features', logits' and probabilities' usual distances.
    """
    known = set(subject.layer_names())
    chosen = tuple(subject.stages()) if layers is None else layers
    missing = [layer for layer in chosen if layer not in known]
    if missing:
        raise UnknownNameError("layer", missing[0], known)
    if pairs is None:
        features = [("penultimate", "l2"), ("penultimate", "cosine")] if subject.has_penultimate else []
        pairs = [*features, ("logits", "l2"), ("logits", "cosine"), ("probabilities", "jensen_shannon")]
    stages = [(layer, "l2") for layer in chosen]
    wanted = dict.fromkeys([("pixels", "l2"), *stages, *pairs, ("logits", "l2")])
    return [make_gauge(representation, distance, known) for representation, distance in wanted]


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


def inert(trial: Trial, batch: Batch, seed: int, device: torch.device) -> bool:
    """Whether the perturbation, at its highest severity, leaves these images as they are."""

    def unmoved(part: Batch) -> bool:
        x = part.x.to(device)
        unit = trial.perturbation.sample(Keys(part.ids.to(device), seed, 0, trial.name), x)
        return bool((trial.perturbation(x, unit, max(trial.severities)) - x).abs().max() < 1e-4)

    return all(fitting(batch, unmoved))


def seconds_per_image(subject: Subject, plan: Plan, batch: Batch) -> float:
    """What an image will take: the model's passes and every perturbation, each timed on a few images."""
    gradients = subject.differentiable

    @torch.no_grad()
    def seconds(part: Batch) -> float:
        x, ids = part.x.to(subject.device), part.ids.to(subject.device)
        total = plan.passes(gradients=gradients) * _timed(lambda: subject.view(x, plan.layers).logits, repeats=3)
        for trial in plan.trials:
            unit = trial.perturbation.sample(Keys(ids, plan.seed, 0, trial.name), x)
            copies = plan.copies(trial, gradients=gradients)
            total += copies * _timed(partial(trial.perturbation, x, unit, trial.severities[-1]))
        return total

    return 1.15 * sum(fitting(batch, seconds)) / len(batch.x)


def _timed(work: Callable[[], Tensor], repeats: int = 1) -> float:
    """Median seconds, until the numbers are there."""
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        float(work().flatten()[0])
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def _outlook(subject: Subject, plan: Plan, scan: Scan, seconds: float, done: int) -> str:
    minutes = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, seconds):.0f} s"
    copies = sum(len(trial.severities) * trial.draws(plan.draws) for trial in plan.trials)
    resumed = f", {done} of them measured before" if done else ""
    bad = f", {len(scan.bad)} unreadable left out" if scan.bad else ""
    return (
        f"{subject.name}: {copies} {'copy' if copies == 1 else 'copies'} of each of {counted(len(scan.ids), 'image')}"
        f"{resumed}{bad}, "
        f"under {counted(len(plan.trials), 'perturbation')}, on {subject.device}: about {minutes}"
    )


def _settings(subject: Subject, material: Material, plan: Plan) -> dict[str, object]:
    """What must not change between an audit and its resumption."""
    return {
        "model": [subject.source, subject.fingerprint, subject.mean, subject.std, subject.channels],
        "canvas": asdict(subject.canvas),
        "precision": subject.precision,
        "data": _fingerprint(material),
        "seed": plan.seed,
        "draws": plan.draws,
        "perturbations": [
            [trial.name, trial.perturbation.version, trial.severities, trial.ladder] for trial in plan.trials
        ],
        "gauges": [gauge.name for gauge in plan.gauges],
        "worst": None if plan.worst is None else asdict(plan.worst),
        "critical": plan.critical,
        "gradient_norm": plan.gradient_norm,
        "version": Continuity.version,
    }


def _fingerprint(material: Material) -> str:
    """A hash of the images and labels, whatever their order."""
    ids, labels = material.index.ids.numpy(), material.index.labels.numpy()
    order = np.lexsort((labels, ids))
    return hashlib.blake2b(np.stack([ids[order], labels[order]]).tobytes(), digest_size=8).hexdigest()


def _subject_record(subject: Subject) -> SubjectRecord:
    return SubjectRecord(
        name=subject.name, source=subject.source, weights=subject.weights, outputs=subject.outputs,
        classes=subject.classes, parameters=subject.parameters, mean=subject.mean, std=subject.std,
        channels=subject.channels, differentiable=subject.differentiable, preprocessing=subject.preprocessing,
        fingerprint=subject.fingerprint, canvas=CanvasRecord(**asdict(subject.canvas)), training=subject.training,
    )  # fmt: skip


def _data_record(material: Material) -> DataRecord:
    dataset, scan = material.dataset, material.scan
    return DataRecord(
        name=dataset.name, source=dataset.source, images=len(scan.ids), labelled=material.index.labelled,
        classes=None if dataset.classes is None else tuple(dataset.classes),
        class_of_output=None if material.output_of_class is None else tuple(material.output_of_class),
        skipped=scan.bad, fingerprint=_fingerprint(material), median_size=scan.median_size,
    )  # fmt: skip


def _settings_record(
    plan: Plan, request: Request, table: SampleTable, idle: tuple[str, ...], version: int
) -> SettingsRecord:
    perturbations = [
        PerturbationRecord(
            name=trial.name, family=trial.perturbation.family, unit=trial.perturbation.unit,
            source=trial.perturbation.source, kind=trial.perturbation.kind, parameters=trial.perturbation.parameters,
            version=trial.perturbation.version, severities=trial.severities, draws=trial.draws(plan.draws),
        )
        for trial in plan.trials
    ]  # fmt: skip
    return SettingsRecord(
        seed=plan.seed, draws=plan.draws, budget=request.budget, limit=request.limit, gradient_norm=plan.gradient_norm,
        critical=plan.critical, worst=None if plan.worst is None else SearchRecord(**asdict(plan.worst)),
        evaluation_version=version, primary=plan.primary.name, perturbations=tuple(perturbations), inert=idle,
        gauges=table.gauges, command=request.command,
    )  # fmt: skip


def environment(subject: Subject) -> dict[str, str | int | None]:
    """Versions, device and hardware, for records; no names or paths of the machine."""
    hardware = torch.cuda.get_device_name(subject.device) if subject.device.type == "cuda" else _processor()
    return {
        "semcon": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "device": str(subject.device), "hardware": hardware, "threads": torch.get_num_threads(),
        "precision": subject.precision, "platform": platform.platform(terse=True),
    }  # fmt: skip


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
