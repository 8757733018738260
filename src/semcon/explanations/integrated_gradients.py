"""Integrated Gradients: the gradient integrated on the straight way from a black canvas to the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semcon.class_score import class_gradient, flat, parts
from semcon.core.concepts import Explanation, Learner
from semcon.keyed import Keys


@dataclass(frozen=True)
class IntegratedGradients(Explanation):
    """Summed over the channels; over the pixels it sums up to f(x) - f(baseline), as far as `steps` reach.

    Gauss-Legendre nodes. `level`: of the baseline, the same everywhere on the canvas, 0 is black.
    """

    steps: int = 16
    level: float = 0.0

    needs_gradient = True
    source = "Sundararajan et al., arXiv 1703.01365"

    @property
    def passes(self) -> float:
        """Of all steps."""
        return 3.0 * self.steps

    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """Signed."""
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        shares = x.new_tensor((nodes + 1) / 2).view(-1, 1, 1, 1, 1)
        scale = x.new_tensor(weights / 2).view(-1, 1, 1, 1, 1)
        way = x - self.level
        total = torch.zeros_like(x)
        for part in parts(self.steps, x):
            points = self.level + shares[part] * way
            gradient = class_gradient(subject, flat(points), target.repeat(len(points)))
            total = total + (gradient.view_as(points) * scale[part]).sum(0)
        return (total * way).sum(1)
