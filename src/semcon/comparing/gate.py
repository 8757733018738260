"""Gates on differences: a build that fails when one side is worse than another, and only when the evidence says so.

The grammar is `semcon.rules`'s; a figure is the second side's minus the first's. `gaussian_noise:0.05 flip > 0` fails
where the whole interval of the difference lies above 0. A family's name stands for its row of the profile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from semcon.comparing.compare import Comparison, SideBySide
from semcon.core.difference import OVERALL, Difference
from semcon.core.errors import SemconError
from semcon.core.measured import Measured
from semcon.core.quantities import MEAN_FLIP_RATE, RELATIVE
from semcon.gate import TOO_SMALL, RuleResult, measured, too_small, undefined, verdict_on
from semcon.report.reading import FAMILIES
from semcon.rules import Rule, check_draws, check_rules, parse_rule, rule_name, speaks_of


def parse(text: str) -> Rule:
    """A rule on a difference. Errors: `SemconError` where it cannot be read, `UnknownNameError` for its names."""
    return parse_rule(text, tuple(FAMILIES))


def judge(together: SideBySide, rules: Sequence[Rule]) -> list[RuleResult]:
    """Every rule on every difference it speaks of, side after side. Errors: `SemconError` where it speaks of none."""
    return [
        _judged(comparison, rule, difference)
        for comparison in together.comparisons
        for rule in rules
        for difference in _matching(comparison, rule)
    ]


def _matching(comparison: Comparison, rule: Rule) -> list[Difference]:
    """Of the perturbation where both measured it, else of the family of that name."""
    primary = comparison.first.first.record.settings.primary
    if rule.quantity in RELATIVE:
        rule = replace(rule, perturbation=OVERALL)
    every: list[Difference] = []
    for part in comparison.every:
        for figures in (part.differences, part.profile, part.overall):
            found = [one for one in figures if speaks_of(rule, one, primary)]
            if found:
                every += found
                break
    both = [_shared(part) for part in comparison.every]
    if every and any(rule.gauge in (None, *one.gauges) for one in both):
        return every
    check_draws(rule, (one for part in comparison.every for one in part.differences))
    if rule.quantity in RELATIVE:
        needed = "the evaluation corruption" + (" with --budget standard" if rule.quantity == MEAN_FLIP_RATE else "")
        raise SemconError(f"the rule {rule.text!r} speaks of nothing that both have: it needs {needed} of both")
    families = sorted({one.perturbation for part in comparison.every for one in part.profile if one.perturbation})
    check_rules([rule], both, families=families, whose="in both runs")
    about = next(
        (part for part in comparison.every if any(one.perturbation == rule.perturbation for one in part.differences)),
        comparison,
    )
    whose = "without a perturbation" if rule.perturbation is None else f"under {rule.perturbation}"
    there = [one for one in (*about.differences, *about.profile)
             if one.perturbation == rule.perturbation and one.subset == rule.subset
             and one.representation in (None, primary.partition(".")[0])]  # fmt: skip
    sizes = sorted({f"{one.severity:g}" for one in there if one.severity is not None}, key=float)
    at = f", at {', '.join(sizes)}" if sizes else ""
    has = ", ".join(sorted({one.quantity for one in there})) or "nothing"
    raise SemconError(f"the rule {rule.text!r} speaks of nothing that both have: {whose} there is {has}{at}")


def _shared(part: Comparison) -> Measured:
    """What both have; of groups those that differences are told of: no intersections."""
    groups = dict.fromkeys(one.subset for one in part.differences if one.subset.startswith("group:"))
    both = measured(part.first.first.record).shared(measured(part.second.first.record))
    return replace(both, groups=[group.removeprefix("group:") for group in groups])


def _judged(comparison: Comparison, rule: Rule, one: Difference) -> RuleResult:
    first, second = comparison.labels
    run, name = f"{second} minus {first}", rule_name(rule, one)
    if one.quantity == "critical_severity" and one.seeds == (1, 1):
        open_ended = (
            math.nan if one.difference is None else one.difference,
            -math.inf if one.low is None else one.low, math.inf if one.high is None else one.high,
        )  # fmt: skip
        return verdict_on(run, rule, name, open_ended, _advice(one, rule.threshold))
    if one.quantity in RELATIVE and one.second is not None:  # rules speak of the ratio: above 1 is worse
        ratios = (one.second, 0.0 if one.low is None else 1 + one.low, math.inf if one.high is None else 1 + one.high)
        return verdict_on(f"{second} over {first}", rule, rule.text, ratios, f"on {one.samples} images")
    if one.difference is None or one.low is None or one.high is None:
        return undefined(run, name, one.reason or "the interval is not known")
    if too_small(one.subset, one.samples):
        return undefined(run, name, TOO_SMALL)
    return verdict_on(run, rule, name, (one.difference, one.low, one.high), _advice(one, rule.threshold))


def _advice(one: Difference, threshold: float) -> str:
    wanted = images_needed(one, threshold)
    if wanted is not None:
        return f"on {one.samples} images; about {wanted} images would settle it"
    if one.seed_reach:
        seeds = " and ".join(map(str, one.seeds))
        return f"on {one.samples} images and {seeds} runs; more images alone would not settle it, more seeds might"
    return f"on {one.samples} images; no number of images would settle it"


def images_needed(one: Difference, threshold: float) -> int | None:
    """How many images make the interval's end on the threshold's side reach it; None where the seeds forbid it.

    The part of the half that is the images' shrinks with the root of their number, the seeds' part stays.
    """
    if one.difference is None or one.low is None or one.high is None:
        return None
    gap = abs(one.difference - threshold)
    half = one.high - one.difference if threshold > one.difference else one.difference - one.low
    if gap <= one.seed_reach:
        return None
    return math.ceil(one.samples * max(0.0, half**2 - one.seed_reach**2) / (gap**2 - one.seed_reach**2))
