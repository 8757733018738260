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
        p, q = _exact(a), _exact(b)
        return (p * (_log(p) - _log(q))).sum(1).clamp(min=0).to(a.dtype)

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, K), (R, K) -> (B, R)."""
        p, q = _exact(a), _exact(b)
        return ((p * _log(p)).sum(1, keepdim=True) - p @ _log(q).T).clamp(min=0).to(a.dtype)


def _exact(p: Tensor) -> Tensor:
    """Adding up to 1 in float64: of small changes little but rounding is left otherwise."""
    p = p.double()
    return p / p.sum(1, keepdim=True)


def _log(p: Tensor) -> Tensor:
    return torch.log(p.clamp(min=1e-12))
