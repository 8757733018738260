"""Default preprocessing: nobody said how the model wants its input."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class DefaultPreprocessing(Check):
    """Neither the source nor the user named a mean and std: pixels went in as they are, in [0, 1]."""

    code = "default-preprocessing"
    severity = "warning"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        if evidence.subject.preprocessing != "default":
            return []
        return [
            self.finding(
                "no normalisation was given and the model's source names none: pixels in [0, 1] went in as they are",
                "give --mean and --std, or --mean 0 --std 1 if the model normalises by itself",
            )
        ]
