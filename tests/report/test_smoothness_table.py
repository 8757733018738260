"""The tables of smoothness: output and image side by side, balls by radius. Oracle: the estimates themselves."""

from __future__ import annotations

from pathlib import Path

from semcon.core.record import Estimate, EvaluationRecord, PerturbationRecord
from semcon.report.evaluations import evaluation_parts
from semcon.report.numbers import number
from semcon.report.reading import Reading


def estimate(quantity: str, perturbation: str, severity: float, mean: float, representation: str | None) -> Estimate:
    return Estimate(
        perturbation=perturbation, severity=severity, draws="worst" if quantity == "lipschitz" else "random",
        representation=representation, distance=representation and "l2", quantity=quantity, subset="all",
        statistic="mean", mean=mean, low=mean, high=mean, samples=9,
    )  # fmt: skip


def attempt(name: str, *severities: float) -> PerturbationRecord:
    return PerturbationRecord(
        name=name, family="noise", unit="u", source="definition", kind="continuous", parameters="box", version=1,
        severities=severities, draws=1,
    )  # fmt: skip


def test_ways_and_balls_have_their_tables(make_record):
    values = {("straightness", "logits"): 0.71, ("straightness", "pixels"): 0.93, ("path_curvature", "logits"): 5.25}
    found = [estimate(quantity, "rotation", 15.0, mean, what) for (quantity, what), mean in values.items()]
    balls = [estimate("lipschitz", "l2", radius, mean, None) for radius, mean in ((32.0, 6.5), (128.0, 7.5))]
    evaluation = EvaluationRecord(
        name="smoothness", question="How?", version=1, seconds=1, settings={}, gauges=(), inert=(), verdict=(),
        perturbations=(attempt("l2", 32.0, 128.0), attempt("rotation", 15.0)), estimates=(*found, *balls),
    )  # fmt: skip
    record = make_record([]).model_copy(update={"evaluations": (evaluation,)})
    (part,) = evaluation_parts([Reading(record, Path(), "net")])
    ways, slopes = part.tables
    ((name, cells),) = ways.rows
    assert name == "rotation up to 15"
    assert [cell[0].split(" ")[0] for cell in cells] == [*(number(mean) for mean in values.values()), ""]
    assert [(row, cells[0][0].split(" ")[0]) for row, cells in slopes.rows] == [
        ("l2 32/255", number(6.5)), ("l2 128/255", number(7.5))
    ]  # fmt: skip
