"""Logits, centred."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Representation, View


@dataclass(frozen=True)
class Logits(Representation):
    """Logits minus their mean over classes: softmax cannot see that direction, so no figure may reward it. (B, K)."""

    gives = "scores"

    @property
    def name(self) -> str:
        """`logits`."""
        return "logits"

    def __call__(self, view: View) -> Tensor:
        """(B, K)."""
        return view.logits - view.logits.mean(dim=1, keepdim=True)
