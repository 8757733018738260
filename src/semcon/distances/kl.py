"""KL: the relative entropy of the copy's probabilities from the original's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Distance


@dataclass(frozen=True)
class Kl(Distance):
    """KL(a || b) = sum a (ln a - ln b) in nats; probabilities of the second below 1e-12 count as 1e-12.

    Not symmetric: the first argument is the untouched image. Not scale-free. Source: Kullback and Leibler 1951,
    doi 10.1214/aoms/1177729694.
    """

    source = "doi 10.1214/aoms/1177729694"
    homogeneous = False
    wants = "probabilities"

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, K), (B, K) -> (B,)."""
        return (a * (_log(a) - _log(b))).sum(1).clamp(min=0)

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, K), (R, K) -> (B, R)."""
        return ((a * _log(a)).sum(1, keepdim=True) - a @ _log(b).T).clamp(min=0)


def _log(p: Tensor) -> Tensor:
    return torch.log(p.clamp(min=1e-12))
