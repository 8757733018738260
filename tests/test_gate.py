"""Gates: three states, the images that would settle it, and what wrong rules get."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from semcon import gate
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.intervals import wilson
from semcon.core.record import Estimate
from semcon.junit import write_junit
from semcon.rules import parse_rule


def estimate(**changes: object) -> Estimate:
    plain = {
        "perturbation": "gaussian_noise", "severity": 0.05, "draws": "random", "representation": None, "distance": None,
        "quantity": "flip", "subset": "all", "statistic": "mean", "mean": 0.3, "low": 0.25, "high": 0.35,
        "samples": 500,
    }  # fmt: skip
    return Estimate(**(plain | changes))


@pytest.fixture
def record(make_record):
    """A record with one flip rate, its worst case, and one finding (factory in conftest)."""
    return make_record(
        [
            estimate(),
            estimate(severity=0.1, mean=0.5, low=0.45, high=0.55),
            estimate(subset="correct", mean=0.9, low=0.8, high=1.0),
            estimate(perturbation=None, severity=None, quantity="accuracy", mean=0.91, low=0.88, high=0.93),
            estimate(quantity="critical_severity", severity=None, statistic="median", mean=None, low=0.15, high=None),
            *(
                estimate(quantity="relative_change", statistic="ratio", representation=name, distance="l2", mean=mean)
                for name, mean in (("logits", 0.3), ("penultimate", 0.31))
            ),
        ]
    )


@pytest.mark.parametrize(
    ("rule", "state", "code"),
    [
        ("gaussian_noise:0.05 flip > 0.2", "failed", 1),
        ("gaussian_noise:0.05 flip > 0.28", "undecided", 3),
        ("gaussian_noise:0.05 flip > 0.4", "passed", 0),
        ("gaussian_noise:0.05 flip >= 0.35", "undecided", 3),
        ("accuracy < 0.95", "failed", 1),
        ("accuracy < 0.9", "undecided", 3),
        ("accuracy < 0.8", "passed", 0),
        ("gaussian_noise critical_severity < 0.1", "passed", 0),
        ("gaussian_noise critical_severity < 0.2", "undecided", 3),
    ],
)
def test_a_rule_fails_only_where_the_whole_interval_lies_beyond(record, rule, state, code):
    results = gate.judge(record, [parse_rule(rule)])
    assert [result.state for result in results] == [state]
    assert gate.exit_code(results) == code


def test_a_rule_without_a_severity_speaks_of_every_one(record):
    results = gate.judge(record, [parse_rule("gaussian_noise flip > 0.4")])
    assert [result.state for result in results] == ["passed", "failed"]
    assert gate.exit_code(results) == 1


def test_a_gauge_can_be_named(record):
    (result,) = gate.judge(record, [parse_rule("gaussian_noise:0.05 relative_change[penultimate.l2] > 0.2")])
    assert "0.31" in result.sentence


def test_the_number_of_images_proposed_is_what_wilson_says():
    """Oracle: at the proposed n the Wilson interval of the same rate ends at the threshold (within 10 %)."""
    low, high = wilson(np.array([0.3]), np.array([500.0]))
    wanted = gate.images_needed(estimate(low=float(low[0]), high=float(high[0])), 0.28)
    assert wanted is not None
    new_low, _ = wilson(np.array([0.3]), np.array([float(wanted)]))
    assert 0.3 - float(new_low[0]) == pytest.approx(0.02, rel=0.1)


def test_a_figure_on_the_threshold_cannot_be_settled(record):
    assert gate.images_needed(estimate(), 0.3) is None
    (result,) = gate.judge(record, [parse_rule("gaussian_noise:0.05 flip > 0.3")])
    assert "no number of images" in result.sentence


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        ("gaussian_noise:0.05 flipp > 0.2", UnknownNameError, "Did you mean flip"),
        ("gausian_noise flip > 0.2", UnknownNameError, "Did you mean gaussian_noise"),
        ("flip 0.2", SemconError, "expected"),
        ("gaussian_noise:x flip > 0.2", SemconError, "no number"),
        ("flip > nan", SemconError, "finite"),
    ],
)
def test_a_rule_that_cannot_be_read_says_why(rule, error, words):
    with pytest.raises(error, match=words):
        parse_rule(rule)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("gaussian_noise:0.07 flip > 0.2", "is measured at 0.05, 0.1"),
        ("gaussian_noise:0.05 worst flip > 0.2", "no worst cases"),
        ("hue flip > 0.2", "in this run there is no"),
        ("gaussian_noise relative_change[layer9.l2] > 1", "gauge"),
        ("flip > 0.2", "name a perturbation, such as 'gaussian_noise flip > 0.2'"),
        ("gaussian_noise:0.05 gradient_norm > 1", "under gaussian_noise it has"),
    ],
)
def test_a_rule_that_speaks_of_nothing_says_what_there_is(record, rule, words):
    with pytest.raises(SemconError, match=words):
        gate.judge(record, [parse_rule(rule)])


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"samples": 1, "reason": "one image gives no interval"}, "undecided", "one image gives no interval"),
        ({"samples": 1, "mean": 0.4}, "undecided", "the figure is undefined"),
        ({"low": 0.4}, "passed", r"it is beyond the ladder \[0.4, beyond the ladder\]"),
        (
            {"low": 0.2, "mean": 0.25},
            "undecided",
            r"0.25 \[0.2, beyond the ladder\] .* no number of images would settle it",
        ),
    ],
)
def test_a_critical_severity_passes_only_with_a_lower_bound(make_record, changes, state, words):
    """By hand: without a lower bound nothing is known; with one above the threshold it cannot hold."""
    missing = {"quantity": "critical_severity", "severity": None, "mean": None, "low": None, "high": None}
    record = make_record([estimate(**(missing | changes))])
    (result,) = gate.judge(record, [parse_rule("gaussian_noise critical_severity < 0.3")])
    assert result.state == state
    assert re.search(words, result.sentence)
    assert "inf" not in result.sentence


def told(quantity: str, subset: str, mean: float | None, reach: float = 0.02, **changes: object) -> Estimate:
    ends = {} if mean is None else {"low": mean - reach, "high": mean + reach}
    plain = {"perturbation": None, "severity": None, "quantity": quantity, "subset": subset, "mean": mean}
    return estimate(**(plain | {"low": None, "high": None} | ends | changes))


@pytest.fixture
def grouped(make_record):
    """Accuracy 0.9; by sex a sure gap of 0.1, of both attributes together a larger one that is hardly known."""
    return make_record(
        [
            told("accuracy", "all", 0.9), told("accuracy", "group:sex=f", 0.85), told("accuracy", "group:sex=m", 0.95),
            told("accuracy", "group:age=(20, 30]", 0.8), told("flip", "group:sex=f", 0.3),
            told("relative_change", "group:sex=f", 0.4, representation="logits", distance="l2"),
            estimate(subset="group:sex=f", mean=0.7, low=0.6, high=0.8),
            told("accuracy_gap", "groups:sex", 0.1), told("accuracy_gap", "groups:age", None, reason="too few images"),
            told("accuracy_gap", "groups:sex and age", 0.3, reach=0.3),
            estimate(),
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "results"),
    [
        ("accuracy_gap > 0.05", {"sex": "failed", "age": "undecided", "sex and age": "undecided"}),
        ("accuracy_gap[sex] > 0.15", {"sex": "passed"}),
        ("accuracy_gap[sex and age] > 0.7", {"sex and age": "passed"}),
        ("accuracy[sex=f] < 0.9", {"sex=f": "failed"}),
        ("accuracy[age=(20, 30]] < 0.9", {"age=(20, 30]": "failed"}),
        ("flip[sex=f] > 0.1", {"sex=f": "failed"}),
        ("relative_change[sex=f] > 0.5", {"sex=f": "passed"}),
        ("gaussian_noise:0.05 flip[sex=f] > 0.5", {"sex=f": "failed"}),
        ("accuracy < 0.88", {"": "passed"}),
    ],
)
def test_rules_speak_of_a_group_or_of_every_attributes_gap(grouped, rule, results):
    """A line an attribute, and one that fails is enough."""
    found = gate.judge(grouped, [parse_rule(rule)])
    assert [one.name.partition("[")[2].rpartition("]")[0] for one in found] == list(results)
    assert [one.state for one in found] == list(results.values())
    assert gate.exit_code(found) == (1 if "failed" in results.values() else 0)


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        ("accuracy[sex=w] < 0.9", UnknownNameError, "group in the rule .*Did you mean sex=m or sex=f"),
        ("accuracy_gap[sexe] > 0.1", UnknownNameError, "attribute in the rule .*Did you mean sex"),
        ("accuracy[sex] < 0.9", UnknownNameError, "gauge or group in the rule .*Did you mean sex=m or sex=f"),
        ("gaussian_noise accuracy_gap > 0.1", SemconError, "told without a perturbation"),
        ("confidence_drop[sex=f] > 0.1", SemconError, r"such as 'gaussian_noise confidence_drop\[sex=f\] > 0.1'"),
        ("gaussian_noise:0.07 flip[sex=f] > 0.1", SemconError, "is measured at 0.05, 0.1"),
        ("accuracy[a] > 1 and flip[b] > 2", SemconError, "cannot read the rule"),
    ],
)
def test_groups_that_are_not_there_are_refused(grouped, rule, error, words):
    with pytest.raises(error, match=words):
        gate.judge(grouped, [parse_rule(rule)])


@pytest.mark.parametrize("rule", ["accuracy_gap > 0.1", "accuracy[sex=f] < 0.9", "flip_gap[sex] > 0.1"])
def test_a_run_without_groups_says_who_has_them(record, rule):
    with pytest.raises(SemconError, match=r"there are no groups \(--evaluate group_gap has them\)"):
        gate.judge(record, [parse_rule(rule)])


def test_findings_fail_by_code(record):
    failed, passed = gate.judge(record, [], ["few-images", "duplicates"])
    assert (failed.state, passed.state) == ("failed", "passed")
    with pytest.raises(UnknownNameError, match="few-images"):
        gate.judge(record, [], ["few-image"])


def test_junit_is_read_back(record, tmp_path):
    rules = [parse_rule(f"gaussian_noise:0.05 flip > {threshold}") for threshold in (0.2, 0.28, 0.4)]
    write_junit(tmp_path / "deep" / "gate.xml", gate.judge(record, rules))
    suite = ElementTree.parse(tmp_path / "deep" / "gate.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert math.isclose(len(suite.findall("testcase")), 3)
