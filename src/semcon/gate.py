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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semcon.core.difference import Difference
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.record import Estimate, Record
from semcon.core.registry import available

QUANTITIES = (
    "accuracy", "any_nearer_20", "change", "confidence_drop", "critical_severity", "discontinuity", "flip",
    "gradient_norm", "local_lipschitz", "relative_change", "within_class_change",
)  # fmt: skip
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_RULE = re.compile(
    r"^\s*(?:(?P<perturbation>[A-Za-z]\w*)(?::(?P<severity>[^\s]+))?\s+)??(?:(?P<draws>worst|random)\s+)?"
    r"(?P<quantity>[A-Za-z]\w*)(?:\[(?P<gauge>[^\]]+)\])?\s*(?P<operator>>=|<=|>|<)\s*(?P<threshold>[^\s]+)\s*$"
)
_FIGURES = ("mean", "low", "high")
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


def parse_rule(text: str, families: Sequence[str] = ()) -> Rule:
    """`[PERTURBATION[:SEVERITY]] [worst|random] QUANTITY[[REPRESENTATION.DISTANCE]] OP NUMBER`.

    `families`: names that may stand in the place of a perturbation.

    Errors: `SemconError` showing the form; `UnknownNameError` for a quantity that does not exist.
    """
    match = _RULE.match(text)
    form = "'[PERTURBATION[:SEVERITY]] [worst] QUANTITY > NUMBER', such as 'gaussian_noise:0.05 flip > 0.2'"
    if match is None:
        raise SemconError(f"cannot read the rule {text!r}: expected {form}")
    if match["quantity"] not in QUANTITIES:
        raise UnknownNameError("quantity", match["quantity"], QUANTITIES)
    known = [*available("perturbations"), *families]
    if match["perturbation"] is not None and match["perturbation"] not in known:
        raise UnknownNameError("perturbation", match["perturbation"], known)
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
    found = [estimate for estimate in record.estimates if speaks_of(rule, estimate, record.settings.primary)]
    if not found:
        check_names([record], rule)
        raise SemconError(f"the rule {rule.text!r} speaks of nothing in this run: {_available(record, rule)}")
    return found


def speaks_of(rule: Rule, figure: Estimate | Difference, primary: str) -> bool:
    """Whether a rule is about a figure: of all images, by the primary gauge unless it names one."""
    gauge = None if figure.representation is None else f"{figure.representation}.{figure.distance}"
    same = figure.quantity == rule.quantity and figure.draws == rule.draws and figure.perturbation == rule.perturbation
    return same and figure.subset == "all" and _at(figure.severity, rule.severity) and gauge in (
        None, rule.gauge or primary
    )  # fmt: skip


def check_names(records: Sequence[Record], rule: Rule, families: Sequence[str] = ()) -> None:
    """Errors: `UnknownNameError` for a perturbation or a gauge that not all of these runs have."""
    names = [{one.name for one in record.settings.perturbations} for record in records]
    known = [*sorted(set.intersection(*names)), *families]
    if rule.perturbation is not None and rule.perturbation not in known:
        raise UnknownNameError(f"perturbation in the rule {rule.text!r}: this run has no", rule.perturbation, known)
    looked = [{info.name for info in record.settings.gauges} for record in records]
    gauges = set.intersection(*looked)
    gauge = rule.gauge or records[0].settings.primary
    if gauge not in gauges:
        raise UnknownNameError(f"gauge in the rule {rule.text!r}", gauge, gauges)


def _at(severity: float | None, wanted: float | None) -> bool:
    """Whether a rule with this severity (None: any) speaks of an estimate with that one."""
    return wanted is None or (severity is not None and math.isclose(severity, wanted))


def _available(record: Record, rule: Rule) -> str:
    """What a rule that matched nothing could have meant."""
    if rule.draws == "worst" and record.settings.worst is None:
        return "it has no worst cases (--worst search measures them)"
    for perturbation in record.settings.perturbations:
        if perturbation.name == rule.perturbation and rule.severity is not None:
            return f"{rule.perturbation} was measured at {', '.join(f'{s:g}' for s in perturbation.severities)}"
    there = sorted({e.quantity for e in record.estimates if (e.perturbation is None) == (rule.perturbation is None)})
    whose = "without a perturbation" if rule.perturbation is None else f"under {rule.perturbation}"
    return f"{whose} it has {', '.join(there)}"


def _judged(record: Record, rule: Rule, estimate: Estimate) -> RuleResult:
    run = record.subject.name
    if rule.quantity == "critical_severity":
        estimate = _unbounded(estimate)
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return undefined(run, rule_name(rule, estimate), estimate.reason)
    wanted = images_needed(estimate, rule.threshold)
    figures = (estimate.mean, estimate.low, estimate.high)
    return verdict_on(run, rule, rule_name(rule, estimate), figures, _advice(estimate.samples, wanted))


def rule_name(rule: Rule, figure: Estimate | Difference) -> str:
    """A rule as it is judged at one severity."""
    severity = "" if figure.severity is None else f":{figure.severity:g}"
    where = "" if figure.perturbation is None else f"{figure.perturbation}{severity} "
    worst = "worst " if rule.draws == "worst" else ""
    return f"{where}{worst}{rule.quantity} {rule.operator} {rule.threshold:g}"


def undefined(run: str, name: str, reason: str | None) -> RuleResult:
    """A rule on a figure that is not known."""
    return RuleResult(run, name, "undecided", f"{run}: {name} is undecided: {reason or 'the figure is undefined'}")


def verdict_on(run: str, rule: Rule, name: str, figures: tuple[float, float, float], advice: str) -> RuleResult:
    """Whether all, none or some of an interval lies beyond the threshold. `figures`: value, low, high."""
    value, low, high = figures
    holds = _COMPARE[rule.operator]
    ends = holds(low, rule.threshold), holds(high, rule.threshold)
    figure = f"[{low:.3g}, {high:.3g}]" if math.isnan(value) else f"{value:.3g} [{low:.3g}, {high:.3g}]"
    if all(ends):
        return RuleResult(run, name, "failed", f"{run}: {name} fails: it is {figure}")
    if not any(ends):
        return RuleResult(run, name, "passed", f"{run}: {name} does not hold, as it should: it is {figure}")
    return RuleResult(run, name, "undecided", f"{run}: {name} is undecided: it is {figure} {advice}")


def _advice(samples: int, wanted: int | None) -> str:
    advice = "no number of images would settle it" if wanted is None else f"about {wanted} images would settle it"
    return f"on {samples} images; {advice}"


def _unbounded(estimate: Estimate) -> Estimate:
    """A critical severity beyond the ladder is larger than any threshold inside it."""
    figures = {name: math.inf if getattr(estimate, name) is None else getattr(estimate, name) for name in _FIGURES}
    return estimate.model_copy(update=figures)


def images_needed(estimate: Estimate, threshold: float) -> int | None:
    """How many images make the interval's end on the threshold's side reach it; None where the figure is on it."""
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return None
    gap = abs(estimate.mean - threshold)
    half = estimate.high - estimate.mean if threshold > estimate.mean else estimate.mean - estimate.low
    return None if gap == 0 or not math.isfinite(gap) else math.ceil(estimate.samples * (half / gap) ** 2)


def _finding(record: Record, code: str) -> RuleResult:
    run = record.subject.name
    for finding in record.findings:
        if finding.code == code:
            return RuleResult(run, f"finding {code}", "failed", f"{run}: finding {code}: {finding.message}")
    known = _codes()
    if code not in known:
        raise UnknownNameError("finding code", code, known)
    return RuleResult(run, f"finding {code}", "passed", f"{run}: no finding {code}")


def _codes() -> list[str]:
    """The codes that checks can raise: their file names, written with hyphens."""
    return [name.replace("_", "-") for name in available("checks")]
