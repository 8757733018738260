"""Pictures of explanations: an image, its copy, both maps and their difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from semcon.core.concepts import Explanation
from semcon.core.pictured import ExplainedEntry
from semcon.core.registry import file_name
from semcon.evaluating import Pictured
from semcon.explaining.likeness import rank_correlation
from semcon.explaining.stability import SCOPE, carry
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.plan import Trial
from semcon.measuring.trial_run import Drawn
from semcon.subject import Subject

IMAGES, PERTURBATIONS = 2, 3
HOT, COLD = (0.70, 0.12, 0.08), (0.12, 0.30, 0.62)
_CONTRAST = 0.99  # values beyond this quantile of a pair have its shade


@torch.no_grad()
def pictures(
    subject: Subject, explanations: Sequence[Explanation], trials: Sequence[Trial], batch: Batch, seed: int
) -> Iterator[Pictured]:
    """Two images of a batch, chosen by their keys alone so that models show the same ones, under a few perturbations.

    At each perturbation's highest severity, the first draw; what is drawn is what the rows are of.
    """
    rank = Keys(batch.ids, seed, 0, "pictures").bits("rank").argsort(stable=True)
    for place, trial in enumerate(trials[:PERTURBATIONS]):
        rows = rank[place * IMAGES : (place + 1) * IMAGES].tolist() or rank[:IMAGES].tolist()
        shown = Batch.concat([batch.part(slice(row, row + 1)) for row in rows])
        yield from _of_trial(subject, explanations, trial, shown, seed)


def _of_trial(
    subject: Subject, explanations: Sequence[Explanation], trial: Trial, batch: Batch, seed: int
) -> Iterator[Pictured]:
    x, severity = batch.x.to(subject.device), max(trial.severities)
    unit = trial.perturbation.sample(Keys(batch.ids, seed, 0, trial.name, x.device), x)
    copies = trial.perturbation(x, unit, severity, batch.context(subject.device))
    target, prediction = subject(x).argmax(1), subject(copies).argmax(1)
    drawn, keys = Drawn(trial, unit, severity, copies, prediction), Keys(batch.ids, seed, 0, SCOPE, x.device)
    for one in explanations:
        own = carry(one(subject, x, target, keys), drawn)
        other = one(subject, copies, target, keys)
        alike = rank_correlation(own, other)
        if not one.signed:  # what it says everywhere says nothing
            least = torch.minimum(own.amin((1, 2), keepdim=True), other.amin((1, 2), keepdim=True))
            own, other = own - least, other - least
        scale = scale_of(own, other)
        painted_maps = {"map": painted(own, scale), "copy_map": painted(other, scale)}
        painted_maps["difference"] = painted(other - own, scale)
        for row in range(len(x)):
            entry = ExplainedEntry(
                method=file_name(type(one)), perturbation=trial.name, severity=severity,
                sample=int(batch.ids[row]), title=batch.titles[row], prediction=str(int(target[row])),
                prediction_copy=str(int(prediction[row])),
                alike=None if bool(alike[row].isnan()) else float(alike[row]), files={},
            )  # fmt: skip
            tiles = {role: maps[row] for role, maps in painted_maps.items()}
            yield Pictured(entry, {"image": x[row], "copy": copies[row]} | tiles)


def painted(maps: Tensor, scale: Tensor) -> Tensor:
    """Maps (B, H, W) over their `scale` (B,), 0 white, positive red, negative blue: (B, 3, H, W)."""
    share = (maps / scale.view(-1, 1, 1).clamp(min=torch.finfo(maps.dtype).tiny)).clamp(-1, 1)[:, None]
    hot, cold = (maps.new_tensor(colour).view(1, 3, 1, 1) for colour in (HOT, COLD))
    return 1 - share.clamp(min=0) * (1 - hot) + share.clamp(max=0) * (1 - cold)


def scale_of(*maps: Tensor) -> Tensor:
    """One scale for the maps of an image that stand side by side: (B,)."""
    return torch.cat([one.flatten(1).abs() for one in maps], 1).float().quantile(_CONTRAST, dim=1)
