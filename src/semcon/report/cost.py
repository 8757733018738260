"""What each side cost: its size, its training where the records know it, and the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from semcon.core.record import Record, TrainingRecord
from semcon.report.numbers import DASH, counted, duration, number


@dataclass(frozen=True)
class CostRow:
    """One kind of cost, a text for each side."""

    title: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class CostTable:
    """All of it. `note`: how to read it."""

    labels: tuple[str, ...]
    rows: tuple[CostRow, ...]
    note: str


def cost_table(labels: Sequence[str], sides: Sequence[Sequence[Record]]) -> CostTable:
    """Means over the runs of a side; training only where some record knows it."""
    training = [[run.subject.training for run in side] for side in sides]
    known = [[one for one in side if one is not None] for side in training]
    rows: list[CostRow] = []
    if any(known):
        rows += [
            CostRow("objective", tuple(_texts([one.objective for one in side]) for side in known)),
            CostRow("training seeds", tuple(", ".join(str(one.seed) for one in side) or DASH for side in known)),
            CostRow("training steps", tuple(_count([one.steps for one in side]) for side in known)),
            CostRow("images seen in training", tuple(_count([one.images for one in side]) for side in known)),
            CostRow("passes in training", _with_ratio([_passes(side) for side in known], _large)),
            CostRow("training time", _with_ratio([[one.seconds for one in side] for side in known], duration)),
            CostRow("trained on", tuple(_texts([one.hardware for one in side]) for side in known)),
        ]
    rows.append(CostRow("parameters", tuple(_count([run.subject.parameters for run in side]) for side in sides)))
    audits = [[run.timing.seconds for run in side] for side in sides]
    rows.append(CostRow("time of the audit", _with_ratio(audits, duration)))
    passes = tuple(_count([run.timing.forward_images for run in side]) for side in sides)
    rows.append(CostRow("passes in the audit", passes))
    hardware = tuple(_texts([str(run.environment.get("hardware") or DASH) for run in side]) for side in sides)
    rows.append(CostRow("audited on", hardware))
    return CostTable(tuple(labels), tuple(rows), _note(sides, bool(any(known))))


def _note(sides: Sequence[Sequence[Record]], trained: bool) -> str:
    notes = ["One pass is one image forward through the network" + ("; backward counts two." if trained else ".")]
    if not trained:
        notes.append("The records do not know what training cost.")
    if any(len(side) > 1 for side in sides):
        notes.append(f"Means over the runs of a side ({', '.join(counted(len(side), 'run') for side in sides)}).")
    notes.append("Factors are against the first. Times compare only on the same hardware.")
    return " ".join(notes)


def _passes(side: Sequence[TrainingRecord]) -> list[float]:
    return [one.passes for one in side]


def _with_ratio(sides: Sequence[Sequence[float]], written: Callable[[float], str]) -> tuple[str, ...]:
    """Means, and from the second side on how many times the first's."""
    means = [sum(side) / len(side) if side else None for side in sides]
    texts: list[str] = []
    for place, mean in enumerate(means):
        text = DASH if mean is None else written(mean)
        if place and mean is not None and means[0]:
            text += f" ({number(mean / means[0])} times)"
        texts.append(text)
    return tuple(texts)


def _large(value: float) -> str:
    return f"{value:,.0f}"


def _count(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _large(sum(known) / len(known)) if known else DASH


def _texts(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values)) or DASH
