"""Perturb, look, compare: one row per image, perturbation, severity and draw, and nothing else.

Every mean, interval and figure is made later, from the rows. Draws are keyed by the image, so nothing here depends on
the batch size, the order of the images or the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import polars as pl
import torch
from torch import Tensor

from semcon.core.concepts import Gauge, Perturbation, Unit, View
from semcon.core.errors import SemconError
from semcon.core.record import GaugeInfo
from semcon.core.table import SampleTable
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.projection import SIZE, Projection
from semcon.references import References, Yardstick
from semcon.row_writer import RowWriter, not_finite
from semcon.search import SearchSettings, bisect, searchable, worst_case
from semcon.subject import Subject

PRIMARY = "logits.l2"
Result = TypeVar("Result")


def _nothing(_: object) -> None:
    """Where nobody listens."""


@dataclass(frozen=True)
class Trial:
    """One perturbation with the severities it is tried at. `limit`: the highest that these images bear."""

    name: str
    perturbation: Perturbation
    severities: tuple[float, ...]
    limit: float = math.inf

    @property
    def ladder(self) -> tuple[float, ...]:
        """The default severities up to the limit: what the critical severity is looked for on."""
        return tuple(severity for severity in self.perturbation.ladder if severity <= self.limit)

    def draws(self, wanted: int) -> int:
        """One where there is nothing to draw."""
        return 1 if self.perturbation.parameters == "fixed" else wanted


@dataclass(frozen=True)
class Plan:
    """What is measured: the settings that rows depend on, and nothing about devices or batches."""

    trials: tuple[Trial, ...]
    gauges: tuple[Gauge, ...]
    draws: int = 1
    seed: int = 0
    worst: SearchSettings | None = None
    critical: bool = False
    gradient_norm: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose outputs the gauges read."""
        return tuple(dict.fromkeys(layer for gauge in self.gauges for layer in gauge.representation.layers))

    @property
    def primary(self) -> Gauge:
        """The gauge that the worst case is searched on: centred logits, L2."""
        return next(gauge for gauge in self.gauges if gauge.name == PRIMARY)

    def search_passes(self, trial: Trial, *, gradients: bool) -> float:
        """Forward passes per image of one search at one severity."""
        if self.worst is None or trial.perturbation.parameters == "fixed":
            return 0.0
        climbs = gradients and searchable(trial.perturbation)
        more = max(0, self.worst.best_of - self.draws)
        return 1.0 + (self.worst.restarts * (3 * self.worst.steps + 1) if climbs else more)

    def copies(self, trial: Trial, *, gradients: bool) -> float:
        """Forward passes per image for one perturbation, a backward pass counted as two."""
        draws = trial.draws(self.draws)
        total = draws * len(trial.severities)
        total += 2 * len(trial.severities) * self.search_passes(trial, gradients=gradients)
        if self.critical:
            total += draws * len(set(trial.ladder) - set(trial.severities))
            total += 5 if trial.perturbation.kind == "continuous" else 1
        return total

    def passes(self, *, gradients: bool) -> float:
        """The same for all of them and the untouched image: what the time estimate rests on."""
        clean = 3.0 if self.gradient_norm and gradients else 1.0
        return clean + sum(self.copies(trial, gradients=gradients) for trial in self.trials)


@dataclass(frozen=True)
class Clean:
    """What the untouched batch shows: flat vectors per representation and what follows from them."""

    vectors: dict[str, Tensor]
    yardsticks: dict[str, Yardstick]
    prediction: Tensor
    confidence: Tensor
    gradient_norm: Tensor


class Eye:
    """Looks at a canvas through a subject: flat vectors per representation, sketched where distances to many count.

    Only plain vectors are sketched: the places of logits and probabilities are classes, which a sketch would mix.
    """

    def __init__(self, subject: Subject, plan: Plan) -> None:
        self.subject, self.plan = subject, plan
        self.gauges = {gauge.representation.name: gauge for gauge in plan.gauges}

    def view(self, x: Tensor) -> View:
        """One forward pass with the layers that the gauges read."""
        return self.subject.view(x, self.plan.layers)

    def vectors(self, view: View) -> dict[str, Tensor]:
        """(B, D) float32 per representation."""
        return {name: gauge.representation(view).flatten(1).to(torch.float32) for name, gauge in self.gauges.items()}

    def sketch(self, vectors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same, plain vectors of more than 4096 elements projected."""
        return {name: self.projection(name, value.shape[1])(value) for name, value in vectors.items()}

    def projection(self, name: str, dimension: int) -> Projection:
        """The seeded projection for the vectors of a representation: the identity up to 4096, and for classes."""
        whole = self.gauges[name].representation.gives != "vector"
        return Projection(dimension, self.plan.seed, size=dimension if whole else SIZE)


def look_at_references(
    eye: Eye, batches: Iterable[Batch], references: References, note: Callable[[str], None] = _nothing
) -> list[GaugeInfo]:
    """First pass: fill in the references' vectors (in their own order) and describe the gauges."""
    order = {position: row for row, position in enumerate(references.positions.tolist())}

    def look(batch: Batch) -> list[GaugeInfo]:
        x = batch.x.to(eye.subject.device)
        with torch.no_grad():
            vectors = eye.vectors(eye.view(x))
        _check_finite(batch, vectors)
        rows = torch.tensor([order[position] for position in batch.positions.tolist()], device=x.device)
        for name, value in eye.sketch(vectors).items():
            if name not in references.vectors:
                references.vectors[name] = value.new_zeros(len(references.positions), value.shape[1])
            references.vectors[name][rows] = value
        return [_describe(eye, gauge, vectors[gauge.representation.name]) for gauge in eye.plan.gauges]

    infos: list[GaugeInfo] = []
    for batch in batches:
        infos, *_ = fitting(batch, look, note)
    return infos


def fitting(batch: Batch, work: Callable[[Batch], Result], note: Callable[[str], None] = _nothing) -> Iterator[Result]:
    """The work on a batch, in halves where memory is short: draws are keyed, so that this changes no number."""
    try:
        yield work(batch)
        return
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
        if len(batch.x) == 1:
            raise SemconError(
                "out of memory with one image at a time: use a smaller --size or another --device"
            ) from None
    note(f"out of memory with {len(batch.x)} images at a time: going on with half as many")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    for half in batch.halves():
        yield from fitting(half, work, note)


def _check_finite(batch: Batch, vectors: dict[str, Tensor]) -> None:
    """Errors: `SemconError` naming the first representation and the images for which it is NaN or infinite."""
    bad = {name: ~value.sum(1).isfinite() for name, value in vectors.items()}
    for name, images in bad.items():
        if bool(images.any()):
            raise not_finite(batch, images, name, "untouched")


def _describe(eye: Eye, gauge: Gauge, vectors: Tensor) -> GaugeInfo:
    projection = eye.projection(gauge.representation.name, vectors.shape[1])
    return GaugeInfo(
        name=gauge.name,
        representation=gauge.representation.name,
        distance=gauge.distance_name,
        dimension=vectors.shape[1],
        projected=projection.size if projection.active else None,
        projection_error=projection.error if projection.active else None,
        homogeneous=gauge.distance.homogeneous and gauge.representation.gives != "probabilities",
    )


@dataclass(frozen=True)
class Measurement:
    """The second pass over one subject: batches in, table parts out."""

    eye: Eye
    references: References
    infos: tuple[GaugeInfo, ...]
    advance: Callable[[float], None] = _nothing
    note: Callable[[str], None] = _nothing

    @property
    def plan(self) -> Plan:
        """The settings."""
        return self.eye.plan

    def run(self, batches: Iterable[Batch]) -> Iterator[SampleTable]:
        """One table part per batch; a batch that does not fit in memory is halved, which changes no number."""
        for batch in batches:
            yield SampleTable.concat(list(fitting(batch, self._measure, self.note)))

    def _measure(self, batch: Batch) -> SampleTable:
        x = batch.x.to(self.eye.subject.device, non_blocking=True)
        ids, labels = batch.ids.to(x.device), batch.labels.to(x.device)
        clean = self._clean(x, batch.positions.to(x.device), ids, labels)
        _check_finite(batch, clean.vectors)
        rows = RowWriter(self.infos, batch)
        for trial in self.plan.trials:
            with torch.no_grad():
                _TrialRun(self, trial, x, ids, clean, rows).record()
        return SampleTable(self._images(batch, clean), rows.frame(), self.infos)

    def _clean(self, x: Tensor, positions: Tensor, ids: Tensor, labels: Tensor) -> Clean:
        norm = x.new_full((len(x),), torch.nan)
        if self.plan.gradient_norm and self.eye.subject.differentiable:
            with torch.enable_grad():
                source = x.detach().requires_grad_()
                view = self.eye.view(source)
                norm = _relative_gradient(view.logits, source)
            layers = {name: value.detach() for name, value in view.layers.items()}
            vectors = self.eye.vectors(View(x, view.logits.detach(), layers))
        else:
            with torch.no_grad():
                vectors = self._recalled(x, positions)
        sketches = self.eye.sketch(vectors)
        yardsticks = {
            gauge.name: self.references.yardstick(gauge, sketches[gauge.representation.name], ids, labels)
            for gauge in self.plan.gauges
        }
        confidence, prediction = vectors[self.plan.primary.representation.name].softmax(1).max(1)
        self.advance(len(x))
        return Clean(vectors, yardsticks, prediction, confidence, norm)

    def _recalled(self, x: Tensor, positions: Tensor) -> dict[str, Tensor]:
        """The clean vectors; references whose vectors are kept whole need no second forward pass."""
        if any(info.projected for info in self.infos):
            return self.eye.vectors(self.eye.view(x))
        known = self.references.rows(positions)
        new = known < 0
        vectors = {name: kept[known.clamp(min=0)] for name, kept in self.references.vectors.items()}
        if bool(new.any()):
            for name, value in self.eye.vectors(self.eye.view(x[new])).items():
                vectors[name][new] = value
        return vectors

    def _images(self, batch: Batch, clean: Clean) -> pl.DataFrame:
        chosen = set(self.references.positions.tolist())
        positions = batch.positions.tolist()
        columns: dict[str, object] = {
            "position": positions,
            "sample": batch.ids.tolist(),
            "title": list(batch.titles),
            "label": [label if label >= 0 else None for label in batch.labels.tolist()],
            "prediction": clean.prediction.cpu().numpy(),
            "confidence": clean.confidence.float().cpu().numpy(),
            "gradient_norm": _nullable(clean.gradient_norm),
            "reference": [position in chosen for position in positions],
        }
        labelled = batch.labels.numpy() >= 0
        for number, gauge in enumerate(self.plan.gauges):
            stick = clean.yardsticks[gauge.name]
            if number == 0:
                others = stick.others.cpu().numpy()
                columns["others"] = [int(n) if known else None for n, known in zip(others, labelled, strict=True)]
            columns[f"{gauge.name}.spread"] = _nullable(stick.spread)
            columns[f"{gauge.name}.within"] = _nullable(stick.within)
        return pl.DataFrame(columns, schema_overrides=SampleTable.image_schema(self.infos), strict=False)


class _TrialRun:
    """One perturbation over one batch."""

    def __init__(self, owner: Measurement, trial: Trial, x: Tensor, ids: Tensor, clean: Clean, rows: RowWriter) -> None:
        self.owner, self.trial, self.x, self.ids, self.clean, self.rows = owner, trial, x, ids, clean, rows
        self.plan, self.eye, self.perturbation = owner.plan, owner.eye, trial.perturbation
        self.predictions: dict[tuple[float, int], Tensor] = {}
        self.margins: dict[tuple[float, int], Tensor] = {}
        self.changes: dict[tuple[float, int], Tensor] = {}

    def unit(self, draw: int) -> Unit:
        return self.perturbation.sample(Keys(self.ids, self.plan.seed, draw, self.trial.name), self.x)

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
        view = self.eye.view(self.perturbation(self.x, unit, severity))
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
        if draws == "random":
            self.predictions[severity, draw] = prediction
            self.margins[severity, draw] = _margin(view.logits, self.clean.prediction)
        self.rows.add(self.trial.name, severity, draws, draw, method, torch.stack(values))
        self.owner.advance(len(self.x))

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
            )  # fmt: skip
            self.owner.advance(len(self.x) * self.plan.search_passes(self.trial, gradients=gradients))
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
                    copy = self.perturbation(self.x, self.unit(draw), ladder[rung])
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

        def flips(severity: Tensor) -> Tensor:
            return self.eye.subject(self.perturbation(x, unit, severity)).argmax(1) != prediction

        return bisect(flips, low, high, discrete=self.perturbation.kind == "discrete")


def change_objective(eye: Eye, clean: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """The change of the primary gauge, as a function of the perturbed canvas."""
    gauge = eye.plan.primary
    target = clean[gauge.representation.name]

    def change(copy: Tensor) -> Tensor:
        return gauge.distance(target, gauge.representation(eye.subject.view(copy)).flatten(1).float())

    return change


def _margin(logits: Tensor, prediction: Tensor) -> Tensor:
    """Best other logit minus the predicted one: positive where the prediction has changed."""
    own = logits.gather(1, prediction[:, None])
    return logits.scatter(1, prediction[:, None], -torch.inf).max(1).values - own.squeeze(1)


def _relative_gradient(logits: Tensor, x: Tensor) -> Tensor:
    """L2 norm, on the canvas, of the gradient of the margin over the margin; NaN where the margin is 0."""
    top = logits.topk(2, dim=1).values
    margin = top[:, 0] - top[:, 1]
    (gradient,) = torch.autograd.grad(margin.sum(), x)
    norm = gradient.flatten(1).norm(dim=1) / margin.detach()
    return norm.where(torch.isfinite(norm), torch.nan)


def _nullable(values: Tensor) -> pl.Series:
    return pl.Series(values.float().cpu().numpy()).fill_nan(None)


def _out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text
