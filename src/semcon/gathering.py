"""Tensors from all processes of a distributed run, with or without their gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def processes() -> int:
    """How many processes train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process among them."""
    return distributed.get_rank() if processes() > 1 else 0


def gathered(values: Tensor, through: torch.device | None = None) -> Tensor:
    """The rows of all processes in the order of their ranks, (W B, ...); every process gives as many.

    `through`: the device that processes talk on, for values kept on another.
    """
    if processes() == 1:
        return values
    if through is not None and through != values.device:
        return gathered(values.to(through)).to(values.device)
    parts = [torch.empty_like(values) for _ in range(processes())]
    distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def everywhere(values: Tensor) -> Tensor:
    """`gathered`, through which gradients flow back to the process that each row came from, summed over processes."""
    return values if processes() == 1 else _Everywhere.apply(values)


class _Everywhere(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.rows = len(values)
        return gathered(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous()
        distributed.all_reduce(whole)
        start = rank() * ctx.rows
        return whole[start : start + ctx.rows]
