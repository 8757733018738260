"""Augmentation: cross-entropy on the perturbed image with the label of the clean one."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from semcon.core.concepts import Learner, Objective
from semcon.keyed import Keys
from semcon.neighbourhood import Neighbourhood


class Augmentation(Objective):
    """-log p(y | P(x)). `share`: of the batch that is perturbed; the rest is seen as it is."""

    source = "definition"

    def __init__(self, neighbourhood: Neighbourhood, *, share: float = 1.0) -> None:
        super().__init__()
        self.neighbourhood, self.share = neighbourhood, share

    @property
    def passes(self) -> float:
        """One forward and one backward pass."""
        return 3.0

    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        """`cross_entropy`."""
        copy = self.neighbourhood.draw(x, keys.within("augmentation"))
        if self.share < 1:
            chosen = keys.within("augmentation").uniform("share") < self.share
            copy = copy.where(chosen.view(-1, 1, 1, 1), x)
        return {"cross_entropy": functional.cross_entropy(model(copy), y, reduction="none")}
