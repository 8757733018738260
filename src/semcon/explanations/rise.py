"""RISE: the probability of the class under random masks, told of the pixels that they let through."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from semcon.class_score import flat, parts
from semcon.core.concepts import Explanation, Learner
from semcon.keyed import Keys


@dataclass(frozen=True)
class Rise(Explanation):
    """`samples` keyed masks of `cells` a side, each open with chance `share`, enlarged bilinearly and shifted.

    A pixel has the mean probability of the masks weighted by how far they let it through, over `share`, less what that
    says of every pixel, the mean probability: as published all maps hold that constant, which drowns what is counted
    from 0. The rest of the canvas is black.
    """

    samples: int = 256
    cells: int = 7
    share: float = 0.5

    needs_gradient = False
    stochastic = True
    source = "Petsiuk et al., arXiv 1806.07421"

    @property
    def passes(self) -> float:
        """One a mask."""
        return float(self.samples)

    @torch.no_grad()
    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """Signed."""
        own, height, width = keys.within("rise"), *x.shape[2:]
        cells = (own.uniform("cells", (self.samples, self.cells + 1, self.cells + 1)) < self.share).to(x)
        shift = own.uniform("shift", (self.samples, 2)).to(x)
        total, passed = x.new_zeros(2, len(x), height, width)
        sure = x.new_zeros(len(x), 1, 1)
        for part in parts(self.samples, x):
            masks = self._enlarged(cells[:, part], shift[:, part], height, width).transpose(0, 1)
            probability = subject(flat(masks[:, :, None] * x)).softmax(1)
            scores = probability.gather(1, target.repeat(len(masks))[:, None]).view(len(masks), -1)
            total, passed = total + torch.einsum("sb,sbhw->bhw", scores, masks), passed + masks.sum(0)
            sure = sure + scores.sum(0)[:, None, None] / self.samples
        return (total - sure * passed) / (self.samples * self.share)

    def _enlarged(self, cells: Tensor, shift: Tensor, height: int, width: int) -> Tensor:
        """(B, S, cells + 1, cells + 1) at a shift of up to one cell -> (B, S, height, width) in [0, 1]."""
        size = self.cells + 1
        down, across = (
            (torch.arange(n, device=cells.device).to(cells) + 0.5) / n * self.cells for n in (height, width)
        )
        places = shift.flatten(0, 1)
        rows = (down + places[:, :1]) / size * 2 - 1
        columns = (across + places[:, 1:]) / size * 2 - 1
        grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=-1)
        masks = functional.grid_sample(cells.flatten(0, 1)[:, None], grid, padding_mode="border", align_corners=False)
        return masks.view(*shift.shape[:2], height, width)
