"""Looks at the selection split while a network is trained: points of the frontier, the multiplier, the best weights."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from semcon.alpha import Alpha, Multiplier
from semcon.core.intervals import finite
from semcon.progress import Progress
from semcon.repairing.wish import Selection, Standing, Wish
from semcon.subject import Subject
from semcon.training.student import Student

TINY = 1e-9  # a wish that is missed by less than anything, as `<` at its very threshold
State = dict[str, Tensor]


@dataclass(frozen=True)
class Point:
    """One network that the repair could have ended with, as the selection split sees it."""

    where: str
    alpha: float | None
    standing: Standing
    met: bool

    def plain(self) -> dict[str, Any]:
        """JSON; null for what is undefined."""
        standing = self.standing
        return {
            "where": self.where, "alpha": self.alpha, "met": self.met, "values": [*map(finite, standing.values)],
            "errors": [*map(finite, standing.errors)], "change": finite(standing.change),
            "flip": finite(standing.flip), "accuracy": finite(standing.accuracy),
        }  # fmt: skip


class Watcher:
    """Looks at the selection split while a network is trained and moves the multiplier.

    `every`: steps between looks. `moves`: the steps at which the multiplier may move.
    """

    def __init__(
        self, selection: Selection, subject: Subject, alpha: Alpha, every: int, moves: range, progress: Progress
    ) -> None:
        self.selection, self.subject, self.alpha, self.every, self.moves = selection, subject, alpha, every, moves
        self.wishes, self.progress = selection.wishes, progress
        self.points: list[Point] = []

    def __call__(self, student: Student, step: int) -> tuple[dict[str, float], bool]:
        """One look; whether the run may end."""
        point = self.look(f"step {step}", student.network)
        if isinstance(self.alpha, Multiplier) and step in self.moves:
            self.alpha.violated(self._violation(point.standing))
        standing = point.standing
        self.progress.say(told(point, self.wishes))
        figures = {"relative_change": standing.change, "flip": standing.flip, "accuracy": standing.accuracy}
        wished = {wish.text: value for wish, value in zip(self.wishes, standing.values, strict=True)}
        return {**figures, **wished, "alpha": self.alpha.value}, self.settled()

    def look(self, where: str, network: nn.Module) -> Point:
        """Measure these weights."""
        standing = self.selection.look(self.subject)
        point = Point(where, self.alpha.value, standing, standing.meets(self.wishes))
        self.points.append(point)
        return point

    def settled(self) -> bool:
        """Whether the run may end."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """The points."""
        return {"points": json.dumps([_plain(point) for point in self.points])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.points = [_point(plain) for plain in json.loads(state["points"])]

    @property
    def bounds_change(self) -> bool:
        """Whether some wish is about perturbed images."""
        return any(wish.perturbation is not None for wish in self.wishes)

    def _violation(self, standing: Standing) -> float:
        """Of the wishes that the multiplier serves, the worst, in points of accuracy or as a share of the threshold."""
        pairs = list(zip(self.wishes, standing.values, strict=True))
        if self.bounds_change:
            return max(w.shortfall(v) / w.scale for w, v in pairs if w.perturbation is not None)
        return max(w.shortfall(v) for w, v in pairs)


class Repairer(Watcher):
    """Keeps the best weights besides, and ends the run where every wish is met with a standard error to spare."""

    best: tuple[Point, State] | None = None

    def look(self, where: str, network: nn.Module) -> Point:
        """Measure these weights and keep them where they are the best so far."""
        point = super().look(where, network)
        if self.best is None or self.rank(point) < self.rank(self.best[0]):  # a tie goes to the first
            self.best = (point, copy.deepcopy(network.state_dict()))
        return point

    def rank(self, point: Point) -> tuple[float, float]:
        """Smaller is better: how far wishes are missed, each as a share of its threshold, in all; then accuracy where
        a change is bounded, else the change.
        """
        missed = sum(
            0.0 if wish.met(value) else max(TINY, wish.shortfall(value) / wish.scale)
            for wish, value in zip(self.wishes, point.standing.values, strict=True)
        )
        last = -point.standing.accuracy if self.bounds_change else point.standing.change
        return missed, math.inf if math.isnan(last) else last

    def settled(self) -> bool:
        """Whether every wish, one about a change too, was met at the last two looks, with a standard error to spare."""
        if not self.bounds_change or len(self.points) < 2:
            return False
        return all(
            wish.shortfall(value) + error <= 0
            for point in self.points[-2:]
            for wish, value, error in zip(self.wishes, point.standing.values, point.standing.errors, strict=True)
        )

    def state_dict(self) -> dict[str, Any]:
        """Points and best weights."""
        best = None if self.best is None else (json.dumps(_plain(self.best[0])), self.best[1])
        return {**super().state_dict(), "best": best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        super().load_state_dict(state)
        if state["best"] is not None:
            self.best = (_point(json.loads(state["best"][0])), state["best"][1])


def told(point: Point, wishes: Sequence[Wish]) -> str:
    """A point in one line: the wished figures, and the means."""
    standing = point.standing
    values = zip(wishes, standing.values, strict=True)
    wished = "; ".join(f"{wish.text}: {value:.3g}{'' if wish.met(value) else ' (missed)'}" for wish, value in values)
    alpha = "" if point.alpha is None else f", alpha {point.alpha:.3g}"
    return (
        f"{point.where}: {wished}; relative change {standing.change:.3f}, flips {standing.flip:.1%}, "
        f"accuracy {standing.accuracy:.1%}{alpha}"
    )


def _plain(point: Point) -> dict[str, Any]:
    return {"where": point.where, "alpha": point.alpha, "met": point.met, "standing": asdict(point.standing)}


def _point(plain: dict[str, Any]) -> Point:
    kept = plain["standing"]
    standing = Standing(
        tuple(kept["values"]), tuple(kept["errors"]), kept["change"], kept["flip"], kept["accuracy"]
    )  # fmt: skip
    return Point(plain["where"], plain["alpha"], standing, plain["met"])
