"""Model, data and settings of an audit as the record keeps them."""

from __future__ import annotations

from dataclasses import asdict

from semcon.auditing.material import Material, Request
from semcon.core.record import (
    CanvasRecord,
    DataRecord,
    PerturbationRecord,
    SearchRecord,
    SettingsRecord,
    SubjectRecord,
)
from semcon.core.table import SampleTable
from semcon.measuring.plan import Plan
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
    plan: Plan, request: Request, table: SampleTable, idle: tuple[str, ...], version: int
) -> SettingsRecord:
    """What was measured."""
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
