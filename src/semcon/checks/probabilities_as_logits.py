"""Probabilities as logits: the model ends in a softmax."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class ProbabilitiesAsLogits(Check):
    """Outputs are non-negative and sum to 1, or a single one is never outside [0, 1]. (Log-probabilities are fine.)"""

    code = "probabilities-as-logits"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding where every row of outputs is a probability vector, or the only output a probability."""
        outputs = evidence.logits(evidence.few)
        single = outputs[:, 1] * 2  # z where the two are -z/2 and z/2
        if outputs.shape[1] == 2 and bool((outputs[:, 0] == -outputs[:, 1]).all()):
            if float(single.min()) >= 0 and float(single.max()) <= 1:
                return [
                    self.finding(
                        "the only output lies between 0 and 1 for every image, as a sigmoid's, and a logit was "
                        "expected: taken for one, it makes every image class 1",
                        "return the value before the final sigmoid",
                    )
                ]
            return []
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
