"""Batch dependence: the output for an image depends on the other images of its batch."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class BatchDependence(Check):
    """Outputs of single images differ from their outputs inside a batch by more than rounding."""

    code = "batch-dependence"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding; left to `nondeterministic` where two equal passes differ as much."""
        size = min(32, evidence.few, len(evidence.probe.x), evidence.batch_size)
        if size < 3:
            return []
        whole, again = evidence.logits(size), evidence.logits(size)
        parts = evidence.logits(size, batch_size=max(1, size // 4))
        single = evidence.logits(min(4, size), batch_size=1)
        scale = (whole - whole.mean(0)).norm(dim=1).mean().clamp(min=1e-12)
        noise = float((whole - again).norm(dim=1).mean() / scale)
        share = max(
            float((whole - parts).norm(dim=1).mean()), float((whole[: len(single)] - single).norm(dim=1).mean())
        )
        share /= float(scale)
        if share <= 1e-3 or share <= 3 * noise:
            return []
        return [
            self.finding(
                f"the outputs of an image in smaller batches differ from those in a batch of {size} by {share:.1%} "
                "of their spread: a figure then depends on which images happen to stand together",
                "put batch normalisation into eval mode, and take batch-wise operations out of the model",
            )
        ]
