"""Adversarial: how small a change, chosen against the model, makes it err?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import polars as pl
import torch

from semcon.attacking.attempt import Attempt
from semcon.attacking.autoattack import installed, need
from semcon.attacking.batch_run import AttackSettings, BatchRun, scores_of, to_leave
from semcon.attacking.eps import eps_ladder
from semcon.attacking.goal import gives_probabilities
from semcon.attacking.masking import doubts
from semcon.attacking.suspect import Suspect
from semcon.core.errors import SemconError
from semcon.core.measured import Measured
from semcon.core.record import Estimate, Finding, PerturbationRecord
from semcon.core.registry import load
from semcon.core.summary import Summary, to_estimates
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Evaluation, Setting
from semcon.loading import Batch
from semcon.measuring.fitting import fitting
from semcon.measuring.references import Index
from semcon.measuring.two_passes import Keeper, Reader, keep_often, left_of
from semcon.progress import Progress
from semcon.report.numbers import percent, words
from semcon.subject import Subject

_STRENGTH: dict[str, dict[str, Any]] = {
    "fast": {},
    "standard": {"steps": 20, "restarts": 2, "rounds": 5, "draws": 3, "samples": 20, "queries": 300},
    "full": {"steps": 50, "restarts": 5, "rounds": 8, "draws": 10, "samples": 50, "queries": 1000},
}
PROBE = 64  # images that the doubts about the numbers are settled on
CLOSING = 30_000  # forward passes that these take together, roughly
AUTOATTACK = 5000  # forward passes per image, roughly
SHARE = 0.5  # of its most passes that an attack takes, roughly: most images fall before


@dataclass(frozen=True)
class Adversarial(Evaluation):
    """Attacks at a ladder of sizes each, and the smallest size that topples each image.

    An image is toppled where the model's class is not its label, or not the untouched image's class where there is no
    label; images that are wrong from the start fall at 0. `linf`, `l2`: sizes in 1/255; `color_jitter` and
    `rotation_translation`: severities, random `draws` beside the worst case. `steps`, `restarts`, `momentum`: of the
    gradient; `rounds` of bisection, with a half as many steps each; `samples`: draws tried where there are few
    parameters; `queries`: of the attack without gradients; `autoattack`: its sizes, none to leave it out.
    """

    question: ClassVar[str] = "How small a change, chosen against the model, makes it err?"
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ()

    seed: int = 0
    gradients: bool = True
    linf: tuple[float, ...] = (0.5, 2.0, 4.0, 8.0)
    l2: tuple[float, ...] = ()
    color_jitter: tuple[float, ...] = ()
    rotation_translation: tuple[float, ...] = ()
    steps: int = 10
    restarts: int = 1
    momentum: float = 0.0
    rounds: int = 4
    draws: int = 1
    samples: int = 10
    queries: int = 100
    autoattack: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for norm in ("linf", "l2"):
            object.__setattr__(self, norm, eps_ladder(getattr(self, norm), norm))
        object.__setattr__(self, "autoattack", eps_ladder(self.autoattack))

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """fast: L-inf at four sizes, PGD 10x1. standard: 20x2, seven sizes, L2. full: 50x5, AutoAttack if it is there.

        Without gradients: the score-based attack, and the best of the draws for colour and geometry.
        """
        common: dict[str, Any] = {"seed": setting.seed, "gradients": setting.gradients}
        rungs = (0, 2, 4) if setting.budget == "fast" else (0, 1, 2, 3, 4)
        for name, alike in (("color_jitter", "color_jitter"), ("rotation_translation", "rotation")):
            limit = min(setting.limits.get(name, float("inf")), setting.limits.get(alike, float("inf")))
            ladder = load("perturbations", name).ladder
            common[name] = tuple(ladder[rung] for rung in rungs if ladder[rung] <= limit)
        if setting.autoattack or (setting.budget == "full" and installed() and setting.gradients):
            common["autoattack"] = setting.eps or (2.0, 8.0)
        if setting.budget != "fast":
            common["linf"], common["l2"] = (0.25, 0.5, 1, 2, 4, 8, 16), (16, 32, 64, 128, 256, 512)
        if setting.eps is not None:
            common["linf"] = setting.eps
        return cls(**(common | _STRENGTH[setting.budget]))

    def settled(self, subject: Subject, probe: Batch) -> Self:
        """As it is. Errors: `MissingPackageError` where AutoAttack is asked for and not installed."""
        if self.autoattack:
            need()
            if not subject.differentiable:
                raise SemconError("AutoAttack needs gradients, and none reaches the image through this model")
        return self

    def passes(self, subject: Subject) -> float:
        """About as many as most models need; a model that withstands takes up to twice as many."""
        return 1 + sum(attempt.passes for attempt in self._attempts(subject.differentiable))

    def rehearsal(self) -> Self:
        """All but AutoAttack, whose small batches take as long as large ones."""
        return replace(self, autoattack=())

    def closing(self) -> float:
        """The questions about masked gradients, about."""
        return CLOSING * self.gradients

    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """One for every attack."""
        return tuple(attempt.record(self.draws) for attempt in self._attempts(self.gradients))

    def measured(self) -> Measured:
        """Worst cases, and the smallest size of each."""
        return replace(super().measured(), worst=True, critical=True)

    def run(
        self, subject: Subject, index: Index, read: Reader, *, skip: set[int], keep: Keeper, progress: Progress
    ) -> None:
        """One pass over the images, all attacks on a batch before the next."""
        attempts, total = self._attempts(subject.differentiable), self.passes(subject)

        def work(batch: Batch) -> SampleTable:
            return BatchRun(self._strength, subject, batch, progress.advance).table(attempts)

        parts = (SampleTable.concat(list(fitting(batch, work, progress.say))) for batch in read(left_of(index, skip)))
        with progress.task("adversarial", total=total * len(index.ids), done=total * len(skip)):
            keep_often(parts, keep)

    def tells(self, estimate: Estimate, table: SampleTable) -> bool:
        """With labels images that are wrong from the start are not attacked: no worst case of their flips is known."""
        return not (table.labelled and estimate.draws == "worst" and estimate.quantity in ("flip", "confidence_drop"))

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """The robust accuracy in a sentence, and every doubt about it."""
        attack = "pgd_linf" if subject.differentiable else "square_linf"
        verdict = [self._sentence(table, attack)]
        if gives_probabilities(subject, probe.x[:1].to(subject.device)):
            verdict.append("The outputs are probabilities: the attacks take their logarithm, which undoes the softmax.")
        if not subject.differentiable:
            return Conclusion(tuple(verdict), findings=(_no_gradient(self.queries),))
        return Conclusion(tuple(verdict), findings=tuple(self._doubts(subject, table, probe)))

    def _sentence(self, table: SampleTable, attack: str) -> str:
        """The robust accuracy as the estimates have it; without labels the share that keeps its class."""
        summary = Summary(table, self.seed, only=(), subsets="all")
        quantity = "accuracy" if table.labelled else "flip"
        found = {
            one.severity: one
            for figures in summary.cells(attack)
            for one in to_estimates(figures)
            if (one.quantity, one.draws) == (quantity, "worst")
        }
        shares = [(eps, _share(found[eps], stay=table.labelled)) for eps in self.linf]
        standing = ", ".join(f"{share} at {eps:g}/255" for eps, share in shares)
        if not table.labelled:
            return f"The class of the untouched image withstands {words(attack)} in {standing}."
        untouched = _share(to_estimates(next(summary.untouched()))[0], stay=True)
        return f"Of the images {untouched} are right when untouched; under {words(attack)} {standing} stay so."

    def _doubts(self, subject: Subject, table: SampleTable, probe: Batch) -> list[Finding]:
        found = table.rows.filter((pl.col("perturbation") == "pgd_linf") & (pl.col("draws") == "critical"))
        sizes = dict(found.select("position", pl.col("critical").fill_null(float("inf"))).iter_rows())
        probe = probe.part(slice(PROBE))
        x, scores = probe.x.to(subject.device), scores_of(subject)
        with torch.no_grad():
            clean = torch.cat([scores(part) for part in x.split(32)])
        critical = torch.tensor([sizes.get(position, 0.0) for position in probe.positions.tolist()])
        suspect = Suspect(
            scores=scores, x=x, leave=to_leave(probe, clean), ids=probe.ids, critical=critical.to(x),
            sizes=self.linf, seed=self.seed,
        )  # fmt: skip
        return doubts(suspect)

    @property
    def _strength(self) -> AttackSettings:
        return AttackSettings(
            self.steps, self.restarts, self.momentum, self.rounds, self.draws, self.samples, self.queries, self.seed
        )

    def _attempts(self, gradients: bool) -> list[Attempt]:
        """What is run on each batch, in this order."""
        climb, climbed = f"gradient {self.steps}x{self.restarts}", self.restarts * (3 * self.steps + 1)
        attempts: list[Attempt] = []
        if gradients:
            attempts += [
                Attempt("fgsm_linf", "linf", self.linf, "1 step, cross-entropy", 3 + len(self.linf)),
                Attempt("pgd_linf", "linf", self.linf, climb, self._cost(climbed, self.linf)),
                Attempt("pgd_l2", "l2", self.l2, climb, self._cost(climbed, self.l2)),
            ]
        else:
            method = f"square, {self.queries} queries"
            attempts.append(Attempt("square_linf", "linf", self.linf, method, self._cost(self.queries, self.linf)))
        samples = max(self.samples, self.draws)
        method = f"best of {samples}" + (f", then {climb}" if gradients else "")
        for name, ladder in (("color_jitter", self.color_jitter), ("rotation_translation", self.rotation_translation)):
            cost = self.draws * len(ladder) + self._cost(samples + climbed * gradients, ladder)
            attempts.append(Attempt(f"{name}_attack", name, ladder, method, cost))
        if gradients:
            attempts.append(
                Attempt("autoattack_linf", "linf", self.autoattack, "standard", AUTOATTACK * len(self.autoattack))
            )
        return [attempt for attempt in attempts if attempt.ladder]

    def _cost(self, once: float, ladder: tuple[float, ...]) -> float:
        """Passes per image of bisections: over the ladder, and between two rungs."""
        return SHARE * (once * len(ladder).bit_length() + self.rounds * once / max(1, self.restarts) / 2)


def _share(one: Estimate, *, stay: bool) -> str:
    """`62 % [58 %, 66 %]`; where they do not `stay`, of the rest."""
    ends = [one.mean or 0, one.low or 0, 1 if one.high is None else one.high]
    mean, low, high = ends if stay else (1 - ends[0], 1 - ends[2], 1 - ends[1])
    return f"{percent(mean)} [{percent(low)}, {percent(high)}]"


def _no_gradient(queries: int) -> Finding:
    return Finding(
        code="adversarial-without-gradients", severity="note",
        message=f"no gradient reaches the image through this model: a score-based attack of {queries} queries and the "
        "best of random draws stand in, so that the robust accuracy is an upper bound, and a loose one",
        remedy="hand over the nn.Module itself, without detach or no_grad inside, or raise the queries",
    )  # fmt: skip
