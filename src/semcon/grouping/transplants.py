"""Pictures of the bias search: an image, the one that a property is taken from, and the copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from semcon.core.record import ExplainedEntry
from semcon.evaluating import Pictured
from semcon.grouping.factors import Factor
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.subject import Subject

IMAGES = 2
METHOD = "taken_from"


@torch.no_grad()
def pictures(subject: Subject, factors: Sequence[Factor], batch: Batch, seed: int) -> Iterator[Pictured]:
    """Two images of a batch for each property, chosen by their keys alone so that models show the same ones.

    The donor is the next image of another label, of another image without labels.
    """
    rank = Keys(batch.ids, seed, 0, "pictures").bits("rank").argsort(stable=True)
    x, labels, ids = (values[rank] for values in (batch.x.to(subject.device), batch.labels, batch.ids))
    masks = None if batch.masks is None else batch.masks.to(x.device)[rank]
    other = (labels[:, None] != labels) if bool((labels >= 0).all()) else (ids[:, None] != ids)
    for place, factor in enumerate(factors):
        for row in range(place * IMAGES, min((place + 1) * IMAGES, len(x))):
            strangers = other[row].roll(-row).nonzero().flatten()
            if not len(strangers):
                continue
            donor = (row + int(strangers[0])) % len(x)
            both = [slice(one, one + 1) for one in (row, donor)]
            copy = factor.transplant(
                *(x[one] for one in both), *(masks if masks is None else masks[one] for one in both)
            )
            before, after = (int(subject(one).argmax(1)) for one in (x[both[0]], copy))
            entry = ExplainedEntry(
                method=METHOD, perturbation=factor.name, severity=1.0, sample=int(ids[row]),
                title=batch.titles[int(rank[row])], prediction=str(before), prediction_copy=str(after), alike=None,
                files={},
            )  # fmt: skip
            yield Pictured(entry, {"image": x[row], "donor": x[donor], "copy": copy[0]})
