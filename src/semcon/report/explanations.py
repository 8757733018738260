"""The evaluations of explanations as tables: likeness by perturbation, and what was asked of every image's map."""

from __future__ import annotations

from collections.abc import Sequence

from semcon.core.explained import CHANCE, CURVES, FAITH, FOCUS, LIKENESS
from semcon.core.record import Estimate
from semcon.report.numbers import plain, with_interval, words
from semcon.report.reading import QUANTITIES, Reading

Rows = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
Table = tuple[str, tuple[str, ...], Rows]
"""Title, header, rows of a name and cells, each a text a run."""
_MOVES = ("moved", *LIKENESS)


def stability_tables(looks: Sequence[Reading]) -> list[Table]:
    """How often the prediction changes, then a table a perturbation: how far the maps move, method by method."""
    tried = list(dict.fromkeys((one.name, s) for look in looks for one in look.perturbations for s in one.severities))
    flips = tuple(
        (f"{words(name)} {plain(severity)}", (tuple(_text(look.get("flip", name, severity)) for look in looks),))
        for name, severity in tried
    )
    return [("the prediction itself", ("", QUANTITIES["flip"]), flips), *(_under(looks, *one) for one in tried)]


def faithfulness_tables(looks: Sequence[Reading]) -> list[Table]:
    """Insertion and deletion by baseline, and what else was asked, method by method."""
    ways = [[one for one in CURVES if one.startswith(way)] for way in ("insertion", "deletion")]
    return [
        _of_maps(looks, "area under insertion curves: higher is better", ways[0]),
        _of_maps(looks, "area under deletion curves: lower is better", ways[1]),
        _of_maps(looks, "does the map foretell, and does it stay", FAITH[-3:]),
    ]


def focus_tables(looks: Sequence[Reading]) -> list[Table]:
    """Where the maps look; beside it a map that knows nothing."""
    return [_of_maps(looks, "where the maps look, and how concentrated they are", FOCUS)]


def _under(looks: Sequence[Reading], name: str, severity: float) -> Table:
    rows = tuple(
        (
            words(method),
            tuple(
                tuple(_text(_found(look, method, quantity, name, severity)) for look in looks) for quantity in _MOVES
            ),
        )
        for method in _methods(looks)
    )
    header = ("", *(QUANTITIES[quantity] for quantity in _MOVES))
    return f"{words(name)} {plain(severity)}: the copy's map against the image's", header, rows


def _of_maps(looks: Sequence[Reading], title: str, quantities: Sequence[str]) -> Table:
    methods = _methods(looks)
    shown = [one for one in quantities if any(_found(look, m, one) for look in looks for m in methods)]
    rows = tuple(
        (
            "knowing nothing" if method == CHANCE else words(method),
            tuple(tuple(_text(_found(look, method, one)) for look in looks) for one in shown),
        )
        for method in methods
    )
    return title, ("", *(QUANTITIES[one] for one in shown)), rows if shown else ()


def _methods(looks: Sequence[Reading]) -> list[str]:
    """The methods of all runs, in their order."""
    told = (e.representation for look in looks for e in look.record.estimates if e.distance is None)
    return [method for method in dict.fromkeys(told) if method is not None]


def _found(
    look: Reading, method: str, quantity: str, perturbation: str | None = None, severity: float | None = None
) -> Estimate | None:
    wanted = (method, quantity, perturbation, severity, "all")
    return next(
        (
            e
            for e in look.record.estimates
            if (e.representation, e.quantity, e.perturbation, e.severity, e.subset) == wanted
        ),
        None,
    )


def _text(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return with_interval(estimate.mean, estimate.low, estimate.high)
