"""Tables of groups of images, of what predictions follow, and of axes: (title, header, rows of a name and cells)."""

from __future__ import annotations

from collections.abc import Sequence

from semcon.core.quantities import FOLLOWS
from semcon.core.record import Estimate
from semcon.report.numbers import plain, with_interval, words
from semcon.report.reading import Reading, property_name

Row = tuple[str, tuple[tuple[str, ...], ...]]
Table = tuple[str, tuple[str, ...], tuple[Row, ...]]
_OF_GROUPS = ("accuracy", "flip", "relative_change")


def group_tables(looks: Sequence[Reading]) -> list[Table]:
    """Every group with its figures, attribute by attribute, and the gaps."""
    found = [_by_subset(look) for look in looks]
    subsets = dict.fromkeys(subset for figures in found for subset, _ in figures)
    rows: list[Row] = []
    for subset in subsets:
        if subset.startswith("group:"):
            cells = [tuple(_text(figures.get((subset, quantity))) for figures in found) for quantity in _OF_GROUPS]
            known = [[figures[subset, q].samples for q in _OF_GROUPS if (subset, q) in figures] for figures in found]
            images = tuple(str(max(own, default=0)) for own in known)
            rows.append((_group(subset), (*cells, images)))
    gaps = [
        (words(subset.removeprefix("groups:")),
         tuple(tuple(_text(figures.get((subset, f"{quantity}_gap"))) for figures in found) for quantity in _OF_GROUPS))
        for subset in subsets
        if subset.startswith("groups:")
    ]  # fmt: skip
    return [
        ("by group; flips and relative change over all perturbations",
         ("", "accuracy", "flips", "relative change", "images"), tuple(rows)),
        ("gap between the best and the worst group of 30 images or more", ("", "accuracy", "flips", "relative change"),
         tuple(gaps)),
    ]  # fmt: skip


def _by_subset(look: Reading) -> dict[tuple[str, str], Estimate]:
    """Figures that belong to no perturbation."""
    return {(e.subset, e.quantity): e for e in look.record.estimates if e.perturbation is None}


def _group(subset: str) -> str:
    """`group:colour=red` as people write it."""
    name, _, value = subset.removeprefix("group:").partition("=")
    return f"{words(name)}: {value}"


def follow_tables(looks: Sequence[Reading]) -> list[Table]:
    """Properties in the order in which the first run's predictions follow them, with how often copies change class."""
    follows, flips = ([_of(look, quantity) for look in looks] for quantity in (FOLLOWS, "flip"))
    names = _ordered(follows)
    rows = tuple(
        (property_name(name),
         tuple(tuple(_text(own.get((name, severity))) for own in each) for each in (follows, flips)))
        for name, severity in names
    )  # fmt: skip
    header = ("", "predictions follow it", "predictions changed by it")
    return [
        (
            "a property taken from another image: 0 where whose it is makes no difference, 1 where it decides",
            header,
            rows,
        )
    ]


def axis_tables(looks: Sequence[Reading]) -> list[Table]:
    """What a classifier by one property alone knows, and how much of it the perturbation changes."""
    asked = ("factor_lift", "factor_changed", "factor_fall")
    lift, changed, fall = ([_of(look, quantity) for look in looks] for quantity in asked)
    names = _ordered(lift)
    rows = tuple(
        (f"{words(name)} at {plain(severity or 0)}",
         tuple(tuple(_text(own.get((name, severity))) for own in each) for each in (lift, changed, fall)))
        for name, severity in names
    )  # fmt: skip
    header = ("", "accuracy above the commonest class", "right answers that copies change", "accuracy that copies cost")
    return [("a classifier that sees only what the perturbation changes", header, rows)]


def _of(look: Reading, quantity: str) -> dict[tuple[str, float | None], Estimate]:
    return {
        (e.perturbation or "", e.severity): e
        for e in look.record.estimates
        if e.quantity == quantity and e.subset == "all" and e.draws == "random"
    }


def _ordered(each: Sequence[dict[tuple[str, float | None], Estimate]]) -> list[tuple[str, float | None]]:
    """The first run's, its largest first; then what only later runs have."""
    return list(dict.fromkeys(key for run in each for key in _largest_first(run)))


def _largest_first(run: dict[tuple[str, float | None], Estimate]) -> list[tuple[str, float | None]]:
    return sorted(run, key=lambda key: -(run[key].mean or 0))


def _text(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return with_interval(estimate.mean, estimate.low, estimate.high)
