"""Cross-entropy: the ordinary classification loss, on the images as they are."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from semcon.core.concepts import Learner, Objective
from semcon.keyed import Keys


class CrossEntropy(Objective):
    """-log p(y | x). The control: what training does without a word about perturbations."""

    source = "definition"

    @property
    def passes(self) -> float:
        """One forward and one backward pass."""
        return 3.0

    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        """`cross_entropy`."""
        return {"cross_entropy": functional.cross_entropy(model(x), y, reduction="none")}
