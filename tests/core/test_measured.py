"""What two runs may be asked for together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from semcon.core.errors import SemconError
from semcon.core.measured import Measured
from semcon.core.quantities import QUANTITIES, RELATIVE, UNTOUCHED
from semcon.report import reading
from semcon.rules import check_rules, parse_rule

FRAMES = Measured({"fog": (1.0, 3.0)}, ("logits.l2",), worst=False, critical=False, sequences=("hue", "fog"))


def test_what_both_have():
    other = Measured({"fog": (1.0,), "frost": (1.0,)}, ("pixels.l2", "logits.l2"), worst=True, critical=True)
    both = FRAMES.shared(other)
    assert (both.names, both.gauges, both.sequences) == (("fog",), ["logits.l2"], [])
    grouped = [replace(FRAMES, groups=("sex=f", *own), attributes=("sex",)) for own in (("sex=m",), ("sex=x",))]
    assert grouped[0].shared(grouped[1]).groups == ["sex=f"]
    assert grouped[0].shared(FRAMES).attributes == []
    assert (both.worst, both.critical) == (False, False)
    assert FRAMES.names == ("fog", "hue")


@pytest.mark.parametrize(("rule", "why"), [
    ("fog flip_probability > 0", None), ("hue flip_probability > 0", None), ("fog:3 flip > 0", None),
    ("hue:1 flip_probability > 0", "along a sequence"), ("hue flip > 0", "it has flip_probability"),
    ("fog:2 flip > 0", "at 1, 3"),
])  # fmt: skip
def test_sequences_have_their_own_figure(rule, why):
    if why is None:
        check_rules([parse_rule(rule)], [FRAMES])
        return
    with pytest.raises(SemconError, match=why):
        check_rules([parse_rule(rule)], [FRAMES])


def test_every_figure_has_a_name_for_people():
    """Reports and gates speak of the same figures."""
    assert set(QUANTITIES) >= {*UNTOUCHED, *RELATIVE}
    assert set(reading.QUANTITIES) <= set(QUANTITIES)
