"""One perturbation over one batch: draws, the worst case, the critical severity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Unit
from semcon.keyed import Keys
from semcon.measuring.eye import Eye, change_objective
from semcon.measuring.fitting import nothing
from semcon.measuring.plan import PRIMARY, Trial
from semcon.measuring.references import Yardstick
from semcon.measuring.row_writer import RowWriter
from semcon.search import SearchSettings, bisect, worst_case


@dataclass(frozen=True)
class Clean:
    """The untouched batch: its canvas and ids, flat vectors per representation and what follows from them."""

    x: Tensor
    ids: Tensor
    vectors: dict[str, Tensor]
    yardsticks: dict[str, Yardstick]
    prediction: Tensor
    confidence: Tensor
    gradient_norm: Tensor
    context: Context | None = None


@dataclass(frozen=True)
class Drawn:
    """One draw of a perturbation: the copies (B, 3, H, W) and what the model predicts on them (B,)."""

    trial: Trial
    unit: Unit
    severity: float
    copies: Tensor
    prediction: Tensor


Besides = Callable[[Drawn], list[Tensor]]
"""What else is measured of copies: further columns, (B,) each, NaN where unknown."""


class TrialRun:
    """One perturbation over one batch; `besides`: what else is measured of the copies."""

    def __init__(
        self, eye: Eye, trial: Trial, clean: Clean, rows: RowWriter, advance: Callable[[float], None] = nothing,
        besides: Besides | None = None,
    ) -> None:  # fmt: skip
        self.besides = besides
        self.eye, self.trial, self.clean, self.rows, self.advance = eye, trial, clean, rows, advance
        self.plan, self.perturbation, self.x, self.ids = eye.plan, trial.perturbation, clean.x, clean.ids
        self.predictions: dict[tuple[float, int], Tensor] = {}
        self.margins: dict[tuple[float, int], Tensor] = {}
        self.changes: dict[tuple[float, int], Tensor] = {}

    def unit(self, draw: int) -> Unit:
        """The parameters of a draw."""
        return self.perturbation.sample(Keys(self.ids, self.plan.seed, draw, self.trial.name, self.x.device), self.x)

    def record(self) -> None:
        """Random draws, then the worst case and the critical severity where they are wanted."""
        draws = self.trial.draws(self.plan.draws)
        for draw in range(draws):
            unit = self.unit(draw)
            for severity in self.trial.severities:
                self._row(unit, severity, draw, "random", None)
        if self.plan.worst is not None:
            for severity in self.trial.severities:
                self._worst(severity, draws, self.plan.worst)
        if self.plan.critical:
            self.rows.critical(self.trial.name, self._critical(draws), max(self.trial.ladder))

    def _row(self, unit: Unit, severity: float, draw: int, draws: str, method: str | None) -> None:
        copies = self.perturbation(self.x, unit, severity, self.clean.context)
        view = self.eye.view(copies)
        vectors = self.eye.vectors(view)
        probability, prediction = view.logits.softmax(1), view.logits.argmax(1)
        confidence = probability.gather(1, self.clean.prediction[:, None]).squeeze(1)
        values = [prediction.float(), confidence.float()]
        for gauge in self.plan.gauges:
            name = gauge.representation.name
            change = gauge.distance(self.clean.vectors[name], vectors[name])
            values += [change, self.clean.yardsticks[gauge.name].nearer(change).float()]
            if gauge.name == PRIMARY and draws == "random":
                self.changes[severity, draw] = change
        if self.besides is not None:
            values += self.besides(Drawn(self.trial, unit, severity, copies, prediction))
        if draws == "random":
            self.predictions[severity, draw] = prediction
            self.margins[severity, draw] = _margin(view.logits, self.clean.prediction)
        self.rows.add(self.trial.name, severity, draws, draw, method, torch.stack(values))
        self.advance(len(self.x))

    def _worst(self, severity: float, draws: int, settings: SearchSettings) -> None:
        gradients = self.eye.subject.differentiable
        method = settings.method(self.perturbation, gradients=gradients, known=draws)
        searches = (
            ("worst_change", change_objective(self.eye, self.clean.vectors), self.changes),
            ("worst_flip", self._margin_objective, self.margins),
        )
        for kind, objective, measured in searches:
            best = worst_case(
                self.perturbation, self.x, severity, self.unit, objective=objective, settings=settings,
                gradients=gradients, known=[measured[severity, draw] for draw in range(draws)],
                context=self.clean.context,
            )  # fmt: skip
            self.advance(len(self.x) * self.plan.search_passes(self.trial, gradients=gradients))
            self._row(best.unit, severity, 0, kind, method)

    def _margin_objective(self, copy: Tensor) -> Tensor:
        return _margin(self.eye.subject(copy), self.clean.prediction)

    def _critical(self, draws: int) -> Tensor:
        """Smallest severity over the draws at which the prediction first changes, (B,); inf where it never does."""
        ladder = self.trial.ladder
        first = torch.full((draws, len(self.x)), len(ladder), dtype=torch.int64, device=self.x.device)
        for draw in range(draws):
            for rung in reversed(range(len(ladder))):
                prediction = self.predictions.get((ladder[rung], draw))
                if prediction is None:
                    copy = self.perturbation(self.x, self.unit(draw), ladder[rung], self.clean.context)
                    prediction = self.eye.subject(copy).argmax(1)
                first[draw][prediction != self.clean.prediction] = rung
        lowest = first.min(0).values
        critical = self.x.new_full((len(self.x),), torch.inf)
        steps = self.x.new_tensor((0.0, *ladder, torch.inf))
        for draw in range(draws):
            rows = torch.nonzero((first[draw] == lowest) & (lowest < len(ladder))).flatten()
            if len(rows):
                found = self._bisected(draw, rows, steps[lowest[rows]], steps[lowest[rows] + 1])
                critical[rows] = torch.minimum(critical[rows], found)
        return critical

    def _bisected(self, draw: int, rows: Tensor, low: Tensor, high: Tensor) -> Tensor:
        if self.perturbation.kind == "binary":
            return high
        unit = {name: value[rows] for name, value in self.unit(draw).items()}
        x, prediction = self.x[rows], self.clean.prediction[rows]
        context = None if self.clean.context is None else self.clean.context.of(rows)

        def flips(severity: Tensor) -> Tensor:
            return self.eye.subject(self.perturbation(x, unit, severity, context)).argmax(1) != prediction

        return bisect(flips, low, high, discrete=self.perturbation.kind == "discrete")


def _margin(logits: Tensor, prediction: Tensor) -> Tensor:
    """Best other logit minus the predicted one: positive where the prediction has changed."""
    own = logits.gather(1, prediction[:, None])
    return logits.scatter(1, prediction[:, None], -torch.inf).max(1).values - own.squeeze(1)
