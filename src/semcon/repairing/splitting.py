"""Splits by a keyed hash of the image: the same image is always on the same side, copies of it too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.errors import SemconError
from semcon.keyed import Keys

FEWEST = 300


@dataclass(frozen=True)
class Split:
    """Rows of a scan: to fit, to select by, and to judge with; `judge` is empty where other images judge."""

    fit: Tensor
    select: Tensor
    judge: Tensor


def split(ids: Tensor, seed: int, *, judge: bool) -> Split:
    """(N,) sample ids -> rows. Selection gets a fifth, from 100 to 1000 images; the judge, where wanted, a third.

    Errors: `SemconError` for fewer than 300 different images.
    """
    unique = ids.unique()
    if len(unique) < FEWEST:
        wanted = "fit, select and judge" if judge else "fit and select"
        raise SemconError(
            f"{len(unique)} different images are too few to split into {wanted}: expected {FEWEST} or more"
        )
    order = _shuffled(unique, seed)
    held = min(1000, max(100, len(unique) // 5))
    apart = len(unique) // 3 if judge else 0
    select, judged = order[:held], order[held : held + apart]
    return Split(_rows(ids, order[held + apart :]), _rows(ids, select), _rows(ids, judged))


def held_out(ids: Tensor, seed: int, share: float) -> tuple[Tensor, Tensor]:
    """(N,) sample ids -> the rows to train on, and those of a share of the different images, held out."""
    unique = ids.unique()
    order, count = _shuffled(unique, seed), round(share * len(unique))
    return _rows(ids, order[count:]), _rows(ids, order[:count])


def _shuffled(unique: Tensor, seed: int) -> Tensor:
    return unique[Keys(unique, seed, scope="split").bits("split").argsort(stable=True)]


def _rows(ids: Tensor, members: Tensor) -> Tensor:
    return torch.nonzero(torch.isin(ids, members)).flatten()
