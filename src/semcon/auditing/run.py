"""One audit, end to end: subject and data to a run folder with rows, record, gallery and report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl
import torch

from semcon import __version__
from semcon.auditing.gallery import Gallery, explained
from semcon.auditing.material import Material, Request
from semcon.auditing.outlook import outlook, seconds_for
from semcon.auditing.records import data_record, settings_record, subject_record
from semcon.class_score import answered
from semcon.core.concepts import Dataset
from semcon.core.errors import keeping
from semcon.core.pictured import GalleryEntry
from semcon.core.profile import profile
from semcon.core.record import Estimate, EvaluationRecord, Finding, Record, TimingRecord, write_record
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.core.verdict import verdict
from semcon.environment import environment
from semcon.evaluating import Conclusion, Evaluation, Looked, TrialEvaluation
from semcon.evidence import Evidence, in_order, run_checks
from semcon.labelling import check_names
from semcon.loading import Batch, Scan
from semcon.measuring.fitting import fitting, on_as_many_as_fit
from semcon.measuring.image_rows import image_frame
from semcon.measuring.plan import PRIMARY
from semcon.measuring.row_writer import in_schema
from semcon.partial import PartialRun
from semcon.progress import Progress
from semcon.run_record import RunRecord, table_file
from semcon.subject import Subject, whole_float32

PROBE = 256


@whole_float32()
def run_audit(subject: Subject, dataset: Dataset, scan: Scan, request: Request, progress: Progress) -> RunRecord:
    """Measure, summarise, check, choose the gallery, write the run folder. Returns the record."""
    began = time.perf_counter()
    check_names(subject.classes, subject.outputs)
    material = Material(subject, dataset, scan, request)
    probe = material.one(range(min(PROBE, len(scan.ids))))
    evaluations = {name: one.settled(subject, probe) for name, one in request.evaluations.items()}
    request.accept(evaluations)
    folder = PartialRun(request.out, _settings(subject, material, evaluations), resume=request.resume)
    with folder.gone_if_empty():
        estimated = _announced(subject, evaluations, material, probe, folder, progress)
        measured = [_measured(name, one, subject, material, folder, progress) for name, one in evaluations.items()]
    names = material.output_names()
    main = next((one for one in measured if one.evaluation.own_images), None)
    table = main.table if main else _untouched(subject, material)
    figures = {
        one.name: summarise(
            one.table, seed=request.seed, primary=PRIMARY, class_names=one.evaluation.class_names() or names
        )
        for one in measured
    }
    estimates = figures[main.name] if main else summarise(table, seed=request.seed, class_names=names)
    continuity = main is not None and main.name == "continuity"
    families = {one.name: one.family for one in main.evaluation.attempts()} if main else {}
    rows = profile(table, families, seed=request.seed, primary=PRIMARY) if continuity else []
    others = [
        _concluded(one, figures[one.name], subject, probe, progress, folder.folder / "gallery", names)
        for one in measured
        if one.name != "continuity"
    ]
    plan = main.evaluation.plan if main and isinstance(main.evaluation, TrialEvaluation) else None
    findings = run_checks(
        Evidence(
            subject=subject, probe=probe, table=table, estimates=_told(main, estimates), judged=main is not None,
            labels_known=material.index.labelled,
            unlabelled=int((scan.labels < 0).sum()), median_size=scan.median_size, skipped=scan.bad,
            inert=tuple(dict.fromkeys(
                name for one in evaluations.values() if isinstance(one, TrialEvaluation) for name in one.idle
            )),
            changing=material.changing(),
            worst=plan is not None and plan.worst is not None, batch_size=material.batch_size,
        )
    ) + [finding for _, conclusion in others for finding in conclusion.findings]  # fmt: skip
    gallery: list[GalleryEntry] = []
    if main and continuity and main.looked is not None:
        gallery = Gallery(*main.looked, table, material.one, names, folder.folder / "gallery").make()
    seconds = time.perf_counter() - began
    forwards = round(sum(one.passes(subject) * len(scan.ids) + one.closing() for one in evaluations.values()))
    codes = [finding.code for finding in findings]
    record = Record(
        semcon=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        subject=subject_record(subject),
        data=data_record(material),
        settings=settings_record(evaluations, request, table if continuity else None),
        environment=environment(subject),
        timing=TimingRecord(
            seconds=seconds, estimated_seconds=estimated, images_per_second=forwards / seconds, forward_images=forwards
        ),
        estimates=tuple(one for one in estimates if continuity or one.perturbation is None),
        profile=tuple(rows),
        findings=tuple(in_order(findings)),
        verdict=verdict(estimates, rows, codes) if continuity else (),
        gallery=tuple(gallery),
        evaluations=tuple(one for one, _ in others),
    )
    subject.release()
    with keeping(folder.folder):
        for one in measured:
            one.table.save(folder.folder / table_file(one.name))
    write_record(record, folder.folder)
    RunRecord(record, folder.folder).report()
    return RunRecord(record, folder.finish())


@dataclass(frozen=True)
class _Measured:
    """One evaluation with its rows; `looked`: what a gallery is made with."""

    name: str
    evaluation: Evaluation
    table: SampleTable
    looked: Looked | None
    seconds: float


@torch.no_grad()
def _untouched(subject: Subject, material: Material) -> SampleTable:
    """The audit's own images where no evaluation looks at them: what the network says of them as they are."""

    def look(batch: Batch) -> pl.DataFrame:
        confidence, prediction = answered(subject(batch.x.to(subject.device)))
        return image_frame(batch, prediction, confidence, {})

    frames = [part for batch in material.read(range(len(material.index.ids))) for part in fitting(batch, look)]
    return SampleTable(pl.concat(frames), in_schema(pl.DataFrame(schema={"position": pl.Int64}), ()), ())


def _announced(
    subject: Subject, evaluations: Mapping[str, Evaluation], material: Material, probe: Batch, folder: PartialRun,
    progress: Progress,
) -> float:  # fmt: skip
    """Tell what is going to happen. Returns the seconds that it should take."""
    few = probe.part(slice(min(32, material.batch_size)))
    images = len(material.scan.ids)
    done = {name: len(folder.parts(name).done()) for name in evaluations}
    seconds = sum(seconds_for(subject, one, few, images - done[name]) for name, one in evaluations.items())
    progress.say(outlook(subject, evaluations, material.scan, seconds, min(done.values())))
    return seconds


def _measured(
    name: str, evaluation: Evaluation, subject: Subject, material: Material, folder: PartialRun, progress: Progress
) -> _Measured:
    began = time.perf_counter()
    parts = folder.parts(name)
    looked = evaluation.run(
        subject, material.index, material.read, skip=parts.done(), keep=parts.add, progress=progress
    )
    return _Measured(name, evaluation, parts.table(), looked, time.perf_counter() - began)


def _concluded(
    one: _Measured,
    every: Sequence[Estimate],
    subject: Subject,
    probe: Batch,
    progress: Progress,
    folder: Path,
    names: Sequence[str],
) -> tuple[EvaluationRecord, Conclusion]:
    """What the record keeps of an evaluation besides continuity; `folder`: for pictures; `names`: of the outputs."""
    began = time.perf_counter()
    conclusion = _conclusion(one, subject, probe, progress)
    told = [estimate for estimate in every if one.evaluation.tells(estimate, one.table)]
    record = EvaluationRecord(
        name=one.name, question=one.evaluation.question, version=one.evaluation.version,
        seconds=one.seconds + time.perf_counter() - began, settings=one.evaluation.settings(),
        perturbations=one.evaluation.attempts(), gauges=one.table.gauges,
        inert=one.evaluation.idle if isinstance(one.evaluation, TrialEvaluation) else (),
        estimates=(*told, *conclusion.estimates),
        verdict=conclusion.verdict, maps=conclusion.maps, explained=explained(folder, conclusion.pictures, names),
    )  # fmt: skip
    return record, conclusion


def _told(main: _Measured | None, estimates: Sequence[Estimate]) -> list[Estimate]:
    """What the model says: of the untouched images everything, else what the evaluation tells."""
    return [
        one
        for one in estimates
        if one.perturbation is None or (main is not None and main.evaluation.tells(one, main.table))
    ]


def _conclusion(one: _Measured, subject: Subject, probe: Batch, progress: Progress) -> Conclusion:
    """What an evaluation says; where it cannot, that is a finding: the rows are there, and a run is not lost for it."""
    try:
        work = partial(one.evaluation.conclude, subject, one.table)
        return on_as_many_as_fit(probe, work, progress.say)
    except Exception as error:
        doubt = Finding(
            code="check-failed", severity="warning",
            message=f"the conclusion of {one.name} could not be drawn: {type(error).__name__}: {error}",
            remedy="its figures stand; its sentences, pictures and doubts are missing",
        )  # fmt: skip
        return Conclusion(findings=(doubt,))


def _settings(subject: Subject, material: Material, evaluations: Mapping[str, Evaluation]) -> dict[str, object]:
    """What must not change between an audit and its resumption."""
    return {
        "model": [subject.source, subject.fingerprint, subject.mean, subject.std, subject.channels],
        "canvas": asdict(subject.canvas),
        "precision": subject.precision,
        "data": material.fingerprint,
        **{
            key if name == "continuity" else f"{name} {key}": value
            for name, one in evaluations.items()
            for key, value in one.settings().items()
        },
    }
