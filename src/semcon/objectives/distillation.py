"""Distillation: stay with what a teacher says of the clean images, and be continuous; needs no labels."""

from __future__ import annotations

import torch
from torch import Tensor

from semcon.alpha import Alpha
from semcon.constraint import ContinuityConstraint
from semcon.core.concepts import Learner, Objective
from semcon.keyed import Keys


class Distillation(Objective):
    """KL(teacher(x) || p(x)) + copies KL(teacher(x) || p(x')) + alpha DS(x, x'): a repair keeps its predictions.

    `copies`: weight of the teacher's clean prediction on the perturbed image. The teacher is no part of the state.
    Source: Hinton et al., arXiv 1503.02531, at temperature 1.
    """

    source = "arXiv 1503.02531"

    def __init__(
        self, teacher: Learner, constraint: ContinuityConstraint, alpha: Alpha | float = 4.0, *, copies: float = 0.0
    ) -> None:
        super().__init__()
        self._teacher = (teacher,)  # in a tuple: not a submodule
        self.constraint, self.copies = constraint, copies
        self.alpha = alpha if isinstance(alpha, Alpha) else Alpha(alpha)

    @property
    def passes(self) -> float:
        """The teacher's pass; forward and backward for images and copies; a search as for `Continuity`."""
        options, near = self.constraint.options, self.constraint.neighbourhood
        searched = 0.0 if options.search is None else 1 + near.search_passes(options.search)
        return 4 + options.share * (3 + searched)

    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        """`distillation`, `copies`, `continuity`."""
        with torch.no_grad():
            target = self._teacher[0](x).log_softmax(1)
        copies = self.constraint.copies(model, x, keys)
        clean, copy = self.constraint.views(model, x, copies)
        terms = {"distillation": _divergence(target, clean.logits)}
        if self.copies:
            moved = torch.zeros_like(terms["distillation"])
            own = _divergence(target[copies.rows], copy.logits) * copies.weight
            terms["copies"] = moved.index_put((copies.rows,), own)
        terms["continuity"] = self.constraint.penalty(clean, copy, copies)
        return terms

    def weights(self) -> dict[str, float]:
        """Alpha on the penalty, `copies` on the copies' own term."""
        return {"continuity": self.alpha.value} | ({"copies": self.copies} if self.copies else {})


def _divergence(target: Tensor, logits: Tensor) -> Tensor:
    """KL(exp(target) || softmax(logits)): (B, K) log-probabilities, (B, K) -> (B,)."""
    return (target.exp() * (target - logits.log_softmax(1))).sum(1)
