"""SmoothGrad: the gradient averaged over noisy copies of the image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.class_score import class_gradient, flat, parts
from semcon.core.concepts import Explanation, Learner
from semcon.keyed import Keys


@dataclass(frozen=True)
class SmoothGrad(Explanation):
    """The mean gradient over `samples` copies with Gaussian noise of `noise` times the image's range.

    Then the largest absolute value over the channels. Copies are not clipped.
    """

    samples: int = 16
    noise: float = 0.15

    needs_gradient = True
    stochastic = True
    signed = False
    source = "Smilkov et al., arXiv 1706.03825"

    @property
    def passes(self) -> float:
        """Of all samples."""
        return 3.0 * self.samples

    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """Never negative."""
        own = keys.within("smooth_grad")
        sigma = self.noise * (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).view(-1, 1, 1, 1)
        total = torch.zeros_like(x)
        for part in parts(self.samples, x):
            noise = torch.stack([own.normal(f"noise {n}", tuple(x.shape[1:])) for n in range(part.start, part.stop)])
            count = len(noise)
            gradient = class_gradient(subject, flat(x + sigma * noise.to(x)), target.repeat(count))
            total = total + gradient.unflatten(0, (count, len(x))).sum(0)
        return (total / self.samples).abs().amax(1)
