"""Collapsed representation: different images look the same to the model."""

from __future__ import annotations

import torch

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence

SHARE = 1e-3


class CollapsedRepresentation(Check):
    """The centred logits or the penultimate features of different images hardly differ, measured by their own size."""

    code = "collapsed-representation"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding naming the representations."""
        subject = evidence.subject
        if len(evidence.probe.x) < 2:
            return []
        layers = ("penultimate",) if subject.has_penultimate else ()
        views = evidence.look(lambda x: subject.view(x, layers), 2 * evidence.few)
        logits = torch.cat([view.logits for view in views])
        looks = {"logits": logits - logits.mean(1, keepdim=True)}
        looks |= {layer: torch.cat([view.layers[layer] for view in views]) for layer in layers}
        flat = {name: _relative_spread(value.flatten(1).float()) for name, value in looks.items()}
        collapsed = {name: share for name, share in flat.items() if share < SHARE}
        if not collapsed:
            return []
        told = ", ".join(f"{name} {share:.1e}" for name, share in collapsed.items())
        return [
            self.finding(
                f"different images differ by less than {SHARE:.1%} of the size of the representation ({told}): "
                "relative figures divide by almost nothing and mean nothing",
                "check the weights (were they loaded?), the normalisation and the input range",
            )
        ]


def _relative_spread(z: torch.Tensor) -> float:
    """Mean distance from the mean over the mean norm; 0 where everything is 0."""
    size = float(z.norm(dim=1).mean())
    return float((z - z.mean(0)).norm(dim=1).mean()) / size if size > 0 else 0.0
