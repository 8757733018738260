"""Gates: rules on estimates that a build can fail on, with an answer for "not enough evidence".

A rule states what must not be: `gaussian_noise:0.05 flip > 0.2`. It fails only where the whole interval lies beyond
the threshold, passes where the whole interval lies on the other side, and is undecided where the interval straddles it;
then the number of images that would settle it is told: an interval shrinks with the root of their number.
"""

from __future__ import annotations

import math
import operator
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.record import Estimate, Record
from semcon.core.registry import available

QUANTITIES = (
    "accuracy", "any_nearer_20", "change", "confidence_drop", "critical_severity", "discontinuity", "flip",
    "gradient_norm", "local_lipschitz", "relative_change", "within_class_change",
)  # fmt: skip
UNTOUCHED = ("accuracy", "gradient_norm")  # told of the images without a perturbation
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_RULE = re.compile(
    r"^\s*(?:(?P<perturbation>[A-Za-z]\w*)(?::(?P<severity>[^\s]+))?\s+)??(?:(?P<draws>worst|random)\s+)?"
    r"(?P<quantity>[A-Za-z]\w*)(?:\[(?P<gauge>[^\]]+)\])?\s*(?P<operator>>=|<=|>|<)\s*(?P<threshold>[^\s]+)\s*$"
)
State = Literal["failed", "undecided", "passed"]


@dataclass(frozen=True)
class Rule:
    """`text` as the user wrote it; None where a part was left out."""

    text: str
    perturbation: str | None
    severity: float | None
    draws: str
    quantity: str
    gauge: str | None
    operator: str
    threshold: float


@dataclass(frozen=True)
class RuleResult:
    """One rule, or one finding's code, judged on one run."""

    run: str
    name: str
    state: State
    sentence: str


def parse_rule(text: str) -> Rule:
    """`[PERTURBATION[:SEVERITY]] [worst|random] QUANTITY[[REPRESENTATION.DISTANCE]] OP NUMBER`.

    Errors: `SemconError` showing the form; `UnknownNameError` for a quantity that does not exist.
    """
    match = _RULE.match(text)
    form = "'[PERTURBATION[:SEVERITY]] [worst] QUANTITY > NUMBER', such as 'gaussian_noise:0.05 flip > 0.2'"
    if match is None:
        raise SemconError(f"cannot read the rule {text!r}: expected {form}")
    if match["quantity"] not in QUANTITIES:
        raise UnknownNameError("quantity", match["quantity"], QUANTITIES)
    if match["perturbation"] is not None and match["perturbation"] not in available("perturbations"):
        raise UnknownNameError("perturbation", match["perturbation"], available("perturbations"))
    try:
        severity = None if match["severity"] is None else float(match["severity"])
        threshold = float(match["threshold"])
    except ValueError:
        raise SemconError(f"the rule {text!r} has a severity or threshold that is no number: expected {form}") from None
    if not math.isfinite(threshold):
        raise SemconError(f"the rule {text!r} has the threshold {threshold}: expected a finite number")
    return Rule(
        text.strip(), match["perturbation"], severity, match["draws"] or "random", match["quantity"], match["gauge"],
        match["operator"], threshold,
    )  # fmt: skip


def check_rules(
    rules: Sequence[Rule], severities: Mapping[str, Sequence[float]], gauges: Sequence[str], *, worst: bool,
    critical: bool,
) -> None:  # fmt: skip
    """Errors: `SemconError` for a rule on what a run does not measure. `severities`: of every perturbation, by name."""
    for rule in rules:
        if rule.perturbation is not None and rule.perturbation not in severities:
            what = f"perturbation in the rule {rule.text!r}: this run has no"
            raise UnknownNameError(what, rule.perturbation, severities)
        if rule.gauge is not None and rule.gauge not in gauges:
            raise UnknownNameError(f"gauge in the rule {rule.text!r}", rule.gauge, gauges)
        missing = _missing(rule, severities, worst=worst, critical=critical)
        if missing:
            raise SemconError(f"the rule {rule.text!r} speaks of nothing in this run: {missing}")


def _missing(rule: Rule, severities: Mapping[str, Sequence[float]], *, worst: bool, critical: bool) -> str | None:
    """What a rule asks for that a run does not measure."""
    if rule.draws == "worst" and not worst:
        return "it has no worst cases (--worst search measures them)"
    if rule.quantity == "critical_severity" and not critical:
        return "it has no critical severities (--budget standard measures them)"
    if rule.perturbation is None and rule.quantity not in UNTOUCHED:
        return f"name a perturbation, such as '{next(iter(severities))} {rule.text}'"
    measured = severities.get(rule.perturbation or "", ())
    if rule.severity is not None and not any(_at(severity, rule.severity) for severity in measured):
        return f"{rule.perturbation} is measured at {', '.join(f'{severity:g}' for severity in measured)}"
    return None


def check_codes(codes: Sequence[str]) -> None:
    """Errors: `UnknownNameError` for a code no check has: their file names, written with hyphens."""
    known = [name.replace("_", "-") for name in available("checks")]
    for code in codes:
        if code not in known:
            raise UnknownNameError("finding code", code, known)


def judge(record: Record, rules: Sequence[Rule], codes: Sequence[str] = ()) -> list[RuleResult]:
    """Every rule on every estimate it speaks of, and every code of a finding that must not be there.

    Errors: `SemconError` for a rule that speaks of nothing in this run; `UnknownNameError` for a code no check has.
    """
    results = [_judged(record, rule, estimate) for rule in rules for estimate in _matching(record, rule)]
    return results + [_finding(record, code) for code in codes]


def exit_code(results: Sequence[RuleResult]) -> int:
    """1 if any failed, else 3 if any is undecided, else 0."""
    states = {result.state for result in results}
    return 1 if "failed" in states else 3 if "undecided" in states else 0


def write_junit(path: Path, results: Sequence[RuleResult]) -> None:
    """The results as JUnit XML, one test case each; undecided ones are errors. Errors: `SemconError` if unwritable."""
    count = {state: sum(result.state == state for result in results) for state in ("failed", "undecided")}
    suite = ElementTree.Element(
        "testsuite",
        name="semcon",
        tests=str(len(results)),
        failures=str(count["failed"]),
        errors=str(count["undecided"]),
    )
    for result in results:
        case = ElementTree.SubElement(suite, "testcase", classname=result.run, name=result.name)
        if result.state != "passed":
            tag = "failure" if result.state == "failed" else "error"
            ElementTree.SubElement(case, tag, message=result.sentence).text = result.sentence
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        ElementTree.ElementTree(suites).write(temporary, encoding="utf-8", xml_declaration=True)
        os.replace(temporary, path)
    except OSError as error:
        raise SemconError(f"cannot write {path}: {error.strerror or error}") from None


def _matching(record: Record, rule: Rule) -> list[Estimate]:
    """The estimates a rule speaks of: all images; the primary gauge unless it names one; every severity unless one."""
    gauge = rule.gauge or record.settings.primary
    found = [
        estimate
        for estimate in record.estimates
        if estimate.quantity == rule.quantity
        and estimate.subset == "all"
        and estimate.draws == rule.draws
        and estimate.perturbation == rule.perturbation
        and _at(estimate.severity, rule.severity)
        and (estimate.representation is None or f"{estimate.representation}.{estimate.distance}" == gauge)
    ]
    if found:
        return found
    settings = record.settings
    severities = {perturbation.name: perturbation.severities for perturbation in settings.perturbations}
    gauges = [info.name for info in settings.gauges]
    check_rules([rule], severities, gauges, worst=settings.worst is not None, critical=settings.critical)
    there = sorted({e.quantity for e in record.estimates if (e.perturbation is None) == (rule.perturbation is None)})
    whose = "without a perturbation" if rule.perturbation is None else f"under {rule.perturbation}"
    raise SemconError(f"the rule {rule.text!r} speaks of nothing in this run: {whose} it has {', '.join(there)}")


def _at(severity: float | None, wanted: float | None) -> bool:
    """Whether a rule with this severity (None: any) speaks of an estimate with that one."""
    return wanted is None or (severity is not None and math.isclose(severity, wanted))


def _judged(record: Record, rule: Rule, estimate: Estimate) -> RuleResult:
    severity = "" if estimate.severity is None else f":{estimate.severity:g}"
    where = "" if estimate.perturbation is None else f"{estimate.perturbation}{severity} "
    worst = "worst " if rule.draws == "worst" else ""
    name = f"{where}{worst}{rule.quantity} {rule.operator} {rule.threshold:g}"
    run = record.subject.name
    if rule.quantity == "critical_severity":
        estimate = _unbounded(estimate)
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        sentence = f"{run}: {name} is undecided: {estimate.reason or 'the figure is undefined'}"
        return RuleResult(run, name, "undecided", sentence)
    holds = _COMPARE[rule.operator]
    ends = holds(estimate.low, rule.threshold), holds(estimate.high, rule.threshold)
    figure = f"{_number(estimate.mean)} [{_number(estimate.low)}, {_number(estimate.high)}]"
    if all(ends):
        return RuleResult(run, name, "failed", f"{run}: {name} fails: it is {figure}")
    if not any(ends):
        return RuleResult(run, name, "passed", f"{run}: {name} does not hold, as it should: it is {figure}")
    wanted = images_needed(estimate, rule.threshold)
    advice = "no number of images would settle it" if wanted is None else f"about {wanted} images would settle it"
    sentence = f"{run}: {name} is undecided: it is {figure} on {estimate.samples} images; {advice}"
    return RuleResult(run, name, "undecided", sentence)


def _unbounded(estimate: Estimate) -> Estimate:
    """A critical severity beyond the ladder is larger than any threshold inside it, where its lower bound is known."""
    if estimate.low is None:
        return estimate
    figures = {name: math.inf for name in ("mean", "high") if getattr(estimate, name) is None}
    return estimate.model_copy(update=figures)


def _number(value: float) -> str:
    return "beyond the ladder" if math.isinf(value) else f"{value:.3g}"


def images_needed(estimate: Estimate, threshold: float) -> int | None:
    """How many images make the interval's end on the threshold's side reach it; None where the figure is on it."""
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return None
    gap = abs(estimate.mean - threshold)
    half = estimate.high - estimate.mean if threshold > estimate.mean else estimate.mean - estimate.low
    if gap == 0 or not math.isfinite(gap) or not math.isfinite(half):
        return None
    return math.ceil(estimate.samples * (half / gap) ** 2)


def _finding(record: Record, code: str) -> RuleResult:
    run = record.subject.name
    for finding in record.findings:
        if finding.code == code:
            return RuleResult(run, f"finding {code}", "failed", f"{run}: finding {code}: {finding.message}")
    check_codes([code])
    return RuleResult(run, f"finding {code}", "passed", f"{run}: no finding {code}")
