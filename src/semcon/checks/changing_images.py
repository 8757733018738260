"""Changing images: some are others each time they are read."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class ChangingImages(Check):
    """Images read again differ from what was read first, as under random transforms."""

    code = "changing-images"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding with the first names."""
        if not evidence.changing:
            return []
        return [
            self.finding(
                f"images differ when they are read again ({', '.join(evidence.changing[:3])}): an image, its copies "
                "and its draws then belong to different pictures, and no figure can be measured twice",
                "take random transforms (crops, flips, noise) out of the data set: semcon perturbs by itself",
            )
        ]
