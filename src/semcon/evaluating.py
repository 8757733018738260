"""What every evaluation is: a question put to a model on the images of an audit, answered with rows of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import polars as pl
from torch import Tensor

from semcon.core.concepts import Gauge
from semcon.core.errors import SemconError
from semcon.core.measured import Measured
from semcon.core.pictured import ExplainedEntry, MapRecord
from semcon.core.record import Estimate, Finding, PerturbationRecord
from semcon.core.registry import file_name
from semcon.core.table import SampleTable
from semcon.grouping.attributes import Attributes
from semcon.loading import Batch
from semcon.measuring.eye import Eye
from semcon.measuring.gauges import choose_gauges, inert
from semcon.measuring.plan import PRIMARY, Plan, Trial
from semcon.measuring.references import Index, References
from semcon.measuring.trial_run import Besides, Clean
from semcon.measuring.two_passes import Keeper, Reader, two_passes
from semcon.progress import Progress
from semcon.report.numbers import words
from semcon.subject import Subject
from semcon.transferring.target import Target

Looked = tuple[Eye, References]
"""What was looked with, and the yardsticks."""


@dataclass(frozen=True)
class Setting:
    """What an evaluation may depend on when it is planned.

    `height`, `width`: of the canvas. `gradients`: whether the model has them. `labelled`, `masks`: whether the data
    have them. `limits`: severities that these data bear, by perturbation. `eps`: the L-infinity sizes that attacks get,
    in 1/255; None leaves them to the budget. `autoattack`: whether it was asked for by name. `target`: the data set to
    transfer to, `transfer_layer` and `shots` as asked for. `attributes`:
    the groups of every image; `classes`: the names of the labels. `trials`: the perturbations that the user named.
    `reference`: a network that judges where geometry changes. `explanations`: their names, `grad_cam:LAYER` with a
    layer of the user's; None leaves them to the budget.
    """

    budget: str
    height: int
    width: int
    seed: int = 0
    gradients: bool = True
    labelled: bool = True
    masks: bool = False
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    eps: tuple[float, ...] | None = None
    autoattack: bool = False
    target: Target | None = None
    transfer_layer: str | None = None
    shots: tuple[int, ...] | None = None
    attributes: Attributes | None = None
    classes: tuple[str, ...] | None = None
    trials: tuple[Trial, ...] = ()
    reference: Subject | None = None
    explanations: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Pictured:
    """An entry of a gallery whose pictures are still to be saved: `tiles` (3, H, W) in [0, 1], by role.

    The entry's predictions are numbers of outputs.
    """

    entry: ExplainedEntry
    tiles: Mapping[str, Tensor]


@dataclass(frozen=True)
class Conclusion:
    """What an evaluation says: sentences for people, pictures of numbers, doubts, estimates besides every table's.

    `pictures`: a gallery of its own.
    """

    verdict: tuple[str, ...] = ()
    maps: tuple[MapRecord, ...] = ()
    findings: tuple[Finding, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    pictures: tuple[Pictured, ...] = ()


class Evaluation(ABC):
    """One file each in `evaluations/`; frozen dataclasses whose fields are their settings.

    `own_images`: whether its rows are of the audit's images, not of others. `at_once`: whether all rows come as one
    part, which is there or not. `needs`: what it cannot do without:
    "labels", "gradients", "masks".
    """

    question: ClassVar[str]
    own_images: ClassVar[bool] = True
    at_once: ClassVar[bool] = False
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def planned(cls, setting: Setting) -> Self:
        """As a budget has it. Errors: `SemconError` for images that it cannot be made on."""

    def settled(self, subject: Subject, probe: Batch) -> Self:
        """For this network and these images, of which `probe` has some."""
        return self

    @abstractmethod
    def passes(self, subject: Subject) -> float:
        """Forward passes per image, a backward pass counted as two: what the time estimate rests on."""

    def rehearsal(self) -> Self | None:
        """What is made on a few images to see how long an image takes; None where `passes` tells it well enough."""
        return None

    def closing(self) -> float:
        """Forward passes that do not grow with the images of the audit, such as those of `conclude`."""
        return 0.0

    @abstractmethod
    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """What the rows' column `perturbation` may hold."""

    def measured(self) -> Measured:
        """What rules may speak of."""
        severities = {one.name: one.severities for one in self.attempts()}
        return Measured(severities, (PRIMARY,), worst=False, critical=False)

    @abstractmethod
    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> Looked | None:
        """Hand every part of the table to `keep`, leaving out the positions in `skip` (measured before).

        Returns what a gallery is made with, where there can be one.
        """

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """After the rows."""
        return Conclusion()

    def class_names(self) -> tuple[str, ...] | None:
        """Of the labels in its rows, where these are not the model's outputs."""
        return None

    def tells(self, estimate: Estimate, table: SampleTable) -> bool:
        """Whether a figure of its table means what its name says."""
        return True

    def settings(self) -> dict[str, Any]:
        """What the rows depend on, as plain JSON: what a resumed run and a comparison must share."""
        found: dict[str, Any] = {"version": self.version}
        for name, value in _fields(self).items():
            found |= _plan_settings(value) if isinstance(value, Plan) else {name: _plain(value)}
        return found


@dataclass(frozen=True)
class TrialEvaluation(Evaluation):
    """An evaluation that perturbs, looks and compares, as continuity does.

    `idle`: the perturbations of the plan that change nothing in these images, left out.
    """

    plan: Plan
    idle: tuple[str, ...] = ()

    def settled(self, subject: Subject, probe: Batch) -> Self:
        """With gauges, and without the perturbations that leave these images as they are."""
        idle = tuple(one.name for one in self.plan.trials if inert(one, probe, self.plan.seed, subject.device))
        kept = tuple(one for one in self.plan.trials if one.name not in idle)
        if not kept:
            raise SemconError(f"no perturbation changes these images: {', '.join(idle)} leave them as they are")
        return replace(self, plan=replace(self.plan, gauges=tuple(self.gauges(subject)), trials=kept), idle=idle)

    def gauges(self, subject: Subject) -> Sequence[Gauge]:
        """What is looked at: pixels (the control) and centred logits."""
        return choose_gauges(subject, (), (("logits", "l2"),))

    def passes(self, subject: Subject) -> float:
        """The plan's."""
        return self.plan.passes(gradients=subject.differentiable)

    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """The plan's trials."""
        return tuple(trial_record(trial, self.plan.draws) for trial in self.plan.trials)

    def measured(self) -> Measured:
        """With the plan's gauges, searches and critical severities."""
        gauges = tuple(gauge.name for gauge in self.plan.gauges)
        return replace(
            super().measured(), gauges=gauges, worst=self.plan.worst is not None, critical=self.plan.critical
        )

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> Looked:
        """Two passes."""
        return two_passes(
            self.plan, subject, index, read, skip=skip, keep=keep, progress=progress,
            title=words(file_name(type(self))), more=self.more(subject, progress),
            passes=self.passes(subject) - self.plan.passes(gradients=subject.differentiable),
            columns=self.columns, besides=self.besides(subject, progress),
        )  # fmt: skip

    @property
    def columns(self) -> tuple[str, ...]:
        """Further columns of the rows."""
        return ()

    def besides(self, subject: Subject, progress: Progress) -> Callable[[Clean], Besides] | None:
        """What measures the further `columns`, made for every untouched batch; `passes` counts it too."""
        return None

    def more(self, subject: Subject, progress: Progress) -> Callable[[Batch], pl.DataFrame] | None:
        """Further rows of a batch, with some of the table's columns; `passes` counts them too."""
        return None


def trial_record(trial: Trial, draws: int) -> PerturbationRecord:
    """A trial as the record keeps it."""
    one = trial.perturbation
    return PerturbationRecord(
        name=trial.name, family=one.family, unit=one.unit, source=one.source, kind=one.kind, parameters=one.parameters,
        version=one.version, severities=trial.severities, draws=trial.draws(draws),
    )  # fmt: skip


def _fields(evaluation: Evaluation) -> dict[str, Any]:
    """The fields of an evaluation by name."""
    return {one.name: getattr(evaluation, one.name) for one in fields(evaluation) if one.name != "idle"}  # pyright: ignore[reportArgumentType]


def _plan_settings(plan: Plan) -> dict[str, Any]:
    """What rows depend on in a plan."""
    return {
        "seed": plan.seed, "draws": plan.draws, "critical": plan.critical, "gradient_norm": plan.gradient_norm,
        "worst": None if plan.worst is None else asdict(plan.worst), "gauges": [gauge.name for gauge in plan.gauges],
        "perturbations": [
            [trial.name, trial.perturbation.version, list(trial.severities), list(trial.ladder)]
            for trial in plan.trials
        ],
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """A setting as JSON."""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
