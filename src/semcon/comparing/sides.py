"""The sides of a comparison: a run, or several runs of one training that differ by their seed; and what must be alike.

Reads run folders: no torch, no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    check_alike(first, second)
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


def common(first: RunRecord, second: RunRecord) -> dict[str, str | None]:
    """The evaluations that both have with something to compare in them; what differs that their figures depend on.

    Errors: `SemconError` where there is none, or each has something that differs, with both values.
    """
    both = [name for name in first.evaluations if name in second.evaluations]
    tried = {name: [set(perturbations(run.of(name))) for run in (first, second)] for name in both}
    shared = [name for name, (one, two) in tried.items() if one & two or (name != "continuity" and not one | two)]
    if not shared:
        raise SemconError(f"{first.folder} and {second.folder} have no perturbation in common")
    found = {name: next(_differing(first, second, name), None) for name in shared}
    if all(found.values()):
        raise _not_comparable(first, second, next(iter(found.values())))
    return found


def check_alike(first: RunRecord, second: RunRecord) -> None:
    """Errors: `SemconError` where anything differs that figures of some common evaluation depend on."""
    differs = next((why for why in common(first, second).values() if why), None)
    if differs:
        raise _not_comparable(first, second, differs)


def _not_comparable(first: RunRecord, second: RunRecord, why: str | None) -> SemconError:
    return SemconError(f"{first.folder} and {second.folder} are not comparable: {why}")


def _differing(first: RunRecord, second: RunRecord, evaluation: str) -> Iterator[str]:
    """Every setting of an evaluation that differs, with both values; other images, other labels."""
    one, two = first.of(evaluation), second.of(evaluation)
    budgets = [run.record.settings.budget for run in (one, two)]
    hint = f" (budgets {budgets[0]} and {budgets[1]})" if budgets[0] != budgets[1] else ""
    own = [{kept.name: kept.settings for kept in run.record.evaluations}.get(evaluation, {}) for run in (first, second)]
    others = [
        (f"{key} of {evaluation}", value, own[1].get(key))
        for key, value in own[0].items()
        if key not in _BY_PERTURBATION
    ]
    for name, was, now in (*_settings(one, two), *others):
        if was != now:
            yield f"{name} is {was} and {now}{hint}. Audit both with the same setting"
    yield from _other_images(one, two)


def _settings(first: RunRecord, second: RunRecord) -> Iterator[tuple[str, object, object]]:
    a, b = first.record, second.record
    yield "canvas", _canvas(first), _canvas(second)
    yield "seed", a.settings.seed, b.settings.seed
    yield "draws", a.settings.draws, b.settings.draws
    yield "evaluation version", a.settings.evaluation_version, b.settings.evaluation_version
    yield "primary gauge", a.settings.primary, b.settings.primary
    if a.settings.worst is not None and b.settings.worst is not None:
        yield "search", a.settings.worst, b.settings.worst
    for name, one in perturbations(first).items():
        two = perturbations(second).get(name)
        if two is not None:
            yield f"ladder of {name}", _ladder(one), _ladder(two)
            yield f"version of {name}", one.version, two.version
            yield f"number of draws of {name}", one.draws, two.draws
    known = {gauge.name: gauge.homogeneous for gauge in b.settings.gauges}
    for gauge in a.settings.gauges:
        if gauge.name in known:
            yield f"scale-freeness of {gauge.name}", gauge.homogeneous, known[gauge.name]


def _other_images(first: RunRecord, second: RunRecord) -> Iterator[str]:
    """The same images must be of the same class; which output that is may differ between the models."""
    one, two = (run.samples.images["sample"].sort() for run in (first, second))
    if not one.equals(two):
        shared = len(set(one.to_list()) & set(two.to_list()))
        yield (
            f"their images differ ({len(one)} and {len(two)}, {shared} in common). Audit both on the same data with "
            "the same --limit"
        )
    elif first.samples.labelled and second.samples.labelled:
        one, two = (
            run.samples.images.select("sample", "label").filter(~pl.col("sample").is_duplicated())
            for run in (first, second)
        )
        pairs = one.join(two, on="sample", suffix="_two").drop_nulls().select("label", "label_two").unique()
        if len(pairs) != pairs["label"].n_unique() or len(pairs) != pairs["label_two"].n_unique():
            yield "the labels of their images differ. Audit both on the same data"


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
