"""The margin over two directions around an image: what the surface looks like that gradients walk on."""

from __future__ import annotations

import torch
from torch import Tensor

from semcon.keyed import Keys
from semcon.measuring.slopes import Margin
from semcon.subject import Subject

SIDE = 21


def surface(subject: Subject, x: Tensor, directions: tuple[Tensor, Tensor], reach: float, side: int = SIDE) -> Tensor:
    """The margin of the class predicted at x over a square of copies, in margins of x: (side, side).

    x and both directions (3, H, W); copies x + (a first + b second) / 255, clipped; a from -reach on the left to reach
    on the right, b from reach at the top to -reach at the bottom. 1 in the middle; below 0 the prediction is another.
    """
    steps = torch.linspace(-reach, reach, side, device=x.device) / 255
    first, second = directions
    with torch.no_grad():
        top = subject(x[None]).argmax(1)
        row = x + steps.view(-1, 1, 1, 1) * first
        rows = [_margin(subject((row + step * second).clamp(0, 1)), top) for step in steps.flip(0)]
        return torch.stack(rows) / _margin(subject(x[None]), top)


def sign_directions(margin: Margin, keys: Keys, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """For each image the sign direction down the margin, and a keyed random one: (B, 3, H, W) each, of -1 and 1,
    with 0 where the gradient is 0.

    Without gradients both are random.
    """
    random = [(keys.bits(name, shape) >= 0).to(torch.float32) * 2 - 1 for name in ("first", "second")]
    first = random[0] if margin.gradient is None else -margin.gradient.sign()
    return first, random[1]


def _margin(logits: Tensor, top: Tensor) -> Tensor:
    """The logit of class `top` (1,) less the best other: (B, K) -> (B,)."""
    own = logits[:, top]
    others = logits.index_fill(1, top, -torch.inf)
    return own.squeeze(1) - others.max(1).values
