"""Stability training: cross-entropy plus how badly the clean prediction foretells the perturbed one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from semcon.core.concepts import Learner, Objective
from semcon.keyed import Keys
from semcon.neighbourhood import Neighbourhood


class StabilityTraining(Objective):
    """-log p(y | x) + alpha H(p(x), p(x')), H the cross-entropy of two predictions; x' is never labelled.

    Source: Zheng et al. 2016, arXiv 1604.04326, equations 2, 3 and 6 with Gaussian noise; here any perturbation.
    Nothing is detached.
    """

    source = "arXiv 1604.04326"

    def __init__(self, neighbourhood: Neighbourhood, *, alpha: float = 1.0) -> None:
        super().__init__()
        self.neighbourhood, self.alpha = neighbourhood, alpha

    @property
    def passes(self) -> float:
        """Image and copy, forward and backward."""
        return 6.0

    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        """`cross_entropy`, `stability`."""
        copy = self.neighbourhood.draw(x, keys.within("stability"))
        clean, moved = model(torch.cat([x, copy])).chunk(2)
        stability = -(clean.softmax(1) * moved.log_softmax(1)).sum(1)
        return {"cross_entropy": functional.cross_entropy(clean, y, reduction="none"), "stability": stability}

    def weights(self) -> dict[str, float]:
        """Alpha on the stability term."""
        return {"stability": self.alpha}
