"""The table of a transfer: what was learned, from how many images, and how accurate that is."""

from __future__ import annotations

from collections.abc import Sequence

from semcon.core.record import Estimate
from semcon.report.numbers import counted, plain, with_interval
from semcon.report.reading import Reading

READOUTS = {
    "knn": "nearest neighbours", "linear_probe": "linear probe", "few_shot": "few-shot", "fine_tuning": "fine-tuning",
}  # fmt: skip
Table = tuple[str, tuple[str, ...], tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]]


def transfer_tables(looks: Sequence[Reading]) -> list[Table]:
    """A row for each readout and number of images to learn from; all runs' beside each other."""
    keys = dict.fromkeys(
        (one.name, severity) for name in READOUTS for look in looks for one in look.perturbations if one.name == name
        for severity in one.severities
    )  # fmt: skip
    rows = tuple(
        (learned(name, severity), (tuple(_text(look.get("accuracy", name, severity)) for look in looks),))
        for name, severity in keys
    )
    return [("accuracy on the target's images that were not learned from", ("learned", "accuracy"), rows)]


def learned(name: str, severity: float) -> str:
    """`few-shot, 5 images of each class`; the other readouts learn from all that there are."""
    if name == "few_shot":
        return f"{READOUTS[name]}, {counted(int(severity), 'image')} of each class"
    return f"{READOUTS[name]}, all images ({plain(severity)} a class on average)"


def _text(one: Estimate | None) -> str:
    return "" if one is None else with_interval(one.mean, one.low, one.high)
