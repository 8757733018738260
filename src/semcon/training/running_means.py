"""What a training run tells every few steps: the means of its loss and terms since it last told them."""

from __future__ import annotations

import torch
from torch import Tensor

from semcon.gathering import gathered


class RunningMeans:
    """Sums on the device since the last line; of the steps since then, their rows and which terms were finite."""

    def __init__(self) -> None:
        self.steps = 0
        self.sums: dict[str, Tensor] = {}
        self.recent: list[tuple[int, Tensor, dict[str, Tensor]]] = []

    def add(self, step: int, rows: Tensor, loss: Tensor, terms: dict[str, Tensor]) -> None:
        """Count one step: its `rows` of the data, its loss and the terms (B,) that made it."""
        self.steps += 1
        self.recent.append((step, rows, {"loss": loss.detach(), **{k: v.detach() for k, v in terms.items()}}))
        for name, value in {"loss": loss.detach(), **{k: v.detach().mean() for k, v in terms.items()}}.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def first_bad(self) -> tuple[int, Tensor, list[str]]:
        """The first step whose loss was not finite on some process: its number, its rows, its terms that were not."""
        for step, rows, terms in self.recent:
            finite = torch.stack([value.isfinite().all() for value in terms.values()])
            every = gathered(finite[None]).all(0).tolist()
            if not every[0]:
                bad = [name for name, fine in zip(terms, every, strict=True) if name != "loss" and not fine]
                return step, gathered(rows), bad
        step, rows, _ = self.recent[-1]
        return step, gathered(rows), []

    def means(self) -> dict[str, float]:
        """Means over the steps and processes; the sums start again."""
        names = list(self.sums)
        values = gathered(torch.stack([self.sums[name] for name in names])[None]).cpu().double().mean(0) / self.steps
        self.steps, self.sums = 0, {}
        return dict(zip(names, values.tolist(), strict=True))
