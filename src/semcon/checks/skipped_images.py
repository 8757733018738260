"""Skipped images: some could not be read."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class SkippedImages(Check):
    """Unreadable images were left out, as --skip-bad asks."""

    code = "skipped-images"
    severity = "warning"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding with their number and the first names."""
        if not evidence.skipped:
            return []
        names = ", ".join(evidence.skipped[:5]) + (", ..." if len(evidence.skipped) > 5 else "")
        return [
            self.finding(
                f"{len(evidence.skipped)} of the images could not be read, left out: {names}",
                "repair or remove them: what fails to decode may not be a random sample",
            )
        ]
