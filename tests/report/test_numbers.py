"""How numbers are written. Oracle: hand-written texts, and reading the text back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcon.report.numbers import duration, interval, number, percent, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4831, "0.483"), (0.04804, "0.0480"), (0.00213, "0.0021"), (0.0, "0"), (-0.0, "0"), (1.2345, "1.23"),
        (12.345, "12.3"), (123.4, "123"), (12345.6, "12346"), (None, "–"), (-0.25, "-0.250"), (3e-7, "3e-07"),
        (1.0, "1.00"),
    ],
)  # fmt: skip
def test_three_significant_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@given(st.floats(1e-3, 1e6))
def test_a_number_reads_back_within_its_last_digit(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=5.1e-3, abs=5.1e-5)


@pytest.mark.parametrize(
    ("low", "high", "mean", "text"),
    [
        (0.4621, 0.5049, 0.4831, "[0.462, 0.505]"),
        (0.0, 0.0019, 0.0, "[0, 0.0019]"),
        (9.8, 10.4, 10.1, "[9.8, 10.4]"),
        (None, 1.0, 0.5, ""),
    ],
)
def test_an_interval_has_the_digits_of_its_value(low: float | None, high: float | None, mean: float, text: str) -> None:
    assert interval(low, high, mean) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (42, "42 s"), (60, "1 min"), (200.4, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_shares() -> None:
    assert [percent(share) for share in (None, 0.0, 0.004, 0.123, 1.0)] == ["–", "0 %", "< 1 %", "12 %", "100 %"]


@given(st.text(max_size=200), st.integers(4, 60))
def test_a_shortened_name_fits_and_keeps_both_ends(text: str, length: int) -> None:
    made = short(text, length)
    assert len(made) <= length
    assert made == text or (made[0] == text[0] and made[-1] == text[-1] and "…" in made)
