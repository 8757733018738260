"""Missing labels: some images have a label, and some have none."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class MissingLabels(Check):
    """Some labels are missing, and all were left aside: accuracy and what compares within a class need every one."""

    code = "missing-labels"
    severity = "warning"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding with their number."""
        images = len(evidence.table.images)
        if not 0 < evidence.unlabelled < images:
            return []
        return [
            self.finding(
                f"{evidence.unlabelled} of {images} images have no label, so that the labels of the others were left "
                "aside: accuracy and the figures that compare within a class are not given",
                "leave the images without a label out, or label them",
            )
        ]
