"""Few images: the intervals are wider than the differences that are read."""

from __future__ import annotations

import math

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence

LEAST = 100


class FewImages(Check):
    """Fewer than 100 images, most flip rates known no better than to half of themselves, or too few of a class."""

    code = "few-images"
    severity = "warning"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding with how many would do, where the run is about these images."""
        if not evidence.judged:
            return []
        count = evidence.table.different
        reasons: list[str] = []
        wanted = LEAST if count < LEAST else 0
        if count < LEAST:
            reasons.append(f"there are only {count} different images")
        ratios = [
            (estimate.high - estimate.low) / (2 * estimate.mean)
            for estimate in evidence.estimates
            if estimate.quantity == "flip" and estimate.subset == "all" and estimate.draws == "random"
            if estimate.mean and estimate.mean >= 0.02 and estimate.low is not None and estimate.high is not None
        ]
        if ratios and sorted(ratios)[len(ratios) // 2] > 0.5:
            middle = sorted(ratios)[len(ratios) // 2]
            wanted = max(wanted, math.ceil(count * (middle / 0.5) ** 2))
            reasons.append(f"half of the flip rates are known no better than to {middle:.0%} of themselves")
        others = evidence.table.images["others"].drop_nulls()
        nearness = any(estimate.quantity == "any_nearer_20" for estimate in evidence.estimates)
        if nearness and len(others) and int(others.max() or 0) < 20:  # pyright: ignore[reportArgumentType]
            reasons.append(f"no class has 20 other images (at most {others.max()}), so any_nearer_20 is undefined")
            wanted = max(wanted, 21 * evidence.table.images["label"].n_unique())
        if not reasons:
            return []
        return [
            self.finding(
                f"{'; '.join(reasons)}: differences smaller than the intervals cannot be read",
                f"use at least {wanted} images (--limit, or a larger --budget)",
            )
        ]
