"""Repair: the checkpoint at hand, fine-tuned until a wish is met, and the proof on images it never saw.

Fine-tune it with the constraint on the axes on which it fails, while it keeps its own predictions on clean images; look
at the selection split now and then, and move the multiplier; choose the weights there, also between the original and
the repaired ones.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semcon.alpha import Alpha, Multiplier
from semcon.constraint import ContinuityConstraint, Options
from semcon.core.concepts import Objective
from semcon.core.registry import load
from semcon.neighbourhood import Neighbourhood
from semcon.pool import Pool
from semcon.progress import Progress
from semcon.student import Student
from semcon.subject import Subject
from semcon.training import Settings, Trained, train
from semcon.wish import Selection, Standing, Wish

PATH = tuple(i / 10 for i in range(11))  # shares of the way from the original weights to the repaired ones
State = dict[str, Tensor]


@dataclass(frozen=True)
class Point:
    """One network that the repair could have ended with, as the selection split sees it."""

    where: str
    alpha: float | None
    standing: Standing
    met: bool

    def plain(self) -> dict[str, Any]:
        """JSON."""
        return {"where": self.where, "alpha": self.alpha, "met": self.met, **asdict(self.standing)}


@dataclass(frozen=True)
class Mended:
    """What fine-tuning found: the chosen point, whether it meets the wishes, and every point looked at."""

    chosen: Point
    frontier: tuple[Point, ...]
    trained: Trained
    objective: Objective
    original: State

    @property
    def met(self) -> bool:
        """Whether the wishes are met on the selection split."""
        return self.chosen.met


class Repairer:
    """Looks at the selection split while a network is mended, moves the multiplier, and keeps the best weights."""

    def __init__(self, selection: Selection, subject: Subject, alpha: Alpha, every: int, last: int) -> None:
        self.selection, self.subject, self.alpha, self.every, self.last = selection, subject, alpha, every, last
        self.wishes = selection.wishes
        self.points: list[Point] = []
        self.best: tuple[Point, State] | None = None

    def __call__(self, student: Student, step: int) -> tuple[dict[str, float], bool]:
        """One look; stops where every wish is met with a standard error to spare, twice running."""
        point = self.look(f"step {step}", student.network)
        if isinstance(self.alpha, Multiplier) and step < 0.8 * self.last:
            self.alpha.violated(self._violation(point.standing))
        standing = point.standing
        figures = {"relative_change": standing.change, "flip": standing.flip, "accuracy": standing.accuracy}
        wished = {wish.text: value for wish, value in zip(self.wishes, standing.values, strict=True)}
        return {**figures, **wished, "alpha": self.alpha.value}, self._settled()

    def look(self, where: str, network: nn.Module) -> Point:
        """Measure these weights and keep them where they are the best so far."""
        standing = self.selection.look(self.subject)
        point = Point(where, self.alpha.value, standing, standing.meets(self.wishes))
        self.points.append(point)
        if self.best is None or self.rank(point) < self.rank(self.best[0]):
            self.best = (point, copy.deepcopy(network.state_dict()))
        return point

    def rank(self, point: Point) -> tuple[float, float]:
        """Smaller is better: how far wishes are missed; then accuracy where a change is bounded, else the change."""
        missed = sum(
            max(0.0, wish.shortfall(value)) / (abs(wish.threshold) or 1)
            for wish, value in zip(self.wishes, point.standing.values, strict=True)
        )
        return missed, -point.standing.accuracy if self._bounds_change() else point.standing.change

    def state_dict(self) -> dict[str, Any]:
        """Points and best weights."""
        best = None if self.best is None else (json.dumps(_plain(self.best[0])), self.best[1])
        return {"points": json.dumps([_plain(point) for point in self.points]), "best": best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.points = [_point(plain) for plain in json.loads(state["points"])]
        if state["best"] is not None:
            self.best = (_point(json.loads(state["best"][0])), state["best"][1])

    def _bounds_change(self) -> bool:
        return any(wish.perturbation is not None for wish in self.wishes)

    def _violation(self, standing: Standing) -> float:
        """Of the wishes that the multiplier serves, the worst, in points of accuracy or as a share of the threshold."""
        pairs = list(zip(self.wishes, standing.values, strict=True))
        if self._bounds_change():
            return max(w.shortfall(v) / (abs(w.threshold) or 1) for w, v in pairs if w.perturbation is not None)
        return max(w.shortfall(v) for w, v in pairs)

    def _settled(self) -> bool:
        if not self._bounds_change() or len(self.points) < 2:
            return False
        return all(
            wish.shortfall(value) + error <= 0
            for point in self.points[-2:]
            for wish, value, error in zip(self.wishes, point.standing.values, point.standing.errors, strict=True)
        )


def make_alpha(wishes: Sequence[Wish], start: float) -> Alpha:
    """The multiplier that serves the wishes: of the penalty where a change is bounded, else of the loss."""
    if any(wish.perturbation is not None for wish in wishes):
        return Multiplier("penalty", start, rate=start)
    return Multiplier("loss", start, rate=0.1)


def mend(
    subject: Subject, fit: Pool, selection: Selection, neighbourhood: Neighbourhood, settings: Settings, *,
    alpha: Alpha, share: float, copies: float, freeze: bool, looks: int, folder: Path, progress: Progress,
) -> Mended:  # fmt: skip
    """Fine-tune the subject's network in place and leave the chosen weights in it."""
    student = Student.of(subject)
    teacher = copy.deepcopy(student).eval().requires_grad_(False)
    original = copy.deepcopy(student.network.state_dict())
    student.keeps_statistics = freeze
    constraint = ContinuityConstraint(neighbourhood, options=Options(share=share), seed=settings.seed)
    objective = load("objectives", "distillation")(teacher, constraint, alpha, copies=copies)
    repairer = Repairer(selection, subject, alpha, max(1, settings.steps // looks), settings.steps)
    repairer.look("original", student.network)
    trained = train(student, fit, objective, settings, folder=folder, progress=progress, observer=repairer)
    final = copy.deepcopy(student.network.state_dict())
    with progress.task("choosing", total=len(PATH) - 2):
        for place in PATH[1:-1]:
            student.network.load_state_dict(between(original, final, place))
            repairer.look(f"{place:.0%} of the way", student.network)
            progress.advance(1)
    assert repairer.best is not None
    point, state = repairer.best
    student.network.load_state_dict(state)
    student.eval()
    return Mended(point, tuple(repairer.points), trained, objective, original)


def between(first: State, second: State, place: float) -> State:
    """Weights and statistics a share of the way from the first to the second; counters of the second."""
    return {
        name: torch.lerp(first[name], value, place) if value.is_floating_point() else value
        for name, value in second.items()
    }


def _plain(point: Point) -> dict[str, Any]:
    return {"where": point.where, "alpha": point.alpha, "met": point.met, "standing": asdict(point.standing)}


def _point(plain: dict[str, Any]) -> Point:
    kept = plain["standing"]
    standing = Standing(
        tuple(kept["values"]), tuple(kept["errors"]), kept["change"], kept["flip"], kept["accuracy"]
    )  # fmt: skip
    return Point(plain["where"], plain["alpha"], standing, plain["met"])
