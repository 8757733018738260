"""Explanation focus: does the explanation lie on the object, and how concentrated is it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import torch
from torch import Tensor

from semcon.core.explained import CHANCE
from semcon.core.record import Finding
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion
from semcon.explaining.focus import entropy, gini, mask_iou, mass_inside, pointing_game
from semcon.explaining.map_evaluation import MapEvaluation, Mapped
from semcon.loading import Batch
from semcon.report.numbers import percent, words
from semcon.subject import Subject

_VOID = 0.1  # of the masks
_APART = 0.005  # shares of the canvas


@dataclass(frozen=True)
class ExplanationFocus(MapEvaluation):
    """Mass inside, pointing game and IoU where the data say where the object is; Gini index and entropy everywhere.

    Beside them what a map earns that knows nothing: as much as the object takes of the canvas.
    """

    version: ClassVar[int] = 3
    question: ClassVar[str] = "Does the explanation lie on the object, and how concentrated is it?"

    def measure(self, subject: Subject, mapped: Mapped) -> dict[str, Tensor]:
        """Focus and concentration, method by method."""
        found: dict[str, Tensor] = {}
        masks = mapped.batch.masks
        for name, maps in mapped.maps.items():
            if masks is not None:
                mask = masks[:, 0].to(maps)
                found[f"{name}.mass_inside"] = mass_inside(maps, mask)
                found[f"{name}.pointing_game"] = pointing_game(maps, mask)
                found[f"{name}.mask_iou"] = mask_iou(maps, mask)
            found[f"{name}.gini"] = gini(maps)
            found[f"{name}.entropy"] = entropy(maps)
        if masks is not None:
            share = masks.mean((1, 2, 3)).to(mapped.x)
            share = share.masked_fill(share == 0, torch.nan)
            found |= {f"{CHANCE}.mass_inside": share, f"{CHANCE}.pointing_game": share}
            found[f"{CHANCE}.mask_iou"] = share / (2 - share)
        return found

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """The share of the positive values inside, beside the object's share of the canvas."""
        return Conclusion(verdict=tuple(self._verdict(table)), findings=tuple(self._findings(table)))

    def _findings(self, table: SampleTable) -> Iterator[Finding]:
        """Of masks that say nothing: those without an object, and those with nothing else."""
        column = f"{CHANCE}.mass_inside"
        if column not in table.images.columns:
            return
        shares = table.images[column]
        for count, what in ((shares.null_count(), "show no object"), (int((shares == 1).sum()), "are all object")):
            if count > _VOID * len(shares):
                yield Finding(
                    code="masks-say-nothing", severity="warning",
                    message=f"{count} of {len(shares)} masks {what}",
                    remedy="masks are bright (above half of white, or 1 where they hold 0 and 1 alone) on the object "
                    "and dark elsewhere",
                )  # fmt: skip

    def _verdict(self, table: SampleTable) -> Iterator[str]:
        figures = {
            one.representation: one
            for one in summarise(table, seed=self.seed)
            if one.quantity == "mass_inside" and one.subset == "all"
        }
        area = figures.get(CHANCE)
        if area is None:
            yield (
                "Without masks it is only told how concentrated the maps are: Gini index and entropy. For folders, "
                "--masks names a folder of them."
            )
            return
        inside = {name: figures[name] for name in self.named if figures[name].mean is not None}
        if not inside:
            return
        areas = {name: self._area(table, name) for name in inside}
        apart = max(areas.values()) - min(areas.values()) > _APART
        told = [
            f"{words(name)} {percent(one.mean)} [{percent(one.low)}, {percent(one.high)}]"
            + (f" (the object: {percent(areas[name])})" if apart else "")
            for name, one in inside.items()
        ]
        where = "the object" if apart else f"the object, which takes {percent(max(areas.values()))} of the canvas"
        yield f"Of what a map counts in favour of the class, this lies on {where}: {', '.join(told)}."

    def _area(self, table: SampleTable, name: str) -> float:
        """What the object takes of the canvases whose maps have figures."""
        known = table.images.filter(pl.col(f"{name}.mass_inside").is_not_null())
        return float(known[f"{CHANCE}.mass_inside"].to_numpy().mean())
