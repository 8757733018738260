"""GradCAM: the maps of a late layer, weighted by what they give to the class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from semcon.attribution import as_grid
from semcon.core.concepts import Explained, Explanation, Learner, View
from semcon.core.errors import SemconError, UnknownNameError
from semcon.keyed import Keys


@dataclass(frozen=True)
class GradCam(Explanation):
    """Channels weighted by their mean gradient, summed, negative values dropped, enlarged bilinearly to the canvas.

    `layer`: by its module name; None settles on the last one that still knows where. The tokens of a transformer are
    read as the grid that they are.
    """

    layer: str | None = None

    needs_gradient = True
    signed = False
    source = "Selvaraju et al., arXiv 1610.02391"

    @property
    def passes(self) -> float:
        """One forward, and a backward that ends at a late layer."""
        return 1.5

    def settled(self, subject: Explained) -> Self:
        """With a layer. Errors: `UnknownNameError` for one that is not there; `SemconError` where none has places."""
        if self.layer is not None:
            if self.layer not in subject.layer_names():
                raise UnknownNameError("layer", self.layer, subject.layer_names())
            return self
        found = subject.spatial_layer()
        if found is None:
            raise SemconError(
                "grad_cam needs a layer with places (B, C, h, w) or (B, tokens, C), and this model has none: choose "
                "another explanation, such as integrated_gradients"
            )
        return replace(self, layer=found)

    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """Never negative; all 0 where no place speaks for the class."""
        if self.layer is None:
            raise SemconError("grad_cam has no layer yet: call settled(subject) first, or name one")
        again = x.requires_grad and torch.is_grad_enabled()
        height, width = x.shape[2:]
        with torch.enable_grad():
            view = subject.view(x, (self.layer,)) if again else self._from_layer(subject, x.detach())
            output = view.layers[self.layer]
            score = view.logits.gather(1, target[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, output, create_graph=again, allow_unused=True)
            maps = as_grid(output if again else output.detach(), height, width)
            slopes = None if gradient is None else as_grid(gradient, height, width)
            if maps is None or slopes is None:
                what = "does not reach the logits" if gradient is None else f"gives {tuple(output.shape)}"
                raise SemconError(
                    f"grad_cam cannot use the layer {self.layer!r}, which {what}: expected maps (B, C, h, w) or tokens "
                    f"(B, N, C) in the proportions of the canvas, {height} x {width}"
                )
            cam = (slopes.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
            return functional.interpolate(cam.float(), (height, width), mode="bilinear").squeeze(1)

    def _from_layer(self, subject: Learner, x: Tensor) -> View:
        """With no graph before the layer, which costs memory and time; whole where the layer gives no single tensor."""
        layers = () if self.layer is None else (self.layer,)
        view = subject.view(x, layers, leaves=True)
        if view.logits.requires_grad and all(output.requires_grad for output in view.layers.values()):
            return view
        return subject.view(x.requires_grad_(), layers)
