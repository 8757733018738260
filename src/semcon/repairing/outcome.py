"""What a repair says of itself: the frontier, a sentence, the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from semcon.neighbourhood import Neighbourhood
from semcon.repairing.mend import Mended
from semcon.repairing.request import RepairRequest
from semcon.repairing.watching import Point


def frontier_of(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both change and accuracy, by change."""
    known = [point for point in points if point.standing.change == point.standing.change]
    best: list[Point] = []
    for point in sorted(known, key=lambda one: (one.standing.change, -one.standing.accuracy)):
        if not best or point.standing.accuracy > best[-1].standing.accuracy:
            best.append(point)
    return best


def outcome_sentence(mended: Mended, near: Neighbourhood, request: RepairRequest) -> str:
    """Whether the wish is met, and what it came to."""
    standing, first = mended.chosen.standing, mended.frontier[0].standing
    values = zip(request.wishes, standing.values, strict=True)
    missed = "; ".join(f"{wish.text} got to {value:.3g}" for wish, value in values if not wish.met(value))
    outcome = "The wish is met" if mended.met else f"The wish could not be met ({missed}); this is the nearest"
    axes = ", ".join(f"{name} up to {limit:g}" for (name, _), limit in zip(near.parts, near.limits, strict=True))
    same = mended.chosen.where == mended.frontier[0].where
    kept = " No weights did better than the original's, which are kept." if same else ""
    return (
        f"{outcome} on the selection split, under {axes}: relative change {first.change:.3f} to {standing.change:.3f}, "
        f"flips {first.flip:.1%} to {standing.flip:.1%}, accuracy {first.accuracy:.1%} to {standing.accuracy:.1%}."
        f"{kept}"
    )


def outcome_record(mended: Mended, near: Neighbourhood, request: RepairRequest, sentence: str) -> dict[str, Any]:
    """Plain JSON."""
    return {
        "schema": 1,
        "sentence": sentence,
        "met": mended.met,
        "wishes": [asdict(wish) for wish in request.wishes],
        "axes": {name: limit for (name, _), limit in zip(near.parts, near.limits, strict=True)},
        "chosen": mended.chosen.plain(),
        "frontier": [point.plain() for point in mended.frontier],
        "seconds": mended.trained.seconds,
        "steps": mended.trained.steps,
    }
