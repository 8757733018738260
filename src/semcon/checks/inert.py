"""Inert: perturbations that leave these images as they are."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class Inert(Check):
    """Perturbations that change no pixel of these images (hue on grey digits) were left out."""

    code = "inert"
    severity = "note"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding naming them."""
        if not evidence.inert:
            return []
        return [
            self.finding(
                f"{', '.join(evidence.inert)} change no pixel of these images, as colour does not on grey ones, and "
                "were left out: their figures would be 0 without meaning continuity",
                "nothing to do, unless the images were expected to have colour",
            )
        ]
