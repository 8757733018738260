"""Label change: whether the arg max differs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Distance


@dataclass(frozen=True)
class LabelChange(Distance):
    """1 where the largest entries are at different places, else 0. No gradient."""

    source = "definition"
    homogeneous = True
    wants = "scores"

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, K), (B, K) -> (B,)."""
        return (a.argmax(1) != b.argmax(1)).to(a.dtype)

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, K), (R, K) -> (B, R)."""
        return (a.argmax(1)[:, None] != b.argmax(1)).to(a.dtype)
