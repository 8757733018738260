"""What the bias search shows of itself: an image, the one that a property is taken from, and the copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.grouping.factors import Factor
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.subject import Subject

IMAGES = 2


@dataclass(frozen=True)
class Transplanted:
    """One copy, (3, H, W) like its image and its donor; `row`: the image's in the batch; predictions before, after."""

    factor: str
    row: int
    image: Tensor
    donor: Tensor
    copy: Tensor
    before: int
    after: int


@torch.no_grad()
def transplanted(subject: Subject, factors: Sequence[Factor], batch: Batch, seed: int) -> Iterator[Transplanted]:
    """Two images of a batch for each property, chosen by their keys alone so that models show the same ones.

    The donor is the next image of another label, of another image without labels.
    """
    rank = Keys(batch.ids, seed, 0, "pictures").bits("rank").argsort(stable=True)
    x, labels, ids = batch.x[rank].to(subject.device), batch.labels[rank], batch.ids[rank]
    masks = None if batch.masks is None else batch.masks[rank].to(x.device)
    other = (labels[:, None] != labels) if bool((labels >= 0).all()) else (ids[:, None] != ids)
    for place, factor in enumerate(factors):
        for row in dict.fromkeys((place * IMAGES + one) % len(x) for one in range(IMAGES)):
            strangers = other[row].roll(-row).nonzero().flatten()
            if not len(strangers):
                continue
            donor = (row + int(strangers[0])) % len(x)
            image, theirs = (x[one : one + 1] for one in (row, donor))
            own, foreign = (None if masks is None else masks[one : one + 1] for one in (row, donor))
            copy = factor.transplant(image, theirs, own, foreign)
            before, after = (int(subject(one).argmax(1)) for one in (image, copy))
            yield Transplanted(factor.name, int(rank[row]), image[0], theirs[0], copy[0], before, after)
