"""Gates: rules on estimates that a build can fail on, with an answer for "not enough evidence".

A rule states what must not be: `gaussian_noise:0.05 flip > 0.2`. It fails only where the whole interval lies beyond
the threshold, passes where the whole interval lies on the other side, and is undecided where the interval straddles it;
then the number of images that would settle it is told: an interval shrinks with the root of their number.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.measured import Measured
from semcon.core.quantities import FLIP_PROBABILITY, LEAST_OF_GROUP
from semcon.core.record import Estimate, Record
from semcon.core.registry import available
from semcon.report.numbers import counted
from semcon.rules import Rule, check_draws, check_rules, rule_name, speaks_of

DOUBTS = (
    "adversarial-weak-attack",
    "adversarial-without-gradients",
    "axis-carries-meaning",
    "bias-background",
    "bias-brightness",
    "bias-colour",
    "bias-contrast",
    "bias-position",
    "explanation-blank",
    "explanation-ignores-weights",
    "explanation-weights-not-shuffled",
    "gradient-masking-black-box",
    "gradient-masking-large-eps",
    "gradient-masking-loss-flat",
    "gradient-masking-random-model",
    "gradient-masking-restarts",
    "gradient-masking-transfer",
    "gradient-masking-zero-gradient",
    "group-lacks-classes",
    "group-too-small",
    "masks-say-nothing",
    "smoothness-in-half-precision",
    "smoothness-without-gradients",
    "transfer-few-images",
    "transfer-from-logits",
)
"""The codes of findings that evaluations make."""
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
TOO_SMALL = f"groups of fewer than {LEAST_OF_GROUP} images are not judged"
State = Literal["failed", "undecided", "passed"]


@dataclass(frozen=True)
class RuleResult:
    """One rule, or one finding's code, judged on one run."""

    run: str
    name: str
    state: State
    sentence: str


def check_codes(codes: Sequence[str]) -> None:
    """Errors: `UnknownNameError` for a code that is no check's (its file's name, hyphens or not) nor `check-failed`."""
    known = [*(name.replace("_", "-") for name in available("checks")), *DOUBTS, "check-failed"]
    for code in codes:
        if code.replace("_", "-") not in known:
            raise UnknownNameError("finding code", code, known)


def judge(
    record: Record, rules: Sequence[Rule], codes: Sequence[str] = (), *, run: str | None = None
) -> list[RuleResult]:
    """Every rule on every estimate it speaks of, and every code of a finding that must not be there.

    `run`: what to call it; its model's name by default. Errors: `SemconError` for a rule that speaks of nothing in this
    run; `UnknownNameError` for a code no check has.
    """
    run = run or record.subject.name
    results = [_judged(run, rule, estimate) for rule in rules for estimate in _matching(record, rule)]
    return results + [_finding(run, record, code.replace("_", "-")) for code in codes]


def exit_code(results: Sequence[RuleResult]) -> int:
    """1 if any failed, else 3 if any is undecided, else 0."""
    states = {result.state for result in results}
    return 1 if "failed" in states else 3 if "undecided" in states else 0


def check_writable(path: Path) -> None:
    """Errors: `SemconError` where `write_junit` could not write, told before anything is measured."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        temporary = path.with_name(path.name + ".tmp")
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise SemconError(f"cannot write {path}: {error.strerror or error}") from None


def _matching(record: Record, rule: Rule) -> list[Estimate]:
    """The estimates a rule speaks of: without a gauge by the primary one, without a severity at every one."""
    figures = record.figures()
    found = [estimate for estimate in figures if speaks_of(rule, estimate, record.settings.primary)]
    made = [measured(record), *(measured(record.evaluation(one.name)) for one in record.evaluations)]
    if not found or not any(rule.gauge in (None, *one.gauges) for one in made):
        check_rules([rule], made)
        there = {e.quantity for e in figures if e.perturbation == rule.perturbation}
        check_draws(rule, figures)
        whose = "without a perturbation" if rule.perturbation is None else f"under {rule.perturbation}"
        told = ", ".join(sorted(there))
        raise SemconError(f"the rule {rule.text!r} speaks of nothing in this run: {whose} it has {told}")
    return found


def measured(record: Record) -> Measured:
    """What the record of one evaluation has."""
    looked = [".".join(filter(None, (one.representation, one.distance))) for one in record.estimates]
    gauges = dict.fromkeys([info.name for info in record.settings.gauges] + [name for name in looked if name])
    used = {one.name: one.severities for one in record.settings.perturbations}
    return Measured(
        used, tuple(gauges) or (record.settings.primary,),
        worst=any(one.draws == "worst" for one in record.estimates), critical=record.settings.critical,
        sequences=[one.perturbation for one in record.estimates
                   if one.quantity == FLIP_PROBABILITY and one.subset == "all" and one.perturbation],
        groups=_subsets(record, "group:"), attributes=_subsets(record, "groups:"),
    )  # fmt: skip


def _subsets(record: Record, kind: str) -> list[str]:
    """The names behind a kind of subsets, each once."""
    return list(dict.fromkeys(one.subset.removeprefix(kind) for one in record.estimates if one.subset.startswith(kind)))


def _judged(run: str, rule: Rule, estimate: Estimate) -> RuleResult:
    if rule.quantity == "critical_severity":
        estimate = _unbounded(estimate)
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return undefined(run, rule_name(rule, estimate), estimate.reason)
    if too_small(estimate.subset, estimate.samples):
        return undefined(run, rule_name(rule, estimate), TOO_SMALL)
    wanted = images_needed(estimate, rule.threshold)
    figures = (estimate.mean, estimate.low, estimate.high)
    return verdict_on(run, rule, rule_name(rule, estimate), figures, _advice(estimate.samples, wanted))


def too_small(subset: str, images: int) -> bool:
    """Whether it is a group of fewer images than are judged."""
    return subset.startswith("group:") and images < LEAST_OF_GROUP


def undefined(run: str, name: str, reason: str | None) -> RuleResult:
    """A rule on a figure that is not known."""
    return RuleResult(run, name, "undecided", f"{run}: {name} is undecided: {reason or 'the figure is undefined'}")


def verdict_on(run: str, rule: Rule, name: str, figures: tuple[float, float, float], advice: str) -> RuleResult:
    """Whether all, none or some of an interval lies beyond the threshold. `figures`: value, low, high."""
    value, low, high = figures
    holds = _COMPARE[rule.operator]
    ends = holds(low, rule.threshold), holds(high, rule.threshold)
    shown = f"[{_number(low)}, {_number(high)}]"
    figure = shown if math.isnan(value) else f"{_number(value)} {shown}"
    if all(ends):
        return RuleResult(run, name, "failed", f"{run}: {name} fails: it is {figure}")
    if not any(ends):
        return RuleResult(run, name, "passed", f"{run}: {name} does not hold, as it should: it is {figure}")
    return RuleResult(run, name, "undecided", f"{run}: {name} is undecided: it is {figure} {advice}")


def _advice(samples: int, wanted: int | None) -> str:
    needed = "no number of images" if wanted is None else f"about {counted(wanted, 'image')}"
    return f"on {counted(samples, 'image')}; {needed} would settle it"


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


def _finding(run: str, record: Record, code: str) -> RuleResult:
    for finding in record.findings:
        if finding.code == code:
            return RuleResult(run, f"finding {code}", "failed", f"{run}: finding {code}: {finding.message}")
    check_codes([code])
    return RuleResult(run, f"finding {code}", "passed", f"{run}: no finding {code}")
