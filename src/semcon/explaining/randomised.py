"""The sanity check: the same network with its weights shuffled; a map that stays the same does not explain them."""

from __future__ import annotations

import copy

import torch
from torch import nn

from semcon.subject import Subject


def randomised(subject: Subject, seed: int = 0) -> Subject | None:
    """The elements of every parameter in another, seeded order; None for a black box, and for what cannot be copied.

    Each layer keeps the distribution of its weights. Source: Adebayo et al., arXiv 1810.03292.
    """
    if subject.module is None:
        return None
    try:
        module = copy.deepcopy(subject.module)
    except (RuntimeError, TypeError, NotImplementedError):
        return None
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        shuffled = parameter.data.flatten()[order].view(parameter.shape)
        parameter.data = shuffled.contiguous(memory_format=_order_of(parameter))
    return subject.replaced(module)


def _order_of(parameter: nn.Parameter) -> torch.memory_format:
    last = parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last and not parameter.is_contiguous() else torch.contiguous_format
