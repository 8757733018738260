"""Small images: they are enlarged to fill the canvas."""

from __future__ import annotations

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence

FACTOR = 1.9


class SmallImages(Check):
    """The median image is enlarged about twice or more."""

    code = "small-images"
    severity = "warning"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding with both sizes."""
        canvas, (height, width) = evidence.subject.canvas, evidence.median_size
        factor = (canvas.resize or max(canvas.height, canvas.width)) / max(1, min(height, width))
        if factor < FACTOR:
            return []
        return [
            self.finding(
                f"the median image is {width} x {height} and is enlarged {factor:.1f} times to the {canvas.width} x "
                f"{canvas.height} canvas: severities in canvas pixels mean less than they say, and the model sees "
                "blurred images",
                "use images of about the canvas's size, or a model for small images (or --size)",
            )
        ]
