"""What an attack wants: that an image leaves its class; and the losses that lead there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

Scores = Callable[[Tensor], Tensor]
"""Canvas (B, 3, H, W) -> scores (B, K), the largest one the prediction."""


def margin(scores: Tensor, leave: Tensor) -> Tensor:
    """The best other score minus that of the class to leave, (B,): positive where it is left."""
    own = scores.gather(1, leave[:, None])
    return scores.scatter(1, leave[:, None], -torch.inf).max(1).values - own.squeeze(1)


@dataclass(frozen=True)
class Goal:
    """A model's scores, the class that every image of a batch shall leave, (B,), and one to go to, (B,), or any."""

    scores: Scores
    leave: Tensor
    enter: Tensor | None = None

    def of(self, rows: Tensor) -> Goal:
        """The goal for some of the images, by index (M,)."""
        return replace(self, leave=self.leave[rows], enter=None if self.enter is None else self.enter[rows])

    def towards(self, rank: int, clean: Tensor) -> Goal:
        """The same, but into the class that is the `rank`-th of the others, 0 the nearest, in `clean` scores (B, K)."""
        others = clean.scatter(1, self.leave[:, None], -torch.inf).argsort(dim=1, descending=True)
        return replace(self, enter=others[:, rank % (clean.shape[1] - 1)])


Loss = Callable[[Tensor, Goal], Tensor]
"""Scores (B, K) of copies, and the goal -> what rises on the way (B,)."""


def by_margin(scores: Tensor, goal: Goal) -> Tensor:
    """The margin, of the best other class or of the one to enter."""
    if goal.enter is None:
        return margin(scores, goal.leave)
    return scores.gather(1, torch.stack((goal.enter, goal.leave), dim=1)) @ scores.new_tensor([1.0, -1.0])


def by_cross_entropy(scores: Tensor, goal: Goal) -> Tensor:
    """Cross-entropy of the class to leave. It is flat where the softmax is saturated; the margin is not."""
    return functional.cross_entropy(scores, goal.leave, reduction="none")


LOSSES: dict[str, Loss] = {"margin": by_margin, "target": by_margin, "cross_entropy": by_cross_entropy}


def left(scores: Tensor, leave: Tensor) -> Tensor:
    """Which images have left their class, (B,) bool: another score is the largest, and none is NaN."""
    return (scores.argmax(1) != leave) & ~scores.isnan().any(1)


def of_probabilities(model: Scores) -> Scores:
    """The scores of a model that ends in a softmax: the logarithm of its outputs, which undoes it up to a constant."""
    return lambda x: model(x).clamp(min=torch.finfo(torch.float32).tiny).log()


@torch.no_grad()
def gives_probabilities(model: Scores, like: Tensor) -> bool:
    """Whether the outputs on fixed random images of the shape of `like` (1, 3, H, W) are probability vectors."""
    noise = torch.rand((8, *like.shape[1:]), generator=torch.Generator().manual_seed(0)).to(like)
    outputs = model(noise)
    return bool(outputs.min() >= -1e-6) and bool((outputs.sum(1) - 1).abs().max() < 1e-3)
