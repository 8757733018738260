"""The sides of a comparison: a run, or several runs of one training that differ by their seed; and what must be alike.

Reads run folders: no torch, no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

import polars as pl

from semcon.core.averaging import averaged_record
from semcon.core.errors import SemconError
from semcon.core.record import PerturbationRecord, Record
from semcon.report.numbers import plain
from semcon.run_record import RunRecord

_NUMBERING = " -_.:/#0123456789"
_BY_PERTURBATION = ("perturbations", "gauges", "version")  # compared one by one
Runs = RunRecord | str | Path | Sequence[RunRecord | str | Path]


@dataclass(frozen=True)
class Side:
    """One or several runs that are looked at as one; several are seeds of one training, in the order given."""

    runs: tuple[RunRecord, ...]

    @classmethod
    def of(cls, runs: Runs | Side) -> Side:
        """A run or several; text names run folders, several joined by commas.

        Errors: `SemconError` for no run folder, for runs that are no seeds of one training, for a run given twice.
        """
        if isinstance(runs, Side):
            return runs
        if isinstance(runs, RunRecord | Path):
            parts: Sequence[RunRecord | str | Path] = [runs]
        else:
            parts = _folders(runs) if isinstance(runs, str) else runs
        if not parts:
            raise SemconError("a side of a comparison needs at least one run, got none")
        side = cls(tuple(part if isinstance(part, RunRecord) else RunRecord.load(part) for part in parts))
        for number, run in enumerate(side.runs):
            for other in side.runs[:number]:
                _check_seeds(other, run)
        return side

    @property
    def first(self) -> RunRecord:
        """The run that stands for the side where all are alike."""
        return self.runs[0]

    @property
    def name(self) -> str:
        """The model's name; of several runs what their names share, and how many they are."""
        names = [run.record.subject.name for run in self.runs]
        if len(names) == 1:
            return names[0]
        alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
        shared = names[0] if len(set(names)) == 1 else "".join(letters[0] for letters in alike).rstrip(_NUMBERING)
        return f"{shared or names[0]} ({len(names)} runs)"

    def evaluated(self, evaluation: str) -> Side:
        """The side as if its runs had made one evaluation alone."""
        return Side(tuple(run.of(evaluation) for run in self.runs))

    @cached_property
    def record(self) -> Record:
        """The run's record; of several, their mean."""
        records = [run.record for run in self.runs]
        return records[0] if len(records) == 1 else averaged_record(records, self.name)

    @property
    def folder(self) -> Path:
        """Where its pictures are."""
        return self.first.folder

    @property
    def seeds(self) -> tuple[int, ...] | None:
        """The seeds it was trained with; None where a record does not say."""
        known = [run.record.subject.training for run in self.runs]
        return None if any(one is None for one in known) else tuple(one.seed for one in known if one)


def in_pairs(first: Side, second: Side) -> tuple[Side, Side]:
    """Both sides, the second's runs in the order of the first's seeds where the records know the same ones."""
    ours, theirs = first.seeds, second.seeds
    if ours is None or theirs is None or len(set(ours)) < len(ours) or sorted(ours) != sorted(theirs):
        return first, second
    return first, Side(tuple(second.runs[theirs.index(seed)] for seed in ours))


def _folders(text: str) -> list[str]:
    """`a,b` names two folders, unless there is one folder of that name."""
    if Path(text).is_dir():
        return [text]
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise SemconError(f"cannot read the runs {text!r}: expected folders joined by commas, such as base1,base2")
    return parts


def _check_seeds(first: RunRecord, second: RunRecord) -> None:
    """Runs of one side: comparable, measured alike, of one kind of network, and not the same network twice."""
    check_comparable(first, second)
    a, b = first.record.subject, second.record.subject
    if first.folder.resolve() == second.folder.resolve() or (a.fingerprint and a.fingerprint == b.fingerprint):
        raise SemconError(
            f"{first.folder} and {second.folder} are the same network: a side's runs must be trained with "
            "different seeds. Give each once"
        )
    goals = [None if one.training is None else (one.training.objective, one.training.steps) for one in (a, b)]
    settings: list[tuple[str, object, object]] = [
        ("number of parameters", a.parameters, b.parameters),
        ("number of outputs", a.outputs, b.outputs),
        ("training objective and steps", goals[0], goals[1]),
        ("list of perturbations", _list(perturbations(first)), _list(perturbations(second))),
        ("list of gauges", _list(gauges(first)), _list(gauges(second))),
    ]
    for name, was, now in settings:
        if was != now:
            raise SemconError(
                f"{first.folder} and {second.folder} are no seeds of one training: {name} is {was} and {now}. "
                "Give them as sides of their own"
            )


def common(first: RunRecord, second: RunRecord) -> list[str]:
    """The evaluations that both have, in which there is something to compare."""
    both = [name for name in first.evaluations if name in second.evaluations]
    tried = {name: [set(perturbations(run.of(name))) for run in (first, second)] for name in both}
    return [name for name, (one, two) in tried.items() if one & two or (name != "continuity" and not one | two)]


def check_comparable(first: RunRecord, second: RunRecord) -> None:
    """Errors: `SemconError` where images or a setting differ that figures depend on, with both values."""
    names = common(first, second)
    for name in names:
        _check_settings(first.of(name), second.of(name))
    kept = [{one.name: one.settings for one in run.record.evaluations} for run in (first, second)]
    for name in names:
        for key, value in kept[0].get(name, {}).items():
            if key not in _BY_PERTURBATION and kept[1][name].get(key) != value:
                raise _differ(first, second, f"{key} of {name}", value, kept[1][name].get(key))
    if not names:
        raise SemconError(f"{first.folder} and {second.folder} have no perturbation in common")


def _differ(first: RunRecord, second: RunRecord, what: str, was: object, now: object) -> SemconError:
    return SemconError(
        f"{first.folder} and {second.folder} are not comparable: {what} is {was} and {now}. "
        "Audit both with the same setting"
    )


def _check_settings(first: RunRecord, second: RunRecord) -> None:
    a, b = first.record, second.record
    settings: list[tuple[str, object, object]] = [
        ("canvas", _canvas(first), _canvas(second)),
        ("seed", a.settings.seed, b.settings.seed),
        ("draws", a.settings.draws, b.settings.draws),
        ("evaluation version", a.settings.evaluation_version, b.settings.evaluation_version),
        ("primary gauge", a.settings.primary, b.settings.primary),
    ]
    if a.settings.worst is not None and b.settings.worst is not None:
        settings.append(("search", a.settings.worst, b.settings.worst))
    for name, one in perturbations(first).items():
        two = perturbations(second).get(name)
        if two is not None:
            settings.append((f"ladder of {name}", _ladder(one), _ladder(two)))
            settings.append((f"version of {name}", one.version, two.version))
            settings.append((f"number of draws of {name}", one.draws, two.draws))
    known = {gauge.name: gauge.homogeneous for gauge in b.settings.gauges}
    for gauge in a.settings.gauges:
        if gauge.name in known:
            settings.append((f"scale-freeness of {gauge.name}", gauge.homogeneous, known[gauge.name]))
    for name, was, now in settings:
        if was != now:
            raise _differ(first, second, name, was, now)
    _check_images(first, second)


def _check_images(first: RunRecord, second: RunRecord) -> None:
    one, two = (run.samples.images["sample"].sort() for run in (first, second))
    if not one.equals(two):
        shared = len(set(one.to_list()) & set(two.to_list()))
        raise SemconError(
            f"{first.folder} and {second.folder} are not comparable: their images differ ({len(one)} and {len(two)}, "
            f"{shared} in common). Audit both on the same data with the same --limit"
        )
    if first.samples.labelled and second.samples.labelled:
        _check_labels(first, second)


def _check_labels(first: RunRecord, second: RunRecord) -> None:
    """The same images must be of the same class; which output that is may differ between the models."""
    one, two = (
        run.samples.images.select("sample", "label").filter(~pl.col("sample").is_duplicated())
        for run in (first, second)
    )
    pairs = one.join(two, on="sample", suffix="_two").drop_nulls().select("label", "label_two").unique()
    if len(pairs) != pairs["label"].n_unique() or len(pairs) != pairs["label_two"].n_unique():
        raise SemconError(
            f"{first.folder} and {second.folder} are not comparable: the labels of their images differ. "
            "Audit both on the same data"
        )


def perturbations(run: RunRecord) -> dict[str, PerturbationRecord]:
    """How each perturbation was used, by name."""
    return {one.name: one for one in run.record.settings.perturbations}


def gauges(run: RunRecord) -> list[str]:
    """The names of what was looked at."""
    return [gauge.name for gauge in run.record.settings.gauges]


def output_names(record: Record) -> list[str]:
    """A name for every output of a run's model: the data's where it has one, else the model's, else its number."""
    names = [str(number) for number in range(record.subject.outputs)]
    if record.subject.classes is not None:
        names = [own or number for own, number in zip(record.subject.classes, names, strict=True)]
    for output, name in zip(record.data.class_of_output or (), record.data.classes or (), strict=False):
        names[output] = name
    return names


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _ladder(perturbation: PerturbationRecord) -> str:
    return "/".join(plain(severity) for severity in perturbation.severities)


def _canvas(run: RunRecord) -> str:
    canvas = run.record.subject.canvas
    resize = "" if canvas.resize is None else f", resized to {canvas.resize}"
    return f"{canvas.height} x {canvas.width}{resize}, {canvas.interpolation}, {canvas.crop}"
