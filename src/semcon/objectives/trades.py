"""TRADES: cross-entropy plus the divergence to the worst neighbour that a search finds."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from semcon.constraint import evaluating
from semcon.core.concepts import Learner, Objective
from semcon.keyed import Keys
from semcon.neighbourhood import Neighbourhood
from semcon.search import SearchSettings


class Trades(Objective):
    """-log p(y | x) + beta KL(p(x) || p(x')), x' the neighbour of largest divergence found in evaluation mode.

    Under `linf` the search is projected sign ascent, as published; the start is a random draw of the ball, the step
    size falls by a half cosine. Perturbations without a bounded set take the best of `steps` draws. Nothing is detached
    in the divergence. Source: Zhang et al. 2019, arXiv 1901.08573, equation 5 and algorithm 1.
    """

    source = "arXiv 1901.08573"

    def __init__(self, neighbourhood: Neighbourhood, *, beta: float = 6.0, steps: int = 10) -> None:
        super().__init__()
        self.neighbourhood, self.beta, self.steps = neighbourhood, beta, steps

    @property
    def passes(self) -> float:
        """Image and copy, forward and backward; the clean prediction; the search."""
        return 7 + self.neighbourhood.search_passes(self.search)

    @property
    def search(self) -> SearchSettings:
        """From one random draw, or as many draws as there are steps."""
        return SearchSettings(self.steps, restarts=1, best_of=self.steps)

    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        """`cross_entropy`, `divergence`."""
        copy = self.worst(model, x, keys)
        clean, moved = model(torch.cat([x, copy])).chunk(2)
        return {
            "cross_entropy": functional.cross_entropy(clean, y, reduction="none"),
            "divergence": divergence(clean, moved),
        }

    def weights(self) -> dict[str, float]:
        """Beta on the divergence."""
        return {"divergence": self.beta}

    def worst(self, model: Learner, x: Tensor, keys: Keys) -> Tensor:
        """The worst neighbours found, (B, 3, H, W)."""
        with evaluating(model), torch.no_grad():
            clean = model(x)

            def farness(rows: Tensor, candidates: Tensor) -> Tensor:
                return divergence(clean[rows], model(candidates))

            return self.neighbourhood.worst(x, keys.within("trades"), farness, self.search)


def divergence(clean: Tensor, moved: Tensor) -> Tensor:
    """KL(softmax(clean) || softmax(moved)) in nats: (B, K), (B, K) -> (B,)."""
    log = clean.log_softmax(1)
    return (log.exp() * (log - moved.log_softmax(1))).sum(1)
