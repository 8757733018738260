"""The SVG panels. Oracle: values read back from the drawn coordinates by the inverse of a linear map."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest

from semcon.report.figures import HEIGHT, WIDTH, Curve, Point, change_panel, depth_panel, top_of

CURVE = Curve("random", "run-0 random", (Point(0, 0, 0, 0), Point(0.1, 0.4, 0.3, 0.5), Point(0.2, 0.9, 0.8, 1.0)))
LEFT, RIGHT, TOP, BOTTOM = 30, WIDTH - 8, 7, HEIGHT - 20


def numbers(path: str) -> list[tuple[float, float]]:
    """The points of a path, in units of the data."""
    pairs = [tuple(map(float, pair.split())) for pair in re.findall(r"[-\d.]+ [-\d.]+", path)]
    return [((x - LEFT) / (RIGHT - LEFT) * 0.2, (BOTTOM - y) / (BOTTOM - TOP) * 2) for x, y in pairs]


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_line_and_band_show_the_estimates() -> None:
    panel = parse(change_panel("flips", [CURVE], right=0.2, top=2, level=None))
    line = next(path for path in panel.iter("path") if "line" in path.get("class", ""))
    band = next(path for path in panel.iter("path") if "band" in path.get("class", ""))
    assert numbers(line.get("d", "")) == [pytest.approx(xy, abs=0.003) for xy in ((0, 0), (0.1, 0.4), (0.2, 0.9))]
    expected = [(0, 0), (0.1, 0.5), (0.2, 1.0), (0.2, 0.8), (0.1, 0.3), (0, 0)]
    assert numbers(band.get("d", "")) == [pytest.approx(xy, abs=0.003) for xy in expected]


def test_only_measured_severities_have_dots_and_say_their_numbers() -> None:
    panel = parse(change_panel("flips", [CURVE], right=0.2, top=2, level=None))
    assert [title.text for title in panel.iter("title")] == [
        "random, 0.1: 0.400 [0.300, 0.500]",
        "random, 0.2: 0.900 [0.800, 1.000]",
    ]


def test_one_severity_has_a_whisker_instead_of_a_band() -> None:
    one = Curve("random", "random", (Point(0, 0, 0, 0), Point(1, 0.4, 0.3, 0.5)))
    classes = [
        path.get("class", "").split()[0]
        for path in parse(change_panel("x", [one], right=1, top=1, level=0.9)).iter("path")
    ]
    assert "whisker" in classes
    assert "level" in classes
    assert "band" not in classes


def test_names_are_escaped() -> None:
    bad = "<script>\"'&"
    panel = depth_panel(bad, [bad, "logits"], [Curve(bad, "tone-0", (Point(0, 1, 1, 1), Point(1, 2, 2, 2)))], top=2)
    assert "<script>" not in panel
    root = parse(panel)
    assert bad in (root.get("aria-label") or "")
    assert bad in [title.text for title in root.iter("title")]


def test_labels_at_the_right_keep_their_distance() -> None:
    curves = [Curve(f"c{i}", "tone-0", (Point(0, 1.0, 1, 1), Point(1, 1.0 - 0.001 * i, 1, 1))) for i in range(8)]
    panel = parse(depth_panel("x", ["pixels", "logits"], curves, top=1))
    heights = sorted(float(t.get("y", "nan")) for t in panel.iter("text") if (t.text or "").startswith("c"))
    assert len(heights) == 8
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 11
    assert heights[-1] <= 236 - 66 + 4


def test_a_figure_without_a_yardstick_is_reached_by_a_dashed_line() -> None:
    curve = Curve("c", "tone-0", (Point(0, 1, 1, 1), Point(1, 1, 1, 1), Point(2, 1, 1, 1)))
    panel = parse(depth_panel("x", ["pixels", "logits", "probabilities"], [curve], top=1, unlike=frozenset({2})))
    lines = [path.get("class") for path in panel.iter("path") if "line" in path.get("class", "")]
    assert lines == ["line", "line dashed"]


def test_the_axis_reaches_over_every_band() -> None:
    assert top_of([CURVE]) == 1.0
    assert top_of([]) == 1.0
