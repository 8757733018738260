"""Chance: the model knows nothing about these images."""

from __future__ import annotations

import numpy as np
import polars as pl

from semcon.core.intervals import wilson
from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class Chance(Check):
    """Accuracy is not above what the commonest class alone gives; without labels: one class predicted for all."""

    code = "chance"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding with accuracy and the commonest class's share."""
        images = evidence.table.images
        remedy = (
            "check weights, normalisation and label order before reading any figure: a model that says nothing is still"
        )
        if not evidence.labels_known:
            if len(images) < 20 or _commonest(images["prediction"]) < 0.99:
                return []
            return [self.finding("the model predicts one class for nearly all of these images", remedy)]
        if images["label"].n_unique() < 2:
            return []
        accuracy = int((images["label"] == images["prediction"]).sum()) / len(images)
        commonest = _commonest(images["label"])
        low, _ = wilson(accuracy, float(len(images)))
        if float(low) > commonest:
            return []
        return [
            self.finding(
                f"accuracy is {accuracy:.1%} (at least {float(low):.1%}), not known to be above the {commonest:.1%} "
                "that the commonest class alone gives: the figures of such a model mean nothing",
                remedy,
            )
        ]


def _commonest(labels: pl.Series) -> float:
    """The share of the commonest value."""
    return int(np.unique(labels.to_numpy(), return_counts=True)[1].max()) / len(labels)
