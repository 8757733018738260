"""Black box: no gradient reaches the image."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class BlackBox(Check):
    """The model gives no gradient, so that searches fell back to the best of k draws."""

    code = "black-box"
    severity = "note"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding, saying what is missing."""
        if evidence.subject.differentiable:
            return []
        worst = "worst cases are the best of k draws, a lower bound; " if evidence.worst else ""
        return [
            self.finding(
                f"no gradient reaches the image through this model: {worst}the gradient norm is not measured",
                "hand over the nn.Module itself, without detach or no_grad inside, if there is one",
            )
        ]
