"""Batch dependence: the output for an image depends on the other images of its batch."""

from __future__ import annotations

import torch

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class BatchDependence(Check):
    """Outputs of single images differ from their outputs inside a batch by more than rounding."""

    code = "batch-dependence"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding; left to `nondeterministic` where two equal passes differ as much."""
        x = evidence.probe.x[:32].to(evidence.subject.device)
        if len(x) < 3:
            return []
        with torch.no_grad():
            whole, again = evidence.subject(x), evidence.subject(x)
            parts = torch.cat([evidence.subject(part) for part in x.split(max(1, len(x) // 4))])
            few = x[: min(4, len(x))]
            single = torch.cat([evidence.subject(image[None]) for image in few])
        scale = (whole - whole.mean(0)).norm(dim=1).mean().clamp(min=1e-12)
        noise = float((whole - again).norm(dim=1).mean() / scale)
        share = max(float((whole - parts).norm(dim=1).mean()), float((whole[: len(few)] - single).norm(dim=1).mean()))
        share /= float(scale)
        if share <= 1e-3 or share <= 3 * noise:
            return []
        return [
            self.finding(
                f"the outputs of an image in smaller batches differ from those in a batch of {len(x)} by {share:.1%} "
                "of their spread: a figure then depends on which images happen to stand together",
                "put batch normalisation into eval mode, and take batch-wise operations out of the model",
            )
        ]
