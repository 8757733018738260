"""Jensen-Shannon: a bounded, symmetric divergence of two probability vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Distance


@dataclass(frozen=True)
class JensenShannon(Distance):
    """The divergence in nats (not its root): H((p + q) / 2) - (H(p) + H(q)) / 2, in [0, ln 2].

    Confidence matters by design: relative figures on probabilities are not scale-free. Source: Lin 1991,
    doi 10.1109/18.61115.
    """

    source = "doi 10.1109/18.61115"
    homogeneous = False
    wants = "probabilities"

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, K), (B, K) -> (B,); both rows sum to 1."""
        middle = (a + b) / 2
        return 0.5 * (_relative_entropy(a, middle) + _relative_entropy(b, middle)).clamp(min=0)

    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, K), (R, K) -> (B, R), in chunks of rows."""
        entropy_a, entropy_b = _negative_entropy(a), _negative_entropy(b)
        rows = max(1, (1 << 23) // max(1, b.numel()))
        mixed = [_negative_entropy((part[:, None] + b) / 2) for part in a.split(rows)]
        return ((entropy_a[:, None] + entropy_b) / 2 - torch.cat(mixed)).clamp(min=0)


def _negative_entropy(p: Tensor) -> Tensor:
    return torch.special.xlogy(p, p).sum(-1)


def _relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    tiny = torch.finfo(p.dtype).tiny
    return (p * (p.clamp(min=tiny).log() - q.clamp(min=tiny).log())).sum(-1)
