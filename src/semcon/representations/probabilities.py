"""Probabilities: softmax of the logits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Representation, View


@dataclass(frozen=True)
class Probabilities(Representation):
    """Softmax over classes: confidence matters here by design, and figures are not scale-free. (B, K)."""

    gives = "probabilities"

    @property
    def name(self) -> str:
        """`probabilities`."""
        return "probabilities"

    def __call__(self, view: View) -> Tensor:
        """(B, K)."""
        return view.logits.softmax(dim=1)
