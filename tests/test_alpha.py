"""The multiplier: dual ascent as by hand, within bounds whatever is measured."""

from __future__ import annotations

import math
import sys

import pytest

from semcon.alpha import Alpha, Multiplier
from semcon.core.errors import MissingPackageError, SemconError


def test_a_number_stays() -> None:
    """Oracle: the number."""
    assert Alpha(3).value == 3.0


def test_on_the_penalty_lambda_moves_by_rate_times_violation() -> None:
    """Oracle: lambda + rate x violation, projected on [0, inf)."""
    one = Multiplier("penalty", 4.0, rate=2.0)
    one.violated(0.5)
    assert one.value == pytest.approx(5.0)
    one.violated(-0.25)
    assert one.value == pytest.approx(4.5)
    for _ in range(5):
        one.violated(-1.0)
    assert one.value == 0.0
    one.violated(0.5)
    assert one.value == pytest.approx(1.0)


def test_on_the_loss_alpha_falls_where_accuracy_is_missed() -> None:
    """Oracle: 1 / (1/4 + 0.1 x points), the loss's multiplier by hand."""
    one = Multiplier("loss", 4.0)
    assert one.value == pytest.approx(4.0)
    one.violated(0.5)
    assert one.value == pytest.approx(1 / 0.3)
    one.violated(-1.0)
    assert one.value == pytest.approx(1 / 0.2)


@pytest.mark.parametrize("start", [0.04, 4.0, 400.0])
@pytest.mark.parametrize("violation", [-1e9, -math.inf, -3.0, 3.0, 399.0, math.inf, math.nan])
@pytest.mark.parametrize("on", ["penalty", "loss"])
def test_alpha_neither_explodes_nor_dies(on: str, violation: float, start: float) -> None:
    """Oracle: the documented bounds, 12.5 times the start and on the loss as far below it; and a way back from both."""
    one = Multiplier(on, start)  # type: ignore[arg-type]
    for _ in range(1000):
        one.violated(violation)
        assert math.isfinite(one.value)
        assert one.value <= 12.5 * start * (1 + 1e-9)
        assert one.value >= (0 if on == "penalty" else start / 12.5 * (1 - 1e-9))
    reached = one.value
    back = -1.0 if math.isnan(violation) or violation > 0 else 1.0
    one.violated(back)
    assert one.value != reached
    assert (one.value > reached) == ((back > 0) == (on == "penalty"))


def test_its_state_comes_back() -> None:
    """Oracle: the other going on."""
    one, two = Multiplier("loss", 4.0), Multiplier("loss", 4.0)
    one.violated(0.7)
    two.load_state_dict(one.state_dict())
    assert two.value == one.value
    one.violated(0.2)
    two.violated(0.2)
    assert two.value == one.value
    assert list(one.parameters()) == []


def test_a_start_at_zero_is_refused() -> None:
    """Oracle: the message."""
    with pytest.raises(SemconError, match="starts above 0: got 0"):
        Multiplier("loss", 0.0)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the pip line."""
    monkeypatch.setitem(sys.modules, "cooper", None)
    with pytest.raises(MissingPackageError, match=r"a wish needs cooper-optim: pip install 'semcon\[train\]'"):
        Multiplier("penalty")
