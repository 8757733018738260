"""Nondeterministic: the same images give different outputs."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class Nondeterministic(Check):
    """Two forward passes over the same batch differ by more than rounding."""

    code = "nondeterministic"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding, with the share of the change that is the model's own noise."""
        first, second = evidence.logits(evidence.few), evidence.logits(evidence.few)
        noise = (first - second).norm(dim=1)
        scale = (first - first.mean(0)).norm(dim=1).mean().clamp(min=1e-12)
        share = float(noise.mean() / scale)
        if share <= 1e-4:
            return []
        flips = int((first.argmax(1) != second.argmax(1)).sum())
        return [
            self.finding(
                f"two passes over the same {len(first)} images differ by {share:.1%} of the outputs' spread ({flips} "
                "labels change): that noise is part of every change that was measured",
                "switch off dropout, random resizing or noise layers inside the model, or fix their seed",
            )
        ]
