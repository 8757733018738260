"""What is needed to judge and to repeat a run: model, data, settings, environment, as small tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from semcon.core.record import EvaluationRecord
from semcon.report.numbers import duration, plain, words
from semcon.report.reading import FAMILIES, Reading

_BESIDE = ("perturbations", "gauges", "paths", "linf", "l2", "color_jitter", "rotation_translation", "gradients")
Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RunSettings:
    """One run's tables, its command and its perturbations."""

    label: str
    tables: tuple[tuple[str, Rows], ...]
    command: str
    perturbations: tuple[tuple[str, ...], ...]


def settings_of(runs: Sequence[Reading]) -> tuple[RunSettings, ...]:
    """One entry a run."""
    return tuple(_settings(run) for run in runs)


def _settings(run: Reading) -> RunSettings:
    tables = (
        ("Model", _model(run)), ("Data", _data(run)), ("Measurement", _measurement(run)),
        ("Environment", _environment(run)),
        *((words(one.name).capitalize(), _evaluation(one)) for one in run.record.evaluations),
    )  # fmt: skip
    return RunSettings(run.label, tables, run.record.settings.command, _perturbations(run))


def _model(run: Reading) -> Rows:
    subject = run.record.subject
    canvas = subject.canvas
    fitted = "no resampling" if canvas.resize is None else f"shorter side to {canvas.resize}, {canvas.interpolation}"
    return _kept(
        ("name", subject.name),
        ("source", subject.source),
        ("weights", subject.weights),
        ("outputs", str(subject.outputs)),
        ("parameters", None if subject.parameters is None else f"{subject.parameters:,}"),
        ("canvas", f"{canvas.width} × {canvas.height}; {fitted}; crop {canvas.crop}"),
        ("normalisation", f"mean {_list(subject.mean)}; std {_list(subject.std)} ({subject.preprocessing})"),
        ("gradients", "yes" if subject.differentiable else "no: a black box"),
        ("fingerprint", subject.fingerprint),
    )


def _data(run: Reading) -> Rows:
    data = run.record.data
    height, width = data.median_size
    return _kept(
        ("name", data.name),
        ("source", data.source),
        ("images", f"{data.images:,}" + (f"; {len(data.skipped)} unreadable left out" if data.skipped else "")),
        ("labels", "yes" if data.labelled else "none"),
        ("classes", None if data.classes is None else str(len(data.classes))),
        ("median size", f"{width} × {height}"),
        ("fingerprint", data.fingerprint),
    )


def _measurement(run: Reading) -> Rows:
    settings, timing = run.record.settings, run.record.timing
    worst = settings.worst
    if not settings.perturbations:
        return _kept(
            ("budget", settings.budget + (f", at most {settings.limit:,} images" if settings.limit else "")),
            ("seed", str(settings.seed)),
            ("time", f"{duration(timing.seconds)} (estimated {duration(timing.estimated_seconds)})"),
        )
    return _kept(
        ("budget", settings.budget + (f", at most {settings.limit:,} images" if settings.limit else "")),
        ("random draws", str(settings.draws)),
        ("worst case", _search(worst.steps, worst.restarts, worst.best_of) if worst else "not searched"),
        ("critical severity", "yes" if settings.critical else "not measured"),
        ("headline figures by", settings.primary),
        ("looked at", ", ".join(gauge.name for gauge in settings.gauges)),
        ("sketched", "; ".join(_sketches(run)) or None),
        ("no effect here", ", ".join(map(words, settings.inert)) or None),
        ("seed", str(settings.seed)),
        ("evaluation version", str(settings.evaluation_version)),
        ("time", f"{duration(timing.seconds)} (estimated {duration(timing.estimated_seconds)})"),
        ("passes", f"{timing.forward_images:,} images, {timing.images_per_second:,.0f} a second"),
    )


def _evaluation(one: EvaluationRecord) -> Rows:
    """What an evaluation did: its settings, the perturbations and sizes that it tried."""
    told = [
        (words(name), ", ".join(map(str, cast(list[object], value))) if isinstance(value, list) else str(value))
        for name, value in one.settings.items()
        if name not in _BESIDE and value not in (None, [], {})
    ]
    return _kept(
        *told,
        *((words(p.name), f"{', '.join(map(plain, p.severities))} ({p.unit})") for p in one.perturbations),
        ("no effect here", ", ".join(map(words, one.inert)) or None),
        ("time", duration(one.seconds)),
    )  # fmt: skip


def _search(steps: int, restarts: int, best_of: int) -> str:
    return f"gradient search, {steps} steps and {restarts} restarts; best of {best_of} where there is no gradient"


def _sketches(run: Reading) -> list[str]:
    return [
        f"{gauge.name}: {gauge.dimension:,} to {gauge.projected:,} numbers"
        + (f", distances within {gauge.projection_error:.1%}" if gauge.projection_error is not None else "")
        for gauge in run.gauges
        if gauge.projected is not None
    ]


def _environment(run: Reading) -> Rows:
    known = run.record.environment.items()
    return _kept(
        *((name, None if value is None else str(value)) for name, value in known), ("date", run.record.created)
    )


def _perturbations(run: Reading) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            words(p.name), FAMILIES.get(p.family, p.family), ", ".join(map(plain, p.severities)), p.unit, str(p.draws),
            f"{p.kind}, {p.parameters}", p.source,
        )
        for p in run.perturbations
    )  # fmt: skip


def _kept(*rows: tuple[str, str | None]) -> Rows:
    return tuple((name, value) for name, value in rows if value is not None)


def _list(values: Sequence[float]) -> str:
    return ", ".join(map(plain, values))
