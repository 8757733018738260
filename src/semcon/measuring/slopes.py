"""How steep and how bent the margin is at an image: its gradient, the steepest chord in a ball, the curvature.

All three are divided by the margin of the untouched image (top logit less runner-up), so that scaling the logits
changes none of them. Differences of inputs are L2 norms on the canvas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Perturbation, Unit
from semcon.core.errors import SemconError
from semcon.search import SearchSettings, worst_case
from semcon.subject import Subject

SHORTEST = 1e-3  # chords shorter than this share of the radius say more of rounding than of the model


@dataclass(frozen=True)
class Margin:
    """Top logit less runner-up at an image, both classes fixed there: how far the prediction is from another.

    `logits` (B, K), centred; `top`, `second` (B,) class numbers; `value` (B,); `gradient` (B, 3, H, W) on the canvas.
    """

    logits: Tensor
    top: Tensor
    second: Tensor
    value: Tensor
    gradient: Tensor | None

    @classmethod
    def of(cls, logits: Tensor, source: Tensor | None = None) -> Margin:
        """From logits (B, K), with the gradient at the canvas `source` that they were computed from, where given."""
        top = logits.detach().argmax(1)
        second = logits.detach().scatter(1, top[:, None], -torch.inf).argmax(1)
        difference = _difference(logits, top, second)
        gradient = None if source is None else torch.autograd.grad(difference.sum(), source)[0]
        return cls(centred(logits.detach()), top, second, difference.detach(), gradient)

    @classmethod
    def at(cls, subject: Subject, x: Tensor) -> Margin:
        """Of a model at (B, 3, H, W), with the gradient where the model has one."""
        if not subject.differentiable:
            with torch.no_grad():
                return cls.of(subject(x))
        source = x.detach().requires_grad_()
        with torch.enable_grad():
            return cls.of(subject(source), source)

    def along(self, subject: Subject, x: Tensor) -> Tensor:
        """The gradient at other inputs (B, 3, H, W) of the difference between the same two classes."""
        source = x.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(_difference(subject(source), self.top, self.second).sum(), source)[0]

    def share(self, values: Tensor) -> Tensor:
        """(B,) over the margin; NaN where that is 0."""
        ratio = values / self.value
        return ratio.where(ratio.isfinite(), torch.nan)

    @property
    def slope(self) -> Tensor:
        """(B,): `gradient_norm`, the L2 norm of the gradient over the margin."""
        return self.share(_norm(self._known))

    @property
    def _known(self) -> Tensor:
        if self.gradient is None:
            raise SemconError("this margin was taken without its gradient: it needs a differentiable model")
        return self.gradient

    def downhill(self, x: Tensor, step: float) -> Tensor:
        """x less `step` times the sign of the gradient, clipped: towards the boundary."""
        return (x - step * self._known.sign()).clamp(0, 1)

    def curvature(self, subject: Subject, x: Tensor, step: float) -> Tensor:
        """(B,): `input_curvature`, |gradient at x' - gradient at x| / |x' - x| over the margin; x' is x `downhill`.

        `step` is on the canvas, in every value. NaN where x' = x. Source: Moosavi-Dezfooli et al., arXiv 1811.09716,
        whose loss is the cross-entropy: that saturates with confidence, so the margin stands in for it.
        """
        copy = self.downhill(x, step)
        return self.share(_norm(self.along(subject, copy) - self._known) / _norm(copy - x))


def centred(logits: Tensor) -> Tensor:
    """(B, K) less the mean over classes."""
    return logits - logits.mean(1, keepdim=True)


def steepest(
    ball: Perturbation, subject: Subject, x: Tensor, radius: float, margin: Margin, *,
    draw: Callable[[int], Unit], settings: SearchSettings, inner: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The copies (B, 3, H, W) in the ball that end the steepest chords found: see `chord`.

    A lower bound on the local Lipschitz constant: gradient ascent (`semcon.search`) from keyed draws. `ball`: with one
    parameter `field`, the change over the radius. `inner`: the copies found in a smaller ball, which lie in this one
    too: the first start, so that no larger ball has a smaller bound.
    """

    def objective(copy: Tensor) -> Tensor:
        return chord(subject(copy), x, copy, margin, shortest=SHORTEST * radius / 255)

    def start(number: int) -> Unit:
        return draw(number) if inner is None or number else {"field": (inner - x) * (255 / radius)}

    known = [objective(ball(x, start(number), radius)) for number in range(max(1, settings.restarts))]
    best = worst_case(
        ball, x, radius, start, objective=objective, settings=settings, gradients=subject.differentiable, known=known
    )
    return ball(x, best.unit, radius)


def chord(logits: Tensor, x: Tensor, copy: Tensor, margin: Margin, *, shortest: float = 0.0) -> Tensor:
    """(B,): |z(x') - z(x)| / |x' - x|, centred, from the logits (B, K) at x'; 0 where x' is within `shortest` of x."""
    change = torch.linalg.vector_norm(centred(logits) - margin.logits, dim=1)
    length = _norm(copy - x)
    return torch.where(length > shortest, change / length.clamp(min=1e-12), 0.0)


def _difference(logits: Tensor, top: Tensor, second: Tensor) -> Tensor:
    return (logits.gather(1, top[:, None]) - logits.gather(1, second[:, None])).squeeze(1)


def _norm(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values.flatten(1), dim=1)
