"""Pixels: the control, how far the copy moved in the input."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Representation, View


@dataclass(frozen=True)
class Pixels(Representation):
    """The canvas itself, (B, 3, H, W) in [0, 1]."""

    @property
    def name(self) -> str:
        """`pixels`."""
        return "pixels"

    def __call__(self, view: View) -> Tensor:
        """(B, 3, H, W)."""
        return view.canvas
