"""Repair: the checkpoint at hand, fine-tuned until a wish is met, and the proof on images it never saw.

Fine-tune it with the constraint on the axes on which it fails, while it keeps its own predictions on clean images; look
at the selection split now and then, and move the multiplier; choose the weights there, also between the original and
the repaired ones.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from semcon.alpha import Alpha, Multiplier
from semcon.constraint import ContinuityConstraint, Options
from semcon.core.concepts import Objective
from semcon.core.registry import load
from semcon.neighbourhood import Neighbourhood
from semcon.progress import Progress
from semcon.repairing.watching import Point, Repairer, State, told
from semcon.repairing.wish import Selection, Wish
from semcon.subject import Subject
from semcon.training.loop import Trained, train
from semcon.training.pool import Pool
from semcon.training.settings import Settings
from semcon.training.student import Student

PATH = (0.0, 0.05, *(i / 10 for i in range(1, 11)))  # shares of the way from the original weights to the repaired ones


@dataclass(frozen=True)
class Mended:
    """What fine-tuning found: the chosen point, whether it meets the wishes, and every point looked at.

    `images`, `selected`: how many it was fitted to and chosen by.
    """

    chosen: Point
    frontier: tuple[Point, ...]
    trained: Trained
    objective: Objective
    original: State
    images: int
    selected: int

    @property
    def met(self) -> bool:
        """Whether the wishes are met on the selection split."""
        return self.chosen.met


def make_alpha(wishes: Sequence[Wish], start: float) -> Alpha:
    """The multiplier that serves the wishes: of the penalty where a change is bounded, else of the loss."""
    bounded = any(wish.perturbation is not None for wish in wishes)
    return Multiplier("penalty" if bounded else "loss", start)


def mend(
    subject: Subject, fit: Pool, selection: Selection, neighbourhood: Neighbourhood, settings: Settings, *,
    alpha: Alpha, share: float, copies: float, freeze: bool, looks: int, folder: Path, progress: Progress,
    fabric: Any = None,
) -> Mended:  # fmt: skip
    """Fine-tune the subject's network in place and leave the chosen weights in it."""
    student = Student.of(subject)
    teacher = copy.deepcopy(student).eval().requires_grad_(False)
    original = copy.deepcopy(student.network.state_dict())
    student.keeps_statistics = freeze
    constraint = ContinuityConstraint(neighbourhood, options=Options(share=share), seed=settings.seed)
    objective = load("objectives", "distillation")(teacher, constraint, alpha, copies=copies)
    every, moves = max(1, settings.steps // looks), range(1, round(0.8 * settings.steps))
    repairer = Repairer(selection, subject, alpha, every, moves, progress)
    progress.say(told(repairer.look("original", student.network), selection.wishes))
    trained = train(
        student, fit, objective, settings, folder=folder, progress=progress, observer=repairer, fabric=fabric
    )
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
    return Mended(point, tuple(repairer.points), trained, objective, original, len(fit), len(selection.pool))


def between(first: State, second: State, place: float) -> State:
    """Weights and statistics a share of the way from the first to the second; counters of the second."""
    return {
        name: torch.lerp(first[name], value, place) if value.is_floating_point() else value
        for name, value in second.items()
    }
