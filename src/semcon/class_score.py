"""The score of a class and its gradient on the canvas: what explanations are made from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from semcon.canvas import images_per_pass
from semcon.core.concepts import Learner


def class_score(subject: Learner, x: Tensor, target: Tensor) -> Tensor:
    """The logit of a class: (B, 3, H, W), (B,) -> (B,)."""
    return subject(x).gather(1, target[:, None]).squeeze(1)


def class_probability(subject: Learner, x: Tensor, target: Tensor) -> Tensor:
    """The probability of a class: (B, 3, H, W), (B,) -> (B,)."""
    return subject(x).softmax(1).gather(1, target[:, None]).squeeze(1)


def answered(logits: Tensor) -> tuple[Tensor, Tensor]:
    """How sure a model is of the class that it predicts, and which that is: (B, K) -> (B,), (B,).

    By the logits: probabilities as close as rounding would tie, and the lowest class win.
    """
    prediction = logits.argmax(1)
    return logits.softmax(1).gather(1, prediction[:, None]).squeeze(1), prediction


def class_gradient(subject: Learner, x: Tensor, target: Tensor) -> Tensor:
    """The gradient of the class's logit on the canvas, (B, 3, H, W); differentiable where x asks for it."""
    again = x.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        source = x if again else x.detach().requires_grad_()
        score = class_score(subject, source, target).sum()
        return torch.autograd.grad(score, source, create_graph=again)[0]


def parts(copies: int, x: Tensor) -> Iterator[slice]:
    """Which copies of images (B, 3, H, W) go through the network together."""
    height, width = x.shape[2:]
    step = max(1, images_per_pass(height, width, x.device) // len(x))
    return (slice(start, min(copies, start + step)) for start in range(0, copies, step))


def flat(copies: Tensor) -> Tensor:
    """(S, B, ...) -> (S B, ...)."""
    return copies.flatten(0, 1)
