"""What the model listens to, and pictures of maps. Oracle: values read back from the drawn coordinates and shades."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from report.synthetic import record
from semcon.core.pictured import MapRecord
from semcon.core.record import Estimate, EvaluationRecord
from semcon.report.listening import KINDS, listening_figure, listening_rows, sentences
from semcon.report.map_picture import LEVELS, common_scale, map_picture
from semcon.report.reading import Reading, readings


def kept(perturbation: str, severity: float, mean: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(
        perturbation=perturbation, severity=severity, draws="random", representation=None, distance=None,
        quantity="accuracy_kept", subset="all", statistic="ratio", mean=mean, low=low, high=high, samples=500,
    )  # fmt: skip


def run(*estimates: Estimate) -> Any:
    """A record with these in an evaluation of its own."""
    one = EvaluationRecord(
        name="shortcut", question="?", version=1, seconds=1, settings={}, perturbations=(), gauges=(), inert=(),
        estimates=estimates, verdict=(),
    )  # fmt: skip
    return record().model_copy(update={"evaluations": (one,)})


def reading(*runs: Any) -> list[Reading]:
    return readings([(one, Path()) for one in runs])


GREY = kept("grayscale", 1.0, 0.6, 0.5, 0.7)
SHUFFLED = kept("patch_shuffle", 4.0, 0.2, 0.1, 0.3)


def test_a_row_a_kind_and_a_dot_a_model() -> None:
    root = ElementTree.fromstring(listening_figure(reading(run(GREY, SHUFFLED), run(GREY))))
    kinds = [text.text for text in root.iter("text") if text.get("class") == "kind"]
    assert kinds == ["texture alone", "all but colour"]
    styles = [group.get("class") for group in root.iter("g")]
    assert styles == ["run-0", "run-0", "run-1"]
    labels = {text.text: float(text.get("x", 0)) for text in root.iter("text") if text.get("class") == "middle"}
    for group, (mean, low, high) in zip(
        root.iter("g"), [(0.2, 0.1, 0.3), (0.6, 0.5, 0.7), (0.6, 0.5, 0.7)], strict=True
    ):

        def place(share: float) -> float:
            return labels["0"] + share * (labels["1"] - labels["0"])

        (dot,) = group.iter("circle")
        assert float(dot.get("cx", 0)) == pytest.approx(place(mean), abs=0.06)
        whisker = next(path for path in group.iter("path") if path.get("class") == "whisker").get("d", "")
        ends = re.fullmatch(r"M([\d.]+) [\d.]+H([\d.]+)", whisker)
        assert ends is not None
        assert [float(end) for end in ends.groups()] == [pytest.approx(place(end), abs=0.06) for end in (low, high)]


def test_nothing_measured_is_no_figure() -> None:
    assert listening_figure(reading(record())) == ""
    assert listening_rows(reading(record())) == []


def test_rows_are_exact() -> None:
    (row,) = listening_rows(reading(run(GREY)))
    assert row[1:] == ("all but colour", "grayscale", 1.0, 0.6, 0.5, 0.7)


@pytest.mark.parametrize(
    ("low", "high", "end"),
    [(0.5, 0.7, "taken away: it listens to colour."), (0.95, 1.0, "taken away: it hardly needs colour."),
     (0.8, 0.95, "taken away.")],
)  # fmt: skip
def test_conclusions_only_where_the_interval_allows(low: float, high: float, end: str) -> None:
    (told,) = sentences([kept("grayscale", 1.0, (low + high) / 2, low, high)])
    assert told.endswith(end)


def test_what_has_no_interval_is_not_told() -> None:
    assert sentences([kept("grayscale", 1.0, None, None, None), kept("grayscale", 0.5, 0.9, 0.8, 1.0)]) == ()


def test_every_kind_is_one_that_an_evaluation_measures() -> None:
    from semcon.evaluating import Setting
    from semcon.evaluations import Frequency, Shortcut

    setting = Setting("fast", 32, 32, masks=True)
    tried = {
        (trial.name, severity)
        for one in (Frequency.planned(setting), Shortcut.planned(setting))
        for trial in one.plan.trials
        for severity in trial.severities
    }
    assert {(kind.perturbation, kind.severity) for kind in KINDS} <= tried


def picture(*rows: tuple[float | None, ...], title: str = "map") -> MapRecord:
    return MapRecord(
        name="m", title=title, x_label="across", x=(-2.0, 2.0), y_label="down", y=(-1.0, 1.0), value_label="rate",
        values=rows,
    )  # fmt: skip


def test_a_cell_has_the_shade_of_its_value() -> None:
    values = ((0.0, 0.5, 0.5, 1.0), (0.25, None, 0.25, 2.0))
    root = ElementTree.fromstring(map_picture(picture(*values), (0.0, 1.0)))
    cells = next(group for group in root.iter("g") if group.get("class") == "cells")
    found: dict[tuple[int, int], float] = {}
    for path in cells.iter("path"):
        for column, row, length in re.findall(r"M(\d+) (\d+)h(\d+)v1", path.get("d", "")):
            shade = float(path.get("opacity", 0)) if path.get("class") == "cell" else math.nan
            found |= {(int(row), int(column) + step): shade for step in range(int(length))}
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            if value is None:
                assert math.isnan(found[row, column])
            else:
                assert found.get((row, column), 0.0) == pytest.approx(min(1.0, value), abs=0.5 / (LEVELS - 1) + 1e-3)


def test_a_map_tells_its_ends_and_escapes_its_names() -> None:
    bad = "<script>\"'&"
    svg = map_picture(picture((0.1, 0.2, 0.9), (0.3, 0.4, 0.5), title=bad))
    assert "<script>" not in svg
    label = ElementTree.fromstring(svg).get("aria-label") or ""
    assert label.startswith(bad)
    assert "from 0.100 at -2, -1 to 0.900 at 2, -1" in label


def test_one_scale_for_maps_that_are_compared() -> None:
    assert common_scale([picture((0.1, 0.4)), picture((0.2, None))])[0] == 0
    low, high = common_scale([picture((-3.0, 8.0))])
    assert low <= -3
    assert high >= 8
    assert common_scale([picture((0.0, 0.0))])[1] > 0


def test_a_map_is_small() -> None:
    """33 x 33 values without any two alike beside each other."""
    values = tuple(tuple((7 * row + 5 * column) % 23 / 23 for column in range(33)) for row in range(33))
    assert len(map_picture(picture(*values))) < 30_000
