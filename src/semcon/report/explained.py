"""The gallery of explanations: an image, its copy, and by run and method both maps and their difference.

The bias search's too: an image, its copy, and the image that a property was taken from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semcon.core.pictured import ExplainedEntry
from semcon.report.cards import Picture, picture_of
from semcon.report.numbers import number, plain, words
from semcon.report.reading import Reading, property_name

ROLES, DONOR = ("map", "copy_map", "difference"), ("donor",)


@dataclass(frozen=True)
class ExplainedRow:
    """One method of one run: the image's map carried along, the copy's, and what the second has more; or the donor."""

    run: int
    label: str
    method: str
    alike: str
    before: str
    after: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class ExplainedCard:
    """One image under one perturbation."""

    name: str
    severity: str
    title: str
    image: Picture
    copy: Picture
    rows: tuple[ExplainedRow, ...]


def explained_cards(runs: Sequence[Reading], evaluation: str) -> tuple[ExplainedCard, ...]:
    """The cards of all runs; what several show of one image and perturbation stands on one card."""
    found: dict[tuple[str, float, int], list[tuple[int, Reading, ExplainedEntry]]] = {}
    for place, run in enumerate(runs):
        for one in run.record.evaluations:
            for entry in one.explained if one.name == evaluation else ():
                key = entry.perturbation, entry.severity, entry.sample
                found.setdefault(key, []).append((place, run, entry))
    return tuple(card for entries in found.values() for card in _card(entries))


def _card(entries: Sequence[tuple[int, Reading, ExplainedEntry]]) -> Iterator[ExplainedCard]:
    _, run, first = entries[0]
    image, copy = (picture_of(run.folder, first.files.get(role)) for role in ("image", "copy"))
    ordered = sorted(entries, key=lambda one: [entry.method for _, _, entry in entries].index(one[2].method))
    rows = tuple(row for one in ordered for row in _row(*one))
    if image is not None and copy is not None and rows:
        name = property_name(first.perturbation)
        yield ExplainedCard(name, plain(first.severity), first.title, image, copy, rows)


def _row(place: int, run: Reading, entry: ExplainedEntry) -> Iterator[ExplainedRow]:
    roles = DONOR if DONOR[0] in entry.files else ROLES
    pictures = [picture_of(run.folder, entry.files.get(role)) for role in roles]
    known = tuple(one for one in pictures if one is not None)
    if len(known) == len(roles):
        yield ExplainedRow(
            place, run.label, words(entry.method), number(entry.alike, 2), entry.prediction, entry.prediction_copy,
            known,
        )  # fmt: skip
