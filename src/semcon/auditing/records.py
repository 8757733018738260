"""Model, data and settings of an audit as the record keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from semcon.auditing.material import Material, Request
from semcon.core.record import (
    CanvasRecord,
    DataRecord,
    SearchRecord,
    SettingsRecord,
    SubjectRecord,
)
from semcon.core.table import SampleTable
from semcon.evaluating import Evaluation, TrialEvaluation
from semcon.measuring.plan import PRIMARY, Plan
from semcon.subject import Subject


def subject_record(subject: Subject) -> SubjectRecord:
    """The model."""
    return SubjectRecord(
        name=subject.name, source=subject.source, weights=subject.weights, outputs=subject.outputs,
        classes=subject.classes, parameters=subject.parameters, mean=subject.mean, std=subject.std,
        channels=subject.channels, differentiable=subject.differentiable, preprocessing=subject.preprocessing,
        fingerprint=subject.fingerprint, canvas=CanvasRecord(**asdict(subject.canvas)), training=subject.training,
    )  # fmt: skip


def data_record(material: Material) -> DataRecord:
    """The images."""
    dataset, scan = material.dataset, material.scan
    return DataRecord(
        name=dataset.name, source=dataset.source, images=len(scan.ids), labelled=material.index.labelled,
        classes=None if dataset.classes is None else tuple(dataset.classes),
        class_of_output=None if material.output_of_class is None else tuple(material.output_of_class),
        skipped=scan.bad, fingerprint=material.fingerprint, median_size=scan.median_size,
    )  # fmt: skip


def settings_record(
    evaluations: Mapping[str, Evaluation], request: Request, table: SampleTable | None
) -> SettingsRecord:  # fmt: skip
    """What continuity measured; `table`: its own."""
    continuity = evaluations.get("continuity")
    plan = continuity.plan if isinstance(continuity, TrialEvaluation) else Plan((), (), seed=request.seed)
    return SettingsRecord(
        seed=plan.seed, draws=plan.draws, budget=request.budget, limit=request.limit, gradient_norm=plan.gradient_norm,
        critical=plan.critical, worst=None if plan.worst is None else SearchRecord(**asdict(plan.worst)),
        evaluation_version=continuity.version if continuity else 1, primary=PRIMARY,
        perturbations=continuity.attempts() if continuity else (),
        inert=continuity.idle if isinstance(continuity, TrialEvaluation) else (),
        gauges=table.gauges if table else (), command=request.command,
    )  # fmt: skip
