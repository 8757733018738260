"""The names of all figures, and what kinds of them there are: read by gates, comparisons and reports."""

from __future__ import annotations

from semcon.core.explained import LIKENESS, OF_COPIES, OF_MAPS

FLIP_PROBABILITY = "flip_probability"
MEAN_CORRUPTION_ERROR, MEAN_FLIP_RATE = "mean_corruption_error", "mean_flip_rate"
RELATIVE = (MEAN_CORRUPTION_ERROR, MEAN_FLIP_RATE)
"""Of one model over another's: in comparisons only."""
OF_GROUPS = ("accuracy", "flip", "relative_change")
"""Told of every group of images, without a perturbation: flips and relative change over all that were tried."""
LEAST_OF_GROUP = 30
"""Images of a group that is judged."""
GAPS = tuple(f"{name}_gap" for name in OF_GROUPS)
"""Between the best and the worst group of an attribute."""
FOLLOWS = "follows"
"""How much more often predictions are of the class that a property was taken from."""
SIGNED = ("confidence_drop", "factor_fall", "factor_lift", FOLLOWS, "randomised", *GAPS, *LIKENESS)
"""Whose interval may reach below 0."""
UNTOUCHED = ("accuracy", "gradient_norm", "input_curvature", *GAPS, *RELATIVE, *OF_MAPS)
"""Told without a perturbation."""
QUANTITIES = tuple(sorted({
    *UNTOUCHED, *OF_COPIES, FLIP_PROBABILITY, "accuracy_kept", "any_nearer_20", "change", "confidence_drop",
    "critical_severity", "discontinuity", "factor_changed", "factor_fall", "factor_lift", "flip", FOLLOWS,
    "lipschitz", "local_lipschitz", "path_curvature", "relative_change", "straightness", "within_class_change",
}))  # fmt: skip
"""All of them."""
