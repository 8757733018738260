"""Duplicates: the same image several times."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence


class Duplicates(Check):
    """Some images have the same bytes; they share draws and count as one cluster in the intervals."""

    code = "duplicates"
    severity = "note"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding with their number, a warning's worth of them or few."""
        images = evidence.table.images
        repeated = len(images) - evidence.table.different
        if not repeated:
            return []
        first = images.filter(images["sample"].is_duplicated()).sort("sample", "position")["title"].to_list()
        return [
            self.finding(
                f"{repeated} of {len(images)} images repeat another one ({', '.join(first[:3])}): they share their "
                "draws and count as one in the intervals, but twice in the means",
                "remove the copies, above all where training and test data may share them",
            )
        ]
