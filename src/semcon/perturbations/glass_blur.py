"""Glass blur: seen through frosted glass, pixels displaced between two blurs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.filtering import in_blocks, sampled_gaussian
from semcon.keyed import Keys
from semcon.published import LEVELS, SOURCE, UNIT, Published

_SIGMA_REACH_ROUNDS = Published(
    identity=(0.0, None, 0.0),
    levels={
        32: ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        64: ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
        224: ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    },
)
_ROUNDS = 3
_STEPS = 4096  # what one uniform number of 24 bits is divided into, twice: a step down and a step across


@dataclass(frozen=True)
class GlassBlur(Perturbation):
    """Gaussian blur, then rounds in which every pixel takes the value of one up to d pixels away, then the blur again.

    A round visits the pixels from the last to the first and copies from the image as it then stands, so that a value
    can travel far; those within d of an edge stay. The published code was meant to swap, but copies, as the published
    images show. Here the chains of copies are followed all at once: the very same image for the same steps. At 224 px
    sigma runs from 0.7 to 1.5 pixels, d from 1 to 4, in 1 to 3 rounds; at 32 px 0.05 to 0.4, 1, in 1 or 2.
    Between levels a last round moves a share of the pixels. Source: Hendrycks and Dietterich, arXiv 1903.12261.
    """

    family = "blur_and_coding"
    unit = UNIT
    source = SOURCE
    parameters = "unbounded"
    ladder = LEVELS
    maximum = 5.0
    monotone = False
    parameter_gradient = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`steps`: (B, 3, H, W) in (0, 1), a step down and across for each round; `turn`: (B, H, W), who moves."""
        height, width = like.shape[2:]
        steps = keys.uniform("steps", (_ROUNDS, height, width)).to(like)
        return {"steps": steps, "turn": keys.uniform("turn", (height, width)).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """G (pixels of (G x) at their sources)."""
        return in_blocks(self._some, x, unit, severity, clip=True)

    def _some(self, x: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        sigma, reach, rounds = _SIGMA_REACH_ROUNDS.at(severity.detach(), x.shape[-2])
        blurred = sampled_gaussian(x, sigma)
        source = _sources(unit["steps"].detach(), unit["turn"].detach(), reach, rounds)
        plane = torch.arange(x.shape[0] * x.shape[1], dtype=torch.int32, device=x.device) * source.shape[1]
        place = source[:, None] + plane.view(*x.shape[:2], 1)
        moved = blurred.flatten().index_select(0, place.flatten()).view_as(x)
        return sampled_gaussian(moved, sigma)


def _sources(steps: Tensor, turn: Tensor, reach: Tensor, rounds: Tensor) -> Tensor:
    """Where each pixel's value comes from after all rounds, indices in its image (B, H W)."""
    height, width = turn.shape[1:]
    here = torch.arange(turn.numel(), dtype=torch.int32, device=turn.device)
    d = reach.view(-1, 1, 1)
    row, column = torch.arange(height, device=turn.device)[:, None], torch.arange(width, device=turn.device)
    inside = (((row > d) & (row <= height - d)) & ((column > d) & (column <= width - d))).to(turn)
    source = here
    for number in range(int(rounds.max().ceil())):
        moves = torch.lt(turn, (rounds - number).view(-1, 1, 1), out=torch.empty_like(turn)).mul_(inside)
        down, across = _steps(steps[:, number], d)
        step = down.mul_(width).add_(across).mul_(moves).int().flatten()
        source = source.index_select(0, _followed(here, step, moves.int().flatten()))
    return source.view(len(turn), -1) - here[:: height * width, None]


def _steps(uniform: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Whole steps from -d to d - 1, down and across; for a d that is no whole number those at the ends are rarer."""
    second = uniform * _STEPS
    first = second.floor()
    second = second.sub_(first).mul_(2).sub_(1)
    first = first.mul_(2 / _STEPS).add_(1 / _STEPS - 1)
    return first.mul_(d).floor_(), second.mul_(d).floor_()


def _followed(here: Tensor, step: Tensor, moves: Tensor) -> Tensor:
    """Whose old value each pixel takes, where `moves` (0 or 1) says whether a pixel takes that of the one `step` away.

    Where that one comes later in the image it has moved already, and has itself another's value: such steps are
    followed to their end, twice as far each time. All flat and 32-bit: long indices take several times as long.
    """
    target = here + step
    goes_on = moves.index_select(0, target).mul_(step.clamp(0, 1))
    last, farther = here, torch.addcmul(here, step, goes_on)
    while not torch.equal(last, farther):
        last, farther = farther, farther.index_select(0, farther)
    return target.index_select(0, last)
