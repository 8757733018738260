"""A wish from text: what shall hold of a network, as the gates' rules with their sense turned round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.registry import load
from semcon.rules import parse_rule

if TYPE_CHECKING:
    from semcon.repairing.wish import Wish

OPPOSITE = "a wish says what shall hold, such as 'accuracy >= -1' or 'gaussian_noise:0.05 flip <= 0.1'"
WISHED = {
    "relative_change": "<", "within_class_change": "<", "discontinuity": "<", "any_nearer_20": "<", "flip": "<",
    "confidence_drop": "<", "accuracy": ">",
}  # fmt: skip

SHARES = ("flip", "discontinuity", "any_nearer_20", "accuracy")


def parse_wish(text: str) -> Wish:
    """`accuracy >= -1` (points against the original), or `PERTURBATION:SEVERITY QUANTITY <= NUMBER`.

    Errors: `SemconError` showing the form, for a wish in the wrong direction, or one that is never or always met.
    """
    from semcon.repairing.wish import Wish

    try:
        rule = parse_rule(text)
    except UnknownNameError:
        raise
    except SemconError:
        raise SemconError(f"cannot read the wish {text!r}: {OPPOSITE}") from None
    if rule.quantity not in WISHED or rule.gauge or rule.subset != "all" or rule.draws == "worst":
        raise SemconError(f"cannot wish for {text!r}: {OPPOSITE}; quantities: {', '.join(WISHED)}")
    if rule.operator[0] != WISHED[rule.quantity]:
        raise SemconError(f"the wish {text!r} asks for a worse network: {OPPOSITE}")
    if rule.perturbation is None and rule.quantity != "accuracy":
        raise SemconError(f"the wish {text!r} names no perturbation: {OPPOSITE}")
    if rule.perturbation is not None and rule.severity is None:
        raise SemconError(f"the wish {text!r} names no severity: {OPPOSITE}")
    if rule.perturbation is not None and rule.severity is not None:
        load("perturbations", rule.perturbation)().check_severity(rule.severity)
        if rule.severity == 0:
            raise SemconError(f"the wish {text!r} is about severity 0, the untouched image: expected one above 0")
    if rule.perturbation is None:
        _check_points(text, rule.threshold)
    else:
        _check_threshold(text, rule.quantity, rule.threshold)
    return Wish(rule.text, rule.quantity, rule.perturbation, rule.severity, rule.operator, rule.threshold)


def _check_points(text: str, threshold: float) -> None:
    if threshold > 0:
        raise SemconError(f"the wish {text!r} asks for more accuracy than the original has: expected at most 0 points")
    if threshold <= -100:
        raise SemconError(f"the wish {text!r} is always met: accuracy is in points, above -100")


def _check_threshold(text: str, quantity: str, threshold: float) -> None:
    """A threshold that can be missed and met."""
    if quantity in SHARES and not 0 <= threshold <= 1:
        raise SemconError(f"the wish {text!r}: {quantity} is a share of the images, expected a number from 0 to 1")
    if quantity != "confidence_drop" and threshold < 0:
        raise SemconError(f"the wish {text!r} can never be met: {quantity} is never below 0")
