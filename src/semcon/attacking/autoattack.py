"""AutoAttack, by the package `pyautoattack`: the field's reference, beside semcon's own attacks.

Source: Croce and Hein, arXiv 2003.01690. Four attacks: two APGD, FAB, Square with 5000 queries. Its draws follow the
place in the batch, not the image, so that its rows depend on the batch size a little.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor

from semcon.attacking.goal import Goal
from semcon.core.errors import MissingPackageError

FEW_CLASSES = 4  # the targeted loss divides by the gap to the fourth largest score


def installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("pyautoattack") is not None


def need() -> None:
    """Errors: `MissingPackageError` with the pip line."""
    if not installed():
        raise MissingPackageError("pyautoattack", "attacks", "AutoAttack")


def autoattack(x: Tensor, goal: Goal, eps: float, seed: int) -> Tensor:
    """The copies (B, 3, H, W) that the standard version ends with at L-inf `eps` / 255; untouched where it fails.

    With fewer than four classes the untargeted attacks stand in. The global random state is left as it was.
    """
    need()
    from pyautoattack import AutoAttack  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]

    with torch.no_grad():
        classes = goal.scores(x[:1]).shape[1]
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        few: dict[str, Any] = {"version": "custom", "attacks": ["apgd-ce", "fab", "square"]}
        options: dict[str, Any] = few if classes < FEW_CLASSES else {"version": "standard"}
        model: Any = goal.scores  # it calls it and does no more
        attack = AutoAttack(model, norm="Linf", eps=eps / 255, device=x.device, seed=seed, **options)
        attack.apgd.n_restarts = attack.fab.n_restarts = 1
        attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(9, classes - 1)
        copies, _ = attack.run_standard_evaluation(x, goal.leave, batch_size=len(x))
    return copies.detach()
