"""The terminal table. Oracle: the record's figures; the width of every line; no control characters when piped."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from report.synthetic import HOSTILE, PLAIN, record
from semcon.core.record import Record
from semcon.report.differences import DifferenceRow, DifferenceTable
from semcon.report.numbers import number
from semcon.report.reading import readings
from semcon.report.text import bar, show, visible


def printed(
    *records: Record, width: int = 100, encoding: str = "utf-8", differences: tuple[DifferenceTable, ...] = ()
) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    show(Console(file=stream, width=width), readings([(one, Path()) for one in records]), differences)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def one() -> Record:
    return record(perturbations=19)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_every_line_fits_the_terminal(one: Record, width: int) -> None:
    assert max(cell_len(line) for line in printed(one, width=width).splitlines()) <= width


def test_the_profile_holds_the_records_figures(one: Record) -> None:
    lines = printed(one, width=140).splitlines()
    for row in one.profile:
        if row.quantity != "confidence_drop":
            (line,) = [line for line in lines if line.startswith(row.family.replace("_", " "))]
            assert number(row.mean) in line
            half = (row.high or 0) / 2 - (row.low or 0) / 2
            assert f"±{half:.3f}".replace("±0.", "±.") in line


def test_a_narrow_terminal_keeps_the_most_important_columns(one: Record) -> None:
    heads: dict[int, str] = {}
    for width in (40, 80, 140):
        lines = printed(one, width=width).splitlines()
        heads[width] = next(line for line in lines if line.startswith("family"))
    assert "relative change" in heads[40]
    assert "flips" not in heads[40]
    assert "accuracy" in heads[80]
    assert "within-class" not in heads[80]
    assert "within-class change" in heads[140]


def test_the_three_that_flip_most_at_their_highest_severity(one: Record) -> None:
    text = printed(one, width=120)
    table = text[text.index("most affected") :].splitlines()[3:6]
    flips = [
        found.mean or 0.0
        for p in one.settings.perturbations
        for found in one.estimates
        if (found.perturbation, found.severity, found.quantity) == (p.name, max(p.severities), "flip")
        and (found.draws, found.subset) == ("random", "all")
    ]
    assert len(flips) == 19
    for line, mean in zip(table, sorted(flips, reverse=True), strict=False):
        assert number(mean) in line


def test_heading_findings_and_verdict(one: Record) -> None:
    text = printed(one, width=200)
    assert "accuracy 0.917 [0.904, 0.930]" in text
    places = [text.index(word) for word in ("normalisation-missing", "duplicates", "few-images")]
    assert places == sorted(places)
    assert all(finding.remedy in text for finding in one.findings)
    assert all(sentence in text for sentence in one.verdict)


def test_no_colour_when_piped(one: Record) -> None:
    assert "\x1b" not in printed(one)


def test_a_terminal_without_unicode_gets_plain_signs(one: Record) -> None:
    text = printed(record(classes=PLAIN), encoding="ascii", width=140)
    assert "+/-" in text
    assert "continuity profile" in text


def test_names_cannot_command_the_terminal() -> None:
    bad = "net\x1b[2J\x07\u202e\n" + HOSTILE[0]
    text = printed(record(name=bad, classes=HOSTILE))
    assert not [sign for sign in text if not sign.isprintable() and sign != "\n"]
    assert "[2J" in text  # shown, not obeyed


@given(st.text())
def test_visible_text_is_printable_and_as_long(text: str) -> None:
    assert visible(text).isprintable()
    assert len(visible(text)) == len(text)


@given(st.floats(0, 1), st.integers(1, 12))
def test_a_bar_is_as_long_as_its_share(share: float, width: int) -> None:
    drawn = bar(share, width)
    eighths = {block: count for count, block in enumerate(" ▏▎▍▌▋▊▉█")}
    assert len(drawn) == width
    assert sum(eighths[block] for block in drawn) == pytest.approx(share * width * 8, abs=0.5)


def test_several_runs_and_their_differences() -> None:
    rows = tuple(
        DifferenceRow(f"noise|{i}", f"noise {i}", "flips", "0.29", "0.09", "-0.20 [-0.22, -0.18]", "minus", -0.2)
        for i in range(15)
    )
    table = DifferenceTable("b minus a", "a", "b", "b minus a, 2000 images", rows, "")
    text = printed(record(name="a"), record(name="b", sensitivity=0.3), width=120, differences=(table,))
    for name in ("a", "b"):
        assert f"{name} on cifar10/test" in text
    assert "-0.20 [-0.22, -0.18]" in text
    assert "3 more in the report" in text
