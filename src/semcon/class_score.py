"""The score of a class and its gradient on the canvas: what explanations are made from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from semcon.core.concepts import Learner

TOGETHER = 64
"""Canvases in one pass: enough to keep a core busy, few enough for its caches."""


def class_score(subject: Learner, x: Tensor, target: Tensor) -> Tensor:
    """The logit of a class: (B, 3, H, W), (B,) -> (B,)."""
    return subject(x).gather(1, target[:, None]).squeeze(1)


def class_probability(subject: Learner, x: Tensor, target: Tensor) -> Tensor:
    """The probability of a class: (B, 3, H, W), (B,) -> (B,)."""
    return subject(x).softmax(1).gather(1, target[:, None]).squeeze(1)


def class_gradient(subject: Learner, x: Tensor, target: Tensor) -> Tensor:
    """The gradient of the class's logit on the canvas, (B, 3, H, W); differentiable where x asks for it."""
    again = x.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        source = x if again else x.detach().requires_grad_()
        score = class_score(subject, source, target).sum()
        return torch.autograd.grad(score, source, create_graph=again)[0]


def parts(copies: int, images: int) -> Iterator[slice]:
    """Which of each image's copies go through the network together."""
    step = max(1, TOGETHER // images)
    return (slice(start, min(copies, start + step)) for start in range(0, copies, step))


def flat(copies: Tensor) -> Tensor:
    """(S, B, ...) -> (S B, ...)."""
    return copies.flatten(0, 1)
