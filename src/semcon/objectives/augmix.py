"""AugMix: mixed chains of perturbations, held together by a Jensen-Shannon term over three views."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from semcon.core.concepts import Learner, Objective
from semcon.keyed import Keys
from semcon.neighbourhood import Neighbourhood

SMALLEST = 1e-7  # of the mixture of predictions, as published


class Augmix(Objective):
    """-log p(y | x) + weight JS(p(x), p(x1), p(x2)), x1 and x2 mixtures of x and `width` chains of 1 to 3 operations.

    Mixing weights are Dirichlet(1, ..., 1) over chains and Beta(1, 1) with the image. Source: Hendrycks et al. 2020,
    arXiv 1912.02781, algorithm 1; the operations are the neighbourhood's, one after the other.
    """

    source = "arXiv 1912.02781"

    def __init__(self, neighbourhood: Neighbourhood, *, weight: float = 12.0, width: int = 3) -> None:
        super().__init__()
        self.neighbourhood, self.weight, self.width = neighbourhood, weight, width

    @property
    def passes(self) -> float:
        """Three views, forward and backward."""
        return 9.0

    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        """`cross_entropy`, `jensen_shannon`."""
        views = [self.mixed(x, keys.within(f"augmix.{number}")) for number in (1, 2)]
        logits = model(torch.cat([x, *views])).chunk(3)
        return {
            "cross_entropy": functional.cross_entropy(logits[0], y, reduction="none"),
            "jensen_shannon": jensen_shannon(logits),
        }

    def weights(self) -> dict[str, float]:
        """The published 12 on the Jensen-Shannon term."""
        return {"jensen_shannon": self.weight}

    @torch.no_grad()
    def mixed(self, x: Tensor, keys: Keys) -> Tensor:
        """One mixture per image: (B, 3, H, W) -> the same shape."""
        exponential = -keys.uniform("dirichlet", (self.width,)).log()
        shares = (exponential / exponential.sum(1, keepdim=True)).to(x)
        depths = (3 * keys.uniform("depth", (self.width,))).long() + 1
        mixture = torch.zeros_like(x)
        for chain in range(self.width):
            current = x
            for place in range(3):
                longer = (depths[:, chain] > place).view(-1, 1, 1, 1)
                current = torch.where(
                    longer, self.neighbourhood.draw(current, keys.within(f"{chain}.{place}")), current
                )
            mixture += shares[:, chain].view(-1, 1, 1, 1) * current
        own = keys.uniform("beta").to(x).view(-1, 1, 1, 1)
        return own * x + (1 - own) * mixture


def jensen_shannon(logits: tuple[Tensor, ...]) -> Tensor:
    """The mean divergence of each prediction from their mean, in nats: (B, K) each -> (B,)."""
    logs = [one.log_softmax(1) for one in logits]
    middle = torch.stack([log.exp() for log in logs]).mean(0).clamp(min=SMALLEST, max=1).log()
    return torch.stack([(log.exp() * (log - middle)).sum(1) for log in logs]).mean(0)
