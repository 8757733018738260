"""Single class: all images have the same label."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class SingleClass(Check):
    """With one class only, different images are always of the same class."""

    code = "single-class"
    severity = "warning"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        if not evidence.labels_known or evidence.table.images["label"].n_unique() != 1:
            return []
        return [
            self.finding(
                "all images are of one class: the distance between different images is that within the class, so "
                "relative_change cannot be compared with that of other data, and accuracy has no chance level",
                "add images of the other classes",
            )
        ]
