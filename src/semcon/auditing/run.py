"""One audit, end to end: subject and data to a run folder with rows, record, gallery and report."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from datetime import UTC, datetime

from semcon import __version__
from semcon.auditing.gallery import Gallery
from semcon.auditing.gauges import choose_gauges, inert
from semcon.auditing.material import Material, Request
from semcon.auditing.outlook import outlook, seconds_per_image
from semcon.auditing.records import data_record, settings_record, subject_record
from semcon.core.concepts import Dataset
from semcon.core.errors import SemconError, keeping
from semcon.core.profile import profile
from semcon.core.record import (
    Record,
    TimingRecord,
    write_record,
)
from semcon.core.summary import summarise
from semcon.core.verdict import verdict
from semcon.environment import environment
from semcon.evaluations.continuity import Continuity
from semcon.evidence import Evidence, run_checks
from semcon.labelling import check_names
from semcon.loading import Batch, Scan
from semcon.measuring.plan import Plan
from semcon.partial import PartialRun
from semcon.progress import Progress
from semcon.run_record import RunRecord
from semcon.subject import Subject

PROBE = 256


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
        progress.say(outlook(subject, plan, scan, estimated, len(done)))
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
        subject=subject_record(subject),
        data=data_record(material),
        settings=settings_record(plan, request, table, left_out, evaluation.version),
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


def _settings(subject: Subject, material: Material, plan: Plan) -> dict[str, object]:
    """What must not change between an audit and its resumption."""
    return {
        "model": [subject.source, subject.fingerprint, subject.mean, subject.std, subject.channels],
        "canvas": asdict(subject.canvas),
        "precision": subject.precision,
        "data": material.fingerprint,
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
