"""Training mode: the model came with dropout and batch statistics switched on."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class TrainingMode(Check):
    """The module was in training mode when it was handed over; it was measured in eval mode and given back."""

    code = "training-mode"
    severity = "note"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding where any submodule was training."""
        if not evidence.subject.was_training:
            return []
        return [
            self.finding(
                "the model came in training mode, where dropout and batch statistics make outputs random and dependent "
                "on the batch; it was measured in eval mode and given back as it came",
                "call model.eval() before you use it for predictions",
            )
        ]
