"""Rules on figures: what must not be, as text such as `gaussian_noise:0.05 flip > 0.2`, and whether it can be told.

A bracket behind the quantity says of what: a gauge (`change[pixels.l2]`), a group of images (`accuracy[sex=f]`), the
attribute of a gap (`accuracy_gap[sex]`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from semcon.core.difference import Difference
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.explained import CHANCE
from semcon.core.measured import Measured
from semcon.core.quantities import FLIP_PROBABILITY, GAPS, OF_GROUPS, QUANTITIES, RELATIVE, UNTOUCHED
from semcon.core.record import Estimate
from semcon.core.registry import available

ATTEMPTS = (
    "autoattack_linf", "background_of_another", "brightness_of_another", "color_jitter_attack", "colour_of_another",
    "contrast_of_another", "few_shot", "fgsm_linf", "fine_tuning", "fourier_noise", "knn", "linear_probe", "pgd_l2",
    "pgd_linf", "position_of_another", "rotation_translation_attack", "square_linf",
)  # fmt: skip
"""What evaluations try that is no perturbation of its own."""
_RULE = re.compile(
    r"^\s*(?:(?P<perturbation>[A-Za-z]\w*)(?::(?P<severity>[^\s]+))?\s+)??(?:(?P<draws>worst|random)\s+)?"
    r"(?P<quantity>[A-Za-z]\w*)(?:\[(?P<about>(?:(?!\]\s*[<>]).)+)\])?"  # an age may be "(20, 30]"
    r"\s*(?P<operator>>=|<=|>|<)\s*(?P<threshold>[^\s]+)\s*$"
)


@dataclass(frozen=True)
class Rule:
    """`text` as the user wrote it; None where a part was left out.

    `subset`: that of the estimates it speaks of: "all", "group:sex=f", of gaps "groups:sex", or "groups:" for those of
    any attribute.
    """

    text: str
    perturbation: str | None
    severity: float | None
    draws: str
    quantity: str
    gauge: str | None
    operator: str
    threshold: float
    subset: str = "all"

    @property
    def group(self) -> str | None:
        """`sex=f`, where it is about one group of images."""
        return self.subset.removeprefix("group:") if self.subset.startswith("group:") else None

    @property
    def attribute(self) -> str | None:
        """`sex`, where it is about the gap of one."""
        return self.subset.removeprefix("groups:") or None if self.subset.startswith("groups:") else None


def parse_rule(text: str, families: Sequence[str] = ()) -> Rule:
    """`[PERTURBATION[:SEVERITY]] [worst|random] QUANTITY[[GAUGE|ATTRIBUTE=VALUE|ATTRIBUTE]] OP NUMBER`.

    `families`: names that may stand in the place of a perturbation.

    Errors: `SemconError` showing the form; `UnknownNameError` for a quantity that does not exist.
    """
    match = _RULE.match(text)
    form = "'[PERTURBATION[:SEVERITY]] [worst] QUANTITY > NUMBER', such as 'gaussian_noise:0.05 flip > 0.2'"
    if match is None:
        raise SemconError(f"cannot read the rule {text!r}: expected {form}")
    if match["quantity"] not in QUANTITIES:
        raise UnknownNameError("quantity", match["quantity"], QUANTITIES)
    known = [*available("perturbations"), *ATTEMPTS, *families]
    if match["perturbation"] is not None and match["perturbation"] not in known:
        raise UnknownNameError("perturbation", match["perturbation"], known)
    try:
        severity = None if match["severity"] is None else float(match["severity"])
        threshold = float(match["threshold"])
    except ValueError:
        raise SemconError(f"the rule {text!r} has a severity or threshold that is no number: expected {form}") from None
    if not math.isfinite(threshold):
        raise SemconError(f"the rule {text!r} has the threshold {threshold}: expected a finite number")
    about = match["about"]
    gauge, subset = about, "all"
    if match["quantity"] in GAPS:
        gauge, subset = None, f"groups:{about or ''}"
    elif about is not None and "=" in about:
        gauge, subset = None, f"group:{about}"
    return Rule(
        text.strip(), match["perturbation"], severity, match["draws"] or "random", match["quantity"], gauge,
        match["operator"], threshold, subset,
    )  # fmt: skip


def check_rules(
    rules: Sequence[Rule], measured: Sequence[Measured], *, families: Sequence[str] = (), whose: str = "in this run"
) -> None:
    """Errors: `SemconError` for a rule that speaks of nothing in any of these evaluations.

    `families`: what may stand in the place of a perturbation; `whose`: where there is nothing.
    """
    for rule in rules:
        name = rule.perturbation
        about = [one for one in measured if name is None or name in one.names or name in families]
        if not about:
            known = [*(known for one in measured for known in one.names), *families]
            raise UnknownNameError(f"perturbation in the rule {rule.text!r}: {whose} there is no", name or "", known)
        seen = [one for one in about if rule.gauge is None or rule.gauge in one.gauges]
        if not seen:
            known = list(dict.fromkeys(name for one in about for name in (*one.gauges, *one.groups)))
            what = "gauge or group" if any(one.groups for one in about) else "gauge"
            raise UnknownNameError(f"{what} in the rule {rule.text!r}", rule.gauge or "", known)
        seen = _with_groups(rule, seen, measured, whose)
        missing = [None if name in families else _missing(rule, one) for one in seen]
        if all(missing):
            raise SemconError(f"the rule {rule.text!r} speaks of nothing {whose}: {missing[0]}")


def _with_groups(rule: Rule, seen: Sequence[Measured], measured: Sequence[Measured], whose: str) -> Sequence[Measured]:
    """Those that know what a rule's bracket says of groups; all where it says nothing.

    Errors: `UnknownNameError` for a group or an attribute that none has, `SemconError` where there are no groups.
    """
    if rule.subset == "all":
        return seen
    if not any(one.groups for one in measured):
        raise SemconError(
            f"the rule {rule.text!r} speaks of nothing {whose}: there are no groups (--evaluate group_gap has them)"
        )
    wanted = rule.group or rule.attribute
    if wanted is None:
        return [one for one in seen if one.attributes] or seen
    names = [(one, one.groups if rule.group else one.attributes) for one in measured]
    if not any(wanted in known for _, known in names):
        what = "group" if rule.group else "attribute"
        raise UnknownNameError(
            f"{what} in the rule {rule.text!r}", wanted, {one for _, known in names for one in known}
        )
    found = [one for one, known in names if wanted in known and one in seen]
    if not found:
        there = dict.fromkeys(name for one, known in names if wanted in known for name in one.names)
        raise SemconError(f"the rule {rule.text!r} speaks of nothing {whose}: of groups there is {', '.join(there)}")
    return found


def _missing(rule: Rule, one: Measured) -> str | None:
    """What a rule asks for that an evaluation does not measure."""
    if rule.quantity in RELATIVE:
        return f"{rule.quantity} is of one model over another: semcon compare gives it"
    if rule.draws == "worst" and not one.worst:
        return "it has no worst cases (--worst search measures them)"
    if rule.quantity == "critical_severity" and not one.critical:
        return "it has no critical severities (--budget standard measures them)"
    if rule.perturbation is None:
        example = f"{next(iter(one.names), 'brightness')} {rule.text}"
        told = OF_GROUPS if rule.group else UNTOUCHED
        return None if rule.quantity in told else f"name a perturbation, such as '{example}'"
    if rule.quantity in GAPS:
        return f"{rule.quantity} is told without a perturbation"
    if rule.quantity == FLIP_PROBABILITY or not one.severities.get(rule.perturbation):
        return _missing_frames(rule, one)
    if one.quantities is not None and rule.quantity not in one.quantities:
        return f"under {rule.perturbation} it has {', '.join(one.quantities)}"
    severities = one.severities[rule.perturbation]
    if rule.severity is not None and not any(_at(severity, rule.severity) for severity in severities):
        return f"{rule.perturbation} is measured at {', '.join(f'{severity:g}' for severity in severities)}"
    return None


def _missing_frames(rule: Rule, one: Measured) -> str | None:
    """The same of what is told, or is all that is told, along frames."""
    if rule.perturbation not in one.sequences:
        frames = ", ".join(one.sequences) or "none (corruption has some with --budget standard)"
        return f"{FLIP_PROBABILITY} is told along sequences of frames: {frames}"
    if rule.quantity != FLIP_PROBABILITY:
        return f"{rule.perturbation} is measured along a sequence of frames: it has {FLIP_PROBABILITY}"
    return None if rule.severity is None else f"{rule.perturbation} is measured along a sequence of frames"


def check_draws(rule: Rule, figures: Iterable[Estimate | Difference]) -> None:
    """Errors: `SemconError` for a rule on random draws where there is the worst case alone."""
    own = {one.draws for one in figures if (one.perturbation, one.quantity) == (rule.perturbation, rule.quantity)}
    if own == {"worst"} and rule.draws != "worst":
        worst = f"{rule.perturbation} worst {rule.quantity}"
        raise SemconError(f"the rule {rule.text!r} speaks of random draws, and there is the worst case: {worst}")


def speaks_of(rule: Rule, figure: Estimate | Difference, primary: str) -> bool:
    """Whether a rule is about a figure: of all images or the group it names, by the primary gauge or the one named.

    A gap of no attribute named is that of any.
    """
    gauge = None if figure.representation is None else f"{figure.representation}.{figure.distance}"
    if figure.representation is not None and figure.distance is None:  # of an explanation: all of them unless named
        gauge = figure.representation if rule.gauge or figure.representation == CHANCE else None
    same = figure.quantity == rule.quantity and figure.draws == rule.draws and figure.perturbation == rule.perturbation
    whose = figure.subset.startswith("groups:") if rule.subset == "groups:" else figure.subset == rule.subset
    return same and whose and _at(figure.severity, rule.severity) and gauge in (None, rule.gauge or primary)


def _at(severity: float | None, wanted: float | None) -> bool:
    """Whether a rule with this severity (None: any) speaks of an estimate with that one."""
    return wanted is None or (severity is not None and math.isclose(severity, wanted))


def rule_name(rule: Rule, figure: Estimate | Difference) -> str:
    """A rule as it is judged at one severity."""
    severity = "" if figure.severity is None else f":{figure.severity:g}"
    where = "" if figure.perturbation is None else f"{figure.perturbation}{severity} "
    worst = "worst " if rule.draws == "worst" else ""
    of_method = figure.representation if figure.distance is None else None
    about = rule.gauge or of_method if figure.subset == "all" else figure.subset.partition(":")[2]
    bracket = f"[{about}]" if about else ""
    return f"{where}{worst}{rule.quantity}{bracket} {rule.operator} {rule.threshold:g}"
