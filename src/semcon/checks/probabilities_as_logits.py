"""Probabilities as logits: the model ends in a softmax."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class ProbabilitiesAsLogits(Check):
    """Outputs are non-negative and sum to 1. (Log-probabilities are fine: logits are centred.)"""

    code = "probabilities-as-logits"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding where every row of outputs is a probability vector."""
        outputs = evidence.logits(evidence.few)
        sums = (outputs.sum(1) - 1).abs().max()
        if float(outputs.min()) < -1e-6 or float(sums) > 1e-3:
            return []
        return [
            self.finding(
                "the outputs are probabilities (non-negative, rows sum to 1), and logits were expected: a second "
                "softmax flattens them, and changes near certainty are hidden",
                "return the values before the final softmax",
            )
        ]
