"""A model whose robustness is in doubt, with some images, and what can be asked of the two.

Sources: Athalye et al., arXiv 1802.00420; Carlini et al., arXiv 1902.06705.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semcon.attacking.ascent import Reached
from semcon.attacking.curve import Draws, Topple
from semcon.attacking.goal import Goal, Loss, Scores, by_margin
from semcon.attacking.space import Space
from semcon.core.concepts import Unit
from semcon.core.registry import load
from semcon.keyed import Keys

STANDING = 0.1  # share of the images that must stand at the size that is asked about


@dataclass(frozen=True)
class Suspect:
    """A model and images (n, 3, H, W) whose smallest toppling `critical` (n,) an attack by gradients found, in 1/255.

    `sizes`: the ladder of that attack; inf where none topples, 0 where an image was wrong from the start.
    """

    scores: Scores
    x: Tensor
    leave: Tensor
    ids: Tensor
    critical: Tensor
    sizes: tuple[float, ...]
    seed: int = 0

    def of(self, rows: Tensor) -> Suspect:
        """Some of the images, by index (M,)."""
        return replace(
            self, x=self.x[rows], leave=self.leave[rows], ids=self.ids[rows.cpu()], critical=self.critical[rows]
        )  # fmt: skip

    @property
    def right(self) -> Suspect:
        """The images that are right untouched."""
        return self.of(torch.nonzero(self.critical > 0).flatten())

    @property
    def size(self) -> float:
        """The largest size that enough images withstand: where a masked model looks best."""
        enough = [eps for eps in self.sizes if float((self.critical > eps).float().mean()) >= STANDING]
        return enough[-1] if enough else self.sizes[0]

    def space(self, eps: float) -> Space:
        """The L-inf ball of `eps` / 255 around each image."""
        return Space(load("perturbations", "linf")(), self.x, self.x.new_full((len(self.x),), eps))

    def draws(self, scope: str, first: int = 0) -> Draws:
        """Random parameters in it."""
        return Draws(
            load("perturbations", "linf")(), Keys(self.ids, self.seed + first, 0, scope, self.x.device), self.x
        )


@torch.no_grad()
def toppled(
    suspect: Suspect, eps: float, topple: Topple, scores: Scores | None = None, first: int = 1000
) -> Tensor:  # fmt: skip
    """Which images another attack topples at a size, (n,) bool; by draws from `first` on; `scores`: what it sees."""
    draws = suspect.draws("masking", first=first)
    goal, space = Goal(scores or suspect.scores, suspect.leave), suspect.space(eps)
    reached = Reached.nowhere(draws(0), suspect.scores(suspect.x[:1]).shape[1])
    topple(space, goal, reached, draws)
    return reached.fallen


def guided(scores: Scores, guide: Scores) -> Scores:
    """The scores of one model with the gradient of another: an attack by transfer that looks where it has got to."""

    def both(x: Tensor) -> Tensor:
        with torch.no_grad():
            own = scores(x)
        other = guide(x)
        return own + (other - other.detach()) if torch.is_grad_enabled() else own

    return both


def smoothed(scores: Scores, radius: float, copies: int = 8) -> Scores:
    """The mean scores over noise of standard deviation `radius` / 255: the same few fields for every call and image."""

    def mean(x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn((copies, *x.shape[1:]), generator=generator).to(x) * (radius / 255)
        return torch.stack([scores(x + one) for one in noise]).mean(0)

    return mean


@torch.no_grad()
def trace(suspect: Suspect, eps: float, steps: int) -> Tensor:
    """The largest margin so far along an ascent from the untouched images, (steps + 1, n); none is dropped."""
    goal, space = Goal(suspect.scores, suspect.leave), suspect.space(eps)
    unit: Unit = {"field": torch.zeros_like(suspect.x)}
    seen: list[Tensor] = []
    for _ in range(steps + 1):
        scores, slope = space.look(unit, goal, by_margin)
        seen.append(by_margin(scores, goal))
        unit = space.moved(unit, slope, 2.5 / steps)
    return torch.stack(seen).cummax(0).values


def gradients(suspect: Suspect, loss: Loss, away: float = 0.0) -> Tensor:
    """The gradient of a loss at the images, or at copies `away` / 255 from them, (n, values)."""
    space = suspect.space(max(away, 1.0))
    unit = suspect.draws("nearby")(0)
    unit = {name: value.sign() * (away / max(away, 1.0)) for name, value in unit.items()}
    return space.look(unit, Goal(suspect.scores, suspect.leave), loss)[1]["field"].flatten(1)
