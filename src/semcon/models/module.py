"""Module: a model that is in memory already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from semcon.built import Built
from semcon.core.errors import SemconError


@dataclass(frozen=True)
class Module:
    """An `nn.Module`, or any callable from a normalised batch to logits (then a black box without gradients)."""

    model: Any

    def build(self) -> Built:
        """As it is. Errors: `SemconError` for what cannot be called."""
        if not callable(self.model):
            raise SemconError(f"expected a model (an nn.Module, a callable or text), got {type(self.model).__name__}")
        kind = (
            type(self.model).__name__
            if isinstance(self.model, nn.Module)
            else getattr(self.model, "__name__", "callable")
        )
        return Built(self.model, kind, f"python:{kind}")
