"""Layer: the output of any named module, or the penultimate features."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semcon.core.concepts import Representation, View


@dataclass(frozen=True)
class Layer(Representation):
    """What the module called `layer` puts out; `penultimate` is the input of the last linear layer. (B, ...)."""

    layer: str

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer

    @property
    def layers(self) -> tuple[str, ...]:
        """That layer."""
        return (self.layer,)

    def __call__(self, view: View) -> Tensor:
        """(B, ...)."""
        return view.layers[self.layer]
