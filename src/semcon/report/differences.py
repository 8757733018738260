"""Paired differences between sides, as the page and the terminal show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semcon.core.difference import LEVEL, OVERALL, Difference
from semcon.core.explained import CHANCE, OF_COPIES, OF_MAPS
from semcon.core.quantities import FOLLOWS, GAPS, RELATIVE
from semcon.report.numbers import DASH, decimals, number, plain, words
from semcon.report.reading import FAMILIES, NO_WHOLE, QUANTITIES, property_name
from semcon.report.transfers import READOUTS, learned

MOST = 40
FIRST, DECISIONS, CRITICAL, REPRESENTATION = "overall", "decisions", "critical", "representation"
GROUPS, EXPLANATIONS, PROPERTIES = "groups", "explanations", "properties"
TITLES = {
    FIRST: "Over all perturbations and by family",
    GROUPS: "Accuracy by group of images, and gaps",
    PROPERTIES: "How far predictions follow a property of another image",
    EXPLANATIONS: "What explanations say",
    DECISIONS: "Decisions: flips and accuracy, tested",
    CRITICAL: "By how much the critical severity moved",
    REPRESENTATION: "How far the output moves",
}
_GROUP = {
    "flip": DECISIONS, "accuracy": DECISIONS, "critical_severity": CRITICAL, "relative_change": REPRESENTATION,
    "within_class_change": REPRESENTATION, "discontinuity": REPRESENTATION, "flip_probability": REPRESENTATION,
    "lipschitz": REPRESENTATION, "straightness": REPRESENTATION, "path_curvature": REPRESENTATION,
    "input_curvature": REPRESENTATION, **dict.fromkeys(RELATIVE, FIRST),
    **dict.fromkeys((*OF_COPIES, *OF_MAPS), EXPLANATIONS), FOLLOWS: PROPERTIES,
}  # fmt: skip


@dataclass(frozen=True)
class DifferenceRow:
    """One difference, for people and exact. `sign`: plus or minus where the interval leaves out 0, else empty."""

    key: str
    what: str
    quantity: str
    first: str
    second: str
    difference: str
    sign: str
    mean: float | None
    low: float | None = None
    high: float | None = None
    group: str = FIRST
    harmful: int | None = None
    beneficial: int | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def tested(self) -> str:
        """The adjusted p value, for people."""
        if self.p_holm is None:
            return ""
        return "< 0.001" if self.p_holm < 0.001 else f"{self.p_holm:.2g}" if self.p_holm < 0.1 else f"{self.p_holm:.2f}"

    @property
    def clear(self) -> bool:
        """Whether the adjusted test says that it is more than chance."""
        return self.p_holm is not None and self.p_holm < LEVEL


@dataclass(frozen=True)
class Group:
    """Rows that belong together: those shown at once, and the rest."""

    title: str
    rows: tuple[DifferenceRow, ...]
    rest: tuple[DifferenceRow, ...]

    @property
    def tested(self) -> bool:
        """Whether some of its rows count decisions."""
        return any(row.p_holm is not None for row in self.rows)


@dataclass(frozen=True)
class DifferenceTable:
    """One side against the first. `opening`: what came out, in words; `evaluation`: which, besides continuity."""

    title: str
    first: str
    second: str
    caption: str
    rows: tuple[DifferenceRow, ...]
    left_out: str
    opening: tuple[str, ...] = ()
    evaluation: str | None = None
    folded: bool = False

    @property
    def groups(self) -> list[Group]:
        """The rows by what they are about; the largest of each at once, the rest behind a click."""
        found: list[Group] = []
        for name, title in TITLES.items():
            rows = [row for row in self.rows if row.group == name]
            most = len(rows) if name == CRITICAL else MOST
            if rows:
                found.append(Group(title, tuple(rows[:most]), tuple(rows[most:])))
        return found


HEADER = (
    "minuend", "subtrahend", "what", "quantity", "difference", "low", "high", "key", "harmful", "beneficial", "p",
    "p_holm",
)  # fmt: skip


def difference_rows(tables: Sequence[DifferenceTable]) -> list[tuple[str | float | None, ...]]:
    """The differences, exact, for the CSV."""
    return [
        (
            table.second, table.first, row.what, row.quantity, row.mean, row.low, row.high, row.key, row.harmful,
            row.beneficial, row.p, row.p_holm,
        )
        for table in tables
        for row in table.rows
    ]  # fmt: skip


def difference_table(
    labels: tuple[str, str], profile: Sequence[Difference], differences: Sequence[Difference], *,
    opening: tuple[str, ...], primary: str, left_out: Sequence[str], evaluation: str | None = None,
    folded: bool = False,
) -> DifferenceTable:  # fmt: skip
    """The profile and accuracy first, then decisions, critical severities and the output, the largest first."""
    shown = [
        one for one in differences
        if one.quantity in _GROUP and one.subset == "all"
        and (one.distance is None or f"{one.representation}.{one.distance}" == primary)
        and one.representation != CHANCE
    ]  # fmt: skip
    groups = [
        one for one in differences
        if one.subset.startswith("group") and one.perturbation is None and one.quantity in ("accuracy", *GAPS)
    ]  # fmt: skip
    groups.sort(key=lambda one: one.quantity not in GAPS)
    clean = [one for one in shown if one.perturbation is None and _GROUP[one.quantity] != EXPLANATIONS]
    rest = [one for one in shown if one not in clean]
    rest.sort(key=lambda one: -abs(one.difference or 0) if one.quantity != "critical_severity" else 0)
    whole = () if evaluation in NO_WHOLE else profile
    first = [one for one in (*clean, *whole) if one.quantity in _GROUP]
    first.sort(key=lambda one: one.perturbation not in (None, OVERALL))
    rows = [_row(one, FIRST) for one in first] + [_row(one, GROUPS) for one in groups]
    rows += [_row(one, _GROUP[one.quantity]) for one in rest]
    images = max((one.samples for one in differences), default=0)
    first_name, second_name = labels
    where = f", {words(evaluation)}" if evaluation else ""
    return DifferenceTable(
        title=f"{second_name} minus {first_name}{where}", first=first_name, second=second_name, rows=tuple(rows),
        caption=f"{second_name} minus {first_name}{where}, {images} images",
        left_out="; ".join(left_out), opening=opening,
        evaluation=evaluation, folded=folded,
    )  # fmt: skip


def _row(one: Difference, group: str) -> DifferenceRow:
    name = one.perturbation or "untouched"
    severity = "" if one.severity is None else f" {plain(one.severity)}"
    worst = ", worst case" if one.draws == "worst" else ""
    title = (
        "all perturbations" if name == OVERALL else FAMILIES.get(name, words(name)) if group == FIRST else words(name)
    )
    what = f"{title}{severity}{worst}"
    if name in READOUTS and one.severity is not None:
        what = learned(name, one.severity)
    if group == EXPLANATIONS:
        what = f"{words(one.representation or '')}{'' if one.perturbation is None else f', {what}'}"
    if group == GROUPS:
        what = words(one.subset.partition(":")[2].replace("=", ": "))
    if group == PROPERTIES:
        what = property_name(name)
    about = one.representation if group == EXPLANATIONS else one.subset if group == GROUPS else ""
    return DifferenceRow(
        key="|".join((group, name, severity.strip(), one.draws, one.quantity, *([about] if about else []))), what=what,
        quantity=QUANTITIES.get(one.quantity, one.quantity), first=_value(one.first, one.beyond[0]),
        second=_value(one.second, one.beyond[1]), difference=_told(one),
        sign={1: "plus", -1: "minus", 0: ""}[one.sign], mean=one.difference, low=one.low, high=one.high, group=group,
        harmful=one.harmful, beneficial=one.beneficial, p=one.p, p_holm=one.p_holm,
    )  # fmt: skip


def _value(value: float | None, beyond: float | None) -> str:
    return f"beyond {plain(beyond)}" if value is None and beyond is not None else number(value)


def _told(one: Difference) -> str:
    """`-0.43 [-0.45, -0.41]`; beyond the ladder only the end that is known."""
    known = [value for value in (one.difference, one.low, one.high) if value is not None]
    places = decimals(*known)
    low, high = (None if end is None else f"{end:+.{places}f}" for end in (one.low, one.high))
    if one.difference is None:
        if low is not None:
            return f"more than {low}" if high is None else f"between {low} and {high}"
        return DASH if high is None else f"less than {high}"
    text = f"{one.difference:+.{places}f}"
    if low is None and high is None:
        return text
    return f"{text} [{low or 'not known'}, {high or 'not known'}]"
