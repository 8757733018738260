"""What a repair says of itself: the frontier, a sentence, the wishes as the judge sees them, the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from semcon.comparing.compare import compare
from semcon.core.intervals import wilson
from semcon.neighbourhood import Neighbourhood
from semcon.repairing.mend import Mended
from semcon.repairing.request import RepairRequest
from semcon.repairing.watching import Point
from semcon.repairing.wish import Wish
from semcon.report.numbers import interval, number
from semcon.run_record import RunRecord


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


@dataclass(frozen=True)
class JudgedWish:
    """A wish on the judge's images: its figure there, in the wish's unit, with its 95 % interval where it is known."""

    wish: str
    value: float | None
    low: float | None
    high: float | None
    met: bool | None

    @property
    def sentence(self) -> str:
        """`accuracy >= -1: -0.4 [-1.1, 0.3]`."""
        if self.value is None:
            return f"{self.wish}: undefined"
        missed = "" if self.met else " (missed)"
        return f"{self.wish}: {number(self.value)} {interval(self.low, self.high, self.value)}{missed}"


def judged_wishes(wishes: Sequence[Wish], before: RunRecord, after: RunRecord) -> list[JudgedWish]:
    """The wishes on images that nothing was chosen by. Without labels accuracy is agreement with the original."""
    return [_judged(wish, *_on_judge(wish, before, after)) for wish in wishes]


def _judged(wish: Wish, value: float | None, low: float | None, high: float | None) -> JudgedWish:
    return JudgedWish(wish.text, value, low, high, None if value is None else wish.met(value))


def _on_judge(wish: Wish, before: RunRecord, after: RunRecord) -> tuple[float | None, float | None, float | None]:
    record = after.record
    if wish.perturbation is None and record.data.labelled:
        rows = [d for d in compare(before, after).differences if (d.quantity, d.subset) == ("accuracy", "all")]
        (one,) = [row for row in rows if row.perturbation is None]
        points = [None if value is None else 100 * value for value in (one.difference, one.low, one.high)]
        return points[0], points[1], points[2]
    if wish.perturbation is None:
        predictions = [run.samples.images.sort("position")["prediction"].to_numpy() for run in (before, after)]
        agreement = float((predictions[0] == predictions[1]).mean())
        low, high = wilson(agreement, len(predictions[0]))
        return 100 * (agreement - 1), 100 * (float(low) - 1), 100 * (float(high) - 1)
    for one in record.estimates:
        own = one.representation is None or f"{one.representation}.{one.distance}" == record.settings.primary
        wanted = (wish.perturbation, wish.severity, wish.quantity, "all", "random")
        if own and (one.perturbation, one.severity, one.quantity, one.subset, one.draws) == wanted:
            return one.mean, one.low, one.high
    return None, None, None


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
