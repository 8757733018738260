"""The evaluations besides continuity, one section each: what came out, tables, curves, and pictures of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from semcon.core.pictured import MapRecord
from semcon.core.record import Estimate, PerturbationRecord
from semcon.report.curves import Group, curve_groups
from semcon.report.explained import ExplainedCard, explained_cards
from semcon.report.explanations import faithfulness_tables, focus_tables, stability_tables
from semcon.report.groups import axis_tables, follow_tables, group_tables
from semcon.report.listening import listening_figure
from semcon.report.map_picture import common_scale, map_picture
from semcon.report.numbers import plain, with_interval, words
from semcon.report.reading import QUANTITIES, Reading
from semcon.report.transfers import transfer_tables

_TITLES = {
    "corruption": "Common corruptions", "adversarial": "Adversarial examples", "frequency": "Which frequencies it uses",
    "shortcut": "Shape, texture, colour, background", "smoothness": "Smoothness",
    "explanation_stability": "Do explanations stay?", "explanation_faithfulness": "Are explanations faithful?",
    "explanation_focus": "Where explanations look",
    "axis_meaning": "Is what is changed free of meaning?", "group_gap": "Groups of images",
    "bias_search": "What predictions follow",
    "transfer": "Transfer to another data set",
}  # fmt: skip
_LEVEL = "published level, 0 to 5"  # the unit whose severities are the corruptions' levels
_LISTENING = ("frequency", "shortcut")
HEADER = ("run", "evaluation", "perturbation", "severity", "draws", "representation", "quantity", "mean", "low", "high")


@dataclass(frozen=True)
class Figures:
    """A table for people: `rows` of a name and cells, each cell a text a run."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]


@dataclass(frozen=True)
class EvaluationPart:
    """One evaluation of one or several runs. `verdicts`: (run's place, label, sentences).

    `worst`: whether some curve is of worst cases. `wide`: one figure for all runs; `pictures`: smaller ones with
    their captions.
    """

    name: str
    title: str
    question: str
    verdicts: tuple[tuple[int, str, tuple[str, ...]], ...]
    pictures: tuple[tuple[str, Markup], ...]
    tables: tuple[Figures, ...]
    curves: tuple[Group, ...]
    worst: bool
    explained: tuple[ExplainedCard, ...] = ()
    wide: Markup | None = None


def evaluation_parts(runs: Sequence[Reading]) -> list[EvaluationPart]:
    """Every evaluation that any of the runs has, in the order of the first that has it."""
    names = list(dict.fromkeys(one.name for run in runs for one in run.record.evaluations))
    parts = [_part(name, [run for run in runs if run.made(name)], runs) for name in names]
    first = next((place for place, name in enumerate(names) if name in _LISTENING), None)
    if first is not None and (figure := listening_figure(runs)):
        parts[first] = replace(parts[first], wide=figure)
    return parts


def evaluation_rows(runs: Sequence[Reading]) -> list[tuple[str | float | None, ...]]:
    """Every estimate of all images, exact, for the CSV."""
    return [
        (run.label, one.name, e.perturbation, e.severity, e.draws, e.representation, e.quantity, e.mean, e.low, e.high)
        for run in runs
        for one in run.record.evaluations
        for e in one.estimates
        if e.subset == "all"
    ]


def _part(name: str, runs: Sequence[Reading], every: Sequence[Reading]) -> EvaluationPart:
    looks = [run.of(name) for run in runs]
    question = next(one.question for one in runs[0].record.evaluations if one.name == name)
    tables = [*_TABLES.get(name, _grids)(looks), _alone(looks)]
    return EvaluationPart(
        name, _TITLES.get(name, words(name).capitalize()), question,
        tuple((every.index(run), run.label, look.record.verdict) for run, look in zip(runs, looks, strict=True)),
        _pictures(name, runs), tuple(table for table in tables if table.rows), curve_groups(looks),
        any(look.has_worst for look in looks), explained_cards(every, name),
    )  # fmt: skip


def _pictures(name: str, runs: Sequence[Reading]) -> tuple[tuple[str, Markup], ...]:
    """The maps of all runs, those of one name next to each other and on one scale."""
    found: dict[str, list[tuple[str, MapRecord]]] = {}
    for run in runs:
        for one in next(one.maps for one in run.record.evaluations if one.name == name):
            found.setdefault(one.name, []).append((run.label, one))
    return tuple(
        (_caption(label if len(runs) > 1 else "", one), map_picture(one, common_scale(m for _, m in maps)))
        for maps in found.values()
        for label, one in maps
    )


def _caption(label: str, one: MapRecord) -> str:
    """What the picture is of, and what its shades are."""
    return f"{label}: {one.title}. Shade: {one.value_label}" if label else f"{one.title}. Shade: {one.value_label}"


def _grids(looks: Sequence[Reading]) -> list[Figures]:
    """Accuracy (without labels: flips) by perturbation and severity, a table for those that share a ladder."""
    groups: dict[tuple[str, tuple[float, ...]], list[str]] = {}
    for one in _perturbations(looks):
        if one.severities:
            groups.setdefault((one.unit, one.severities), []).append(one.name)
    return [
        _grid(looks, quantity, unit, ladder, {name: [dict(zip(ladder, ladder, strict=True))] * len(looks)
                                              for name in names})
        for (unit, ladder), names in groups.items()
        for quantity in _told(looks)
    ]  # fmt: skip


def _levels(looks: Sequence[Reading]) -> list[Figures]:
    """The same by published level, whatever the unit of a corruption is, and whichever levels a run has."""
    places: dict[str, list[dict[float, float]]] = {}
    for place, look in enumerate(looks):
        levels = next((one.severities for one in look.perturbations if one.unit == _LEVEL and one.severities), ())
        for one in look.perturbations:
            if len(one.severities) == len(levels):
                own = places.setdefault(one.name, [{} for _ in looks])
                own[place] = dict(zip(levels, one.severities, strict=True))
    every = sorted({level for own in places.values() for one in own for level in one})
    return [_grid(looks, quantity, "published level", every, places) for quantity in _told(looks)] if every else []


def _told(looks: Sequence[Reading]) -> list[str]:
    """Accuracy where there are labels, flips where a run has none."""
    labelled = [look.record.data.labelled for look in looks]
    return ["accuracy"] * any(labelled) + ["flip"] * (not all(labelled))


def _perturbations(looks: Sequence[Reading]) -> list[PerturbationRecord]:
    """Of all runs: those that differ in their severities stand for themselves."""
    return list({(one.name, one.severities): one for look in looks for one in look.perturbations}.values())


def _grid(
    looks: Sequence[Reading], quantity: str, unit: str, columns: Sequence[float],
    places: Mapping[str, Sequence[Mapping[float, float]]],
) -> Figures:  # fmt: skip
    """`places`: by perturbation and run, the severity that stands in a column."""
    rows: list[tuple[str, tuple[tuple[str, ...], ...]]] = []
    for name, runs in places.items():
        for draws in ("random", "worst"):
            cells = tuple(
                tuple(
                    _text(look.get(quantity, name, own[column], draws=draws)) if column in own else ""
                    for look, own in zip(looks, runs, strict=True)
                )
                for column in columns
            )
            if any(text for cell in cells for text in cell):
                rows.append((f"{words(name)}{', worst' if draws == 'worst' else ''}", cells))
    return Figures(f"{QUANTITIES[quantity]} by severity ({unit})", ("", *map(plain, columns)), tuple(rows))


_PATHS = (
    ("straightness", "logits"), ("straightness", "pixels"), ("path_curvature", "logits"), ("path_curvature", "pixels"),
)  # fmt: skip


def _smoothness(looks: Sequence[Reading]) -> list[Figures]:
    """Straightness and curvature of the ways, output and image side by side; Lipschitz constants by radius."""
    ways: list[tuple[str, tuple[tuple[str, ...], ...]]] = []
    balls: list[tuple[str, tuple[tuple[str, ...], ...]]] = []
    for one in _perturbations(looks):
        for end in one.severities:
            cells = tuple(_cell(looks, one.name, end, quantity, what) for quantity, what in _PATHS)
            if any(text for cell in cells for text in cell):
                ways.append((f"{words(one.name)} up to {plain(end)}", cells))
            cell = _cell(looks, one.name, end, "lipschitz", None)
            if any(cell):
                balls.append((f"{one.name} {plain(end)}/255", (cell,)))
    header = ("", "straightness, output", "straightness, image", "curvature, output", "curvature, image")
    return [
        Figures("ways to the copies: straightness 1 and curvature 0 is an even straight line", header, tuple(ways)),
        Figures("steepest slope found in a ball, over the margin", ("", QUANTITIES["lipschitz"]), tuple(balls)),
    ]


def _cell(
    looks: Sequence[Reading], perturbation: str, severity: float, quantity: str, representation: str | None
) -> tuple[str, ...]:
    """One figure of every run that is not told of the primary gauge."""
    wanted = (perturbation, severity, quantity, representation, "all")
    found = [
        (e for e in look.record.estimates
         if (e.perturbation, e.severity, e.quantity, e.representation, e.subset) == wanted)
        for look in looks
    ]  # fmt: skip
    return tuple(_text(next(estimates, None)) for estimates in found)


_TABLES: dict[str, Callable[[Sequence[Reading]], list[Figures]]] = {
    "corruption": _levels, "smoothness": _smoothness,
    "group_gap": lambda looks: [Figures(*one) for one in group_tables(looks)],
    "bias_search": lambda looks: [Figures(*one) for one in follow_tables(looks)],
    "axis_meaning": lambda looks: [Figures(*one) for one in axis_tables(looks)],
    "transfer": lambda looks: [Figures(*one) for one in transfer_tables(looks)],
    "explanation_stability": lambda looks: [Figures(*one) for one in stability_tables(looks)],
    "explanation_faithfulness": lambda looks: [Figures(*one) for one in faithfulness_tables(looks)],
    "explanation_focus": lambda looks: [Figures(*one) for one in focus_tables(looks)],
}  # fmt: skip


def _alone(looks: Sequence[Reading]) -> Figures:
    """Figures that belong to no severity: medians over images, flicker along sequences."""
    found: dict[tuple[str | None, str], list[str]] = {}
    for place, look in enumerate(looks):
        for e in look.record.estimates:
            untouched = e.perturbation is None and (e.quantity == "accuracy" or e.representation is not None)
            if e.severity is None and e.subset == "all" and not untouched:
                found.setdefault((e.perturbation, e.quantity), [""] * len(looks))[place] = _text(e)
    rows = [
        (f"{words(perturbation)}: {_name(quantity)}" if perturbation else _name(quantity), (tuple(texts),))
        for (perturbation, quantity), texts in found.items()
    ]
    return Figures("figures without a severity", ("", "mean or median"), tuple(rows))


def _name(quantity: str) -> str:
    return QUANTITIES.get(quantity, words(quantity))


def _text(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.mean is None:
        never = estimate.quantity == "critical_severity"
        return "beyond the ladder" if never else "–"
    return with_interval(estimate.mean, estimate.low, estimate.high)
