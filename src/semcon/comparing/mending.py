"""Which images were mended from one side to another, and which got worse: chosen from the pictures both runs kept.

A copy is the same picture for every model, so a picture that any run kept serves with the predictions in all runs'
rows. Reads run folders: no torch, no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from semcon.comparing.sides import Side, output_names
from semcon.core.difference import Difference
from semcon.core.pictured import GalleryEntry
from semcon.report.cards import picture_of
from semcon.report.mended import ChangedCard, ChangedGallery, Look, Pile
from semcon.report.numbers import number, plain
from semcon.run_record import RunRecord

MOST = 24
Copy = tuple[int, str, float, int]  # sample, perturbation, severity, draw
_KEY = ("sample", "perturbation", "severity", "draw")


@dataclass(frozen=True)
class _Seen:
    """A copy in one run's rows."""

    before: str
    after: str
    right: bool | None
    relative: float | None
    flips: bool


def changed_copies(
    first: Side, second: Side, labels: tuple[str, str], differences: Sequence[Difference]
) -> ChangedGallery:
    """Copies of random draws that flip under one side more than under the other, the largest differences first.

    `differences`: whose counts tell how many there are in all.
    """
    entries = _entries((*first.runs, *second.runs))
    one, two = ([_seen(run, list(entries)) for run in side.runs] for side in (first, second))
    mended, worse = [], []
    for copy, (entry, folder) in entries.items():
        sights = [[seen[copy] for seen in side if copy in seen] for side in (one, two)]
        if len(sights[0]) < len(one) or len(sights[1]) < len(two):
            continue
        gap = _share(sights[0]) - _share(sights[1])
        card = _card(entry, folder, labels, sights) if gap else None
        if card is not None:
            (mended if gap > 0 else worse).append((abs(gap), _moved(sights), card))
    rows = [one for one in differences if one.quantity == "flip" and one.draws == "random" and one.subset == "all"
            and one.perturbation]  # fmt: skip
    better, harm = (sum(getattr(row, name) or 0 for row in rows) for name in ("beneficial", "harmful"))
    a, b = labels
    told = (
        f"{a} changes its prediction, {b} keeps its own, right or wrong",
        f"{a} keeps its prediction, right or wrong, {b} changes its own",
    )
    if len(one) + len(two) > 2:
        told = f"more runs of {a} than of {b} change their prediction", f"more runs of {b} than of {a} do"
    piles = (
        Pile("mended", "Mended", told[0], better, _turns(mended)),
        Pile("worse", "Got worse", told[1], harm, _turns(worse)),
    )
    return ChangedGallery(f"{labels[0]} to {labels[1]}", sum(row.samples for row in rows), piles)


def _entries(runs: Sequence[RunRecord]) -> dict[Copy, tuple[GalleryEntry, Path]]:
    """The copies that some run kept pictures of."""
    found: dict[Copy, tuple[GalleryEntry, Path]] = {}
    for run in runs:
        for entry in run.record.gallery:
            if entry.draws == "random":
                key = entry.sample, entry.perturbation, entry.severity, entry.draw
                found.setdefault(key, (entry, run.folder))
    return found


def _seen(run: RunRecord, copies: Sequence[Copy]) -> dict[Copy, _Seen]:
    """These copies in a run's rows, those that are there."""
    gauge, names = run.record.settings.primary, output_names(run.record)
    wanted = pl.DataFrame(copies, schema={
        "sample": pl.Int64, "perturbation": pl.String, "severity": pl.Float64, "draw": pl.Int16,
    }, orient="row")  # fmt: skip
    images = run.samples.images.lazy().select(
        "position", "sample", "label", clean="prediction", spread=f"{gauge}.spread"
    )
    rows = (
        run.samples.rows.lazy()
        .filter(pl.col("draws") == "random")
        .select("position", "perturbation", "severity", "draw", "prediction", change=f"{gauge}.change")
        .join(images.join(wanted.lazy().select("sample").unique(), on="sample"), on="position")
        .join(wanted.lazy(), on=list(_KEY))
        .with_columns(relative=pl.when(pl.col("spread") > 0).then(pl.col("change") / pl.col("spread")))
        .collect()
    )
    return {(row["sample"], row["perturbation"], row["severity"], row["draw"]): _of_row(row, names)
            for row in rows.iter_rows(named=True)}  # fmt: skip


def _of_row(row: dict[str, Any], names: Sequence[str]) -> _Seen:
    right = None if row["label"] is None else row["prediction"] == row["label"]
    clean, own = int(row["clean"]), int(row["prediction"])
    return _Seen(names[clean], names[own], right, row["relative"], clean != own)


def _card(
    entry: GalleryEntry, folder: Path, labels: tuple[str, str], sights: Sequence[Sequence[_Seen]]
) -> ChangedCard | None:
    image, copy = (picture_of(folder, entry.files.get(role)) for role in ("image", "copy"))
    if image is None or copy is None:
        return None
    longest = max(_relative(side) for side in sights) or 1.0
    one, two = (
        _look(place, label, side, longest) for place, (label, side) in enumerate(zip(labels, sights, strict=True))
    )
    return ChangedCard(
        entry.perturbation, plain(entry.severity), entry.title, entry.class_name, image, copy, (one, two)
    )


def _look(place: int, label: str, runs: Sequence[_Seen], longest: float) -> Look:
    """The side's commonest answer, and how many of its runs flip."""
    answer = Counter((run.before, run.after) for run in runs).most_common(1)[0][0]
    shown = next(run for run in runs if (run.before, run.after) == answer)
    flips = sum(run.flips for run in runs)
    relative = _relative(runs)
    return Look(
        place, label, shown.before, shown.after, shown.flips, shown.right,
        f"{flips} of {len(runs)} runs flip" if len(runs) > 1 else "", number(relative), relative / longest,
    )  # fmt: skip


def _relative(runs: Sequence[_Seen]) -> float:
    return sum(run.relative or 0.0 for run in runs) / len(runs)


def _share(runs: Sequence[_Seen]) -> float:
    return sum(run.flips for run in runs) / len(runs)


def _moved(sights: Sequence[Sequence[_Seen]]) -> float:
    return abs(_relative(sights[0]) - _relative(sights[1]))


def _turns(found: Sequence[tuple[float, float, ChangedCard]]) -> tuple[ChangedCard, ...]:
    """One of each perturbation in turn, the largest differences first."""
    piles: dict[str, list[ChangedCard]] = {}
    for _, _, card in sorted(found, key=lambda one: (-one[0], -one[1])):
        piles.setdefault(card.perturbation, []).append(card)
    return tuple(card for layer in zip_longest(*piles.values()) for card in layer if card is not None)[:MOST]
