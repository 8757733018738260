"""The sides of a comparison: a run, or several runs of one training that differ by their seed; and what must be alike.

Reads run folders: no torch, no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
_MAY_DIFFER = ("explained_layers", "layer", "target")  # the model's own; how a path is spelled (`target_images` tells)
Runs = RunRecord | str | Path | Sequence[RunRecord | str | Path]


@dataclass(frozen=True)
class Side:
    """One or several runs that are looked at as one; several are seeds of one training, in the order given.

    `unlike`: the evaluations that not all of its runs made alike, and why; the runs are without them.
    """

    runs: tuple[RunRecord, ...]
    unlike: Mapping[str, str] = field(default_factory=dict[str, str])

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
        loaded = tuple(part if isinstance(part, RunRecord) else RunRecord.load(part) for part in parts)
        for number, run in enumerate(loaded):
            for other in loaded[:number]:
                _check_seeds(other, run)
        unlike = {name: why for run in loaded[1:] for name, why in common(loaded[0], run, whole=True).items() if why}
        alike = [name for name in loaded[0].evaluations if name not in unlike]
        if not alike and unlike:
            raise SemconError(f"the runs {', '.join(str(run.folder) for run in loaded)} made no evaluation alike")
        return cls(tuple(run.limited(alike) for run in loaded) if unlike else loaded, unlike)

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
    return first, replace(second, runs=tuple(second.runs[theirs.index(seed)] for seed in ours))


def _folders(text: str) -> list[str]:
    """`a,b` names two folders, unless there is one folder of that name."""
    if Path(text).is_dir():
        return [text]
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise SemconError(f"cannot read the runs {text!r}: expected folders joined by commas, such as base1,base2")
    return parts


def _check_seeds(first: RunRecord, second: RunRecord) -> None:
    """Runs of one side: of one kind of network, and not the same network twice."""
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
    ]
    for name, was, now in settings:
        if was != now:
            raise SemconError(
                f"{first.folder} and {second.folder} are no seeds of one training: {name} is {was} and {now}. "
                "Give them as sides of their own"
            )


def common(first: RunRecord, second: RunRecord, *, whole: bool = False) -> dict[str, str | None]:
    """Every evaluation that either has, and why its figures are not comparable; None where they are.

    `whole`: they must be made of the same perturbations and gauges too. Errors: `SemconError` where none is left, with
    what differs and both values.
    """
    names = dict.fromkeys((*first.evaluations, *second.evaluations))
    found = {name: _unlike(first, second, name, whole) for name in names}
    if all(found.values()):
        shared = [why for name, why in found.items() if name in first.evaluations and name in second.evaluations]
        why = shared[0] if shared else "they have no evaluation and so no perturbation in common"
        raise SemconError(f"{first.folder} and {second.folder} are not comparable: {why}")
    return found


def _unlike(first: RunRecord, second: RunRecord, evaluation: str, whole: bool) -> str | None:
    if not (evaluation in first.evaluations and evaluation in second.evaluations):
        return "only one has it"
    one, two = first.of(evaluation), second.of(evaluation)
    tried, others = set(perturbations(one)), set(perturbations(two))
    if not tried & others and (tried | others or evaluation == "continuity"):
        return "they have no perturbation in common"
    return next(_differing(first, second, evaluation), None) or (next(_other_lists(one, two), None) if whole else None)


def _differing(first: RunRecord, second: RunRecord, evaluation: str) -> Iterator[str]:
    """Every setting of an evaluation that differs, with both values; other images, other labels."""
    one, two = first.of(evaluation), second.of(evaluation)
    own = [{kept.name: kept.settings for kept in run.record.evaluations}.get(evaluation, {}) for run in (first, second)]
    others = [
        (f"{key} of {evaluation}", value, own[1].get(key))
        for key, value in own[0].items()
        if key not in (*_BY_PERTURBATION, *_MAY_DIFFER)
    ]
    for name, was, now in _settings(one, two):
        if was != now:
            yield f"{name} is {was} and {now}. Audit both with the same setting"
    budgets = [run.record.settings.budget for run in (one, two)]
    for name, was, now in (*_budgeted(one, two), *others):
        if was != now and budgets[0] != budgets[1]:
            yield (
                f"budget is {budgets[0]} and {budgets[1]}, and with it {name} {was} and {now}. Audit both with the "
                "same --budget"
            )
        elif was != now:
            yield f"{name} is {was} and {now}. Audit both with the same setting"
    yield from _other_images(one, two)


def _other_lists(first: RunRecord, second: RunRecord) -> Iterator[str]:
    """Perturbations and gauges that only one has."""
    for name, was, now in (
        ("perturbations", perturbations(first), perturbations(second)), ("gauges", gauges(first), gauges(second)),
    ):  # fmt: skip
        if set(was) != set(now):
            yield f"list of {name} is {', '.join(sorted(was))} and {', '.join(sorted(now))}. Give them as sides"


def _settings(first: RunRecord, second: RunRecord) -> Iterator[tuple[str, object, object]]:
    """What no budget decides."""
    a, b = first.record, second.record
    yield "canvas", _canvas(first), _canvas(second)
    yield "seed", a.settings.seed, b.settings.seed
    yield "evaluation version", a.settings.evaluation_version, b.settings.evaluation_version
    yield "primary gauge", a.settings.primary, b.settings.primary
    for name, one in perturbations(first).items():
        two = perturbations(second).get(name)
        if two is not None:
            yield f"version of {name}", one.version, two.version
    known = {gauge.name: gauge.homogeneous for gauge in b.settings.gauges}
    for gauge in a.settings.gauges:
        if gauge.name in known:
            yield f"scale-freeness of {gauge.name}", gauge.homogeneous, known[gauge.name]


def _budgeted(first: RunRecord, second: RunRecord) -> Iterator[tuple[str, object, object]]:
    """What the budget decides where nobody else does."""
    a, b = first.record.settings, second.record.settings
    yield "draws", a.draws, b.draws
    if a.worst is not None and b.worst is not None:
        yield "search", a.worst, b.worst
    for name, one in perturbations(first).items():
        two = perturbations(second).get(name)
        if two is not None:
            yield f"ladder of {name}", _ladder(one), _ladder(two)
            yield f"number of draws of {name}", one.draws, two.draws


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
    """A name for every class of a run's rows: those of their own, else of an output of its model.

    Of an output: the data's where it has one, else the model's, else its number.
    """
    if record.settings.class_names is not None:
        return list(record.settings.class_names)
    names = [str(number) for number in range(record.subject.outputs)]
    if record.subject.classes is not None:
        names = [own or number for own, number in zip(record.subject.classes, names, strict=True)]
    for output, name in zip(record.data.class_of_output or (), record.data.classes or (), strict=False):
        names[output] = name
    return names


def _ladder(perturbation: PerturbationRecord) -> str:
    return "/".join(plain(severity) for severity in perturbation.severities)


def _canvas(run: RunRecord) -> str:
    canvas = run.record.subject.canvas
    resize = "" if canvas.resize is None else f", resized to {canvas.resize}"
    return f"{canvas.height} x {canvas.width}{resize}, {canvas.interpolation}, {canvas.crop}"
