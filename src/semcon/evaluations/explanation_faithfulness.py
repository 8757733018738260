"""Explanation faithfulness: does what the explanation calls important matter to the model?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import ClassVar, Self

import polars as pl
import torch
from torch import Tensor

from semcon.class_score import class_probability
from semcon.core.explained import CHANCE
from semcon.core.intervals import image_mean
from semcon.core.record import Estimate, Finding
from semcon.core.registry import file_name
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Setting
from semcon.explaining.curves import area, baseline, deletion, insertion, places
from semcon.explaining.fidelity import Removals, infidelity, max_sensitivity
from semcon.explaining.imputation import impute
from semcon.explaining.likeness import blank, rank_correlation_of_support
from semcon.explaining.map_evaluation import MapEvaluation, Mapped
from semcon.explaining.randomised import randomised
from semcon.loading import Batch
from semcon.report.numbers import interval, number, words
from semcon.subject import Subject

SAME = 0.5
"""A map that correlates more than this with that of shuffled weights does not depend on what was learned."""
_BLANK = 0.1
WHATS = {
    "road": "imputed from their surroundings", "mean": "replaced by the image's mean colour", "blur": "blurred",
    "noise": "replaced by noise", "black": "blackened",
}  # fmt: skip


@dataclass(frozen=True)
class ExplanationFaithfulness(MapEvaluation):
    """Insertion and deletion over several baselines, ROAD, infidelity, max-sensitivity, and the weights shuffled.

    Beside the curves those of an order that knows nothing. Nothing is asked of a map that says the same everywhere.
    `steps`: of the curves. `removals`: squares taken out for the infidelity. `draws`, `radius`: of the noise.
    """

    version: ClassVar[int] = 4
    question: ClassVar[str] = "Does what the explanation calls important matter to the model?"

    baselines: tuple[str, ...] = ("blur", "mean")
    road: bool = False
    steps: int = 8
    removals: int = 16
    draws: int = 2
    radius: float = 0.02

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """ROAD, more removals and draws from the standard budget on; more baselines and steps with the full one."""
        one = super().planned(setting)
        if setting.budget == "fast":
            return one
        if setting.budget == "standard":
            return replace(one, road=True, removals=32, draws=3)
        every = ("blur", "mean", "noise", "black")
        return replace(one, baselines=every, road=True, steps=20, removals=64, draws=10)

    def passes(self, subject: Subject) -> float:
        """Maps of the image, of noisy copies and of the shuffled network; curves and removals."""
        maps = super().passes(subject) - 1
        curves = (self.steps - 1) * (2 * len(self.baselines) + self.road) * (len(self.explanations) + 1)
        return 2 + maps * (2 + self.draws) + curves + len(self.baselines) + self.removals

    def control(self, subject: Subject) -> Subject | None:
        """The same network with its weights shuffled."""
        return randomised(subject, self.seed)

    def measure(self, subject: Subject, mapped: Mapped) -> dict[str, Tensor]:
        """Every figure, method by method."""
        x, target, keys = mapped.x, mapped.target, mapped.keys
        removed = Removals.drawn(subject, x, target, keys, self.removals)
        shuffled = mapped.control
        grounds = {kind: baseline(kind, x, keys) for kind in self.baselines}
        ends = {kind: class_probability(subject, ground, target)[None] for kind, ground in grounds.items()}
        ends["image"] = class_probability(subject, x, target)[None]
        found: dict[str, Tensor] = {}
        for name, one in self.named.items():
            maps = mapped.maps[name]
            figures = self._curves(subject, mapped, maps, grounds, ends)
            figures["infidelity"] = infidelity(removed.told_by(maps), removed.drop, scaled=True)
            figures["max_sensitivity"] = max_sensitivity(
                one, subject, x, target, keys, maps=maps, radius=self.radius, draws=self.draws
            )
            if shuffled is not None:
                figures["randomised"] = rank_correlation_of_support(maps, one(shuffled, x, target, keys))
            silent = blank(maps)
            found |= {f"{name}.{quantity}": told.masked_fill(silent, torch.nan) for quantity, told in figures.items()}
        order = keys.within(CHANCE).uniform("order", tuple(x.shape[2:])).to(x)
        curves = self._curves(subject, mapped, order, grounds, ends)
        return found | {f"{CHANCE}.{quantity}": values for quantity, values in curves.items()}

    def _curves(
        self, subject: Subject, mapped: Mapped, maps: Tensor, grounds: dict[str, Tensor], ends: dict[str, Tensor]
    ) -> dict[str, Tensor]:  # fmt: skip
        """`ends`: the probability (1, B) where the curves begin and end, of each baseline and of the image."""
        x, target, whole = mapped.x, mapped.target, ends["image"]
        shares = torch.linspace(0, 1, self.steps + 1, device=x.device)
        inner = shares[1:-1]
        found: dict[str, Tensor] = {}
        for kind, ground in grounds.items():
            put, gone = (curve(subject, x, target, maps, ground, inner) for curve in (insertion, deletion))
            found[f"insertion_{kind}"] = area(torch.cat([ends[kind], put, whole]), shares)
            found[f"deletion_{kind}"] = area(torch.cat([whole, gone, ends[kind]]), shares)
        if self.road:
            place, heights = places(maps), [whole[0]]
            for share in inner.tolist():
                copies = impute(x, place < round(share * maps[0].numel()), mapped.keys)
                heights.append(class_probability(subject, copies, target))
            found["deletion_road"] = area(torch.stack(heights), shares[:-1])
        return found

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """The best map by each baseline, and doubts."""
        figures = [one for one in summarise(table, seed=self.seed) if one.subset == "all" and one.mean is not None]
        return Conclusion(tuple(self._verdict(figures, table)), findings=tuple(self._findings(figures, table)))

    def _verdict(self, figures: list[Estimate], table: SampleTable) -> Iterator[str]:
        for kind in (*self.baselines, *(["road"] if self.road else [])):
            quantity = f"deletion_{kind}"
            every = {e.representation or "": e for e in figures if e.quantity == quantity}
            own = {name: one for name, one in every.items() if name != CHANCE}
            if not own:
                continue
            columns = {name: f"{name}.{quantity}" for name in own}
            everywhere = table.images.select(columns.values()).drop_nulls()  # blank maps have no figures
            best = min(own, key=lambda name: own[name].mean or 0)
            if len(everywhere):
                best = min(own, key=lambda name: float(everywhere[columns[name]].to_numpy().mean()))

            def lower(one: str, other: str, quantity: str = quantity) -> bool:
                return _lower(table, f"{one}.{quantity}", f"{other}.{quantity}", self._pairs)

            told = f"{number(own[best].mean)} {interval(own[best].low, own[best].high, own[best].mean)}"
            known = table.images.filter(pl.col(columns[best]).is_not_null())
            chance = number(float(known[f"{CHANCE}.{quantity}"].to_numpy().mean()))
            vain = [name for name in own if not lower(name, CHANCE)]
            start = f"While pixels are {WHATS[kind]}, the class's probability is"
            if best in vain:
                vain_all = "no order of these is shown to be better than that"
                yield f"{start} {told} on average in the order of {words(best)}, {chance} in a random one: {vain_all}."
                continue
            alike = [name for name in own if name != best and name not in vain and not lower(best, name)]
            tail = f"; chance could explain that {_named(alike)} fall behind" if alike else ""
            tail += f"; {_named(vain)}: not shown to be better than random" if vain else ""
            yield f"{start} lowest in the order of {words(best)}, {told} on average, {chance} in a random one{tail}."

    @property
    def _pairs(self) -> int:
        """Comparisons that a sentence may rest on."""
        return max(1, len(self.explanations) * (len(self.explanations) + 1) // 2)

    def _findings(self, figures: list[Estimate], table: SampleTable) -> Iterator[Finding]:
        if not any(one.quantity == "randomised" for one in figures):
            yield Finding(
                code="explanation-weights-not-shuffled", severity="note",
                message="whether the maps depend on the network's weights was not asked: this model is a black box, or "
                "cannot be copied",
                remedy="give the nn.Module itself, one that copy.deepcopy takes",
            )  # fmt: skip
        for one in figures:
            if one.quantity == "randomised" and one.low is not None and one.low > SAME:
                yield Finding(
                    code="explanation-ignores-weights", severity="warning",
                    message=f"the maps of {one.representation} hardly change when the network's weights are shuffled: "
                    f"their rank correlation is {one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]",
                    remedy="do not take them for what the model has learned; look at another explanation",
                )  # fmt: skip
        for one in self.explanations:
            column = f"{file_name(type(one))}.max_sensitivity"
            share = table.images[column].null_count() / max(1, len(table.images))
            if share > _BLANK:
                yield Finding(
                    code="explanation-blank", severity="warning",
                    message=f"{100 * share:.0f} % of the maps of {file_name(type(one))} are 0 everywhere",
                    remedy="name another layer, as grad_cam:LAYER, or look at another explanation",
                )  # fmt: skip


def _named(methods: list[str]) -> str:
    return ", ".join(words(name) for name in methods)


def _lower(table: SampleTable, one: str, other: str, pairs: int) -> bool:
    """Whether a column of the images is lower than another: the paired 95 % interval, Bonferroni's over `pairs`."""
    gaps = table.images.select("sample", gap=pl.col(one) - pl.col(other)).drop_nulls()
    if gaps.is_empty():
        return False
    reach = NormalDist().inv_cdf(1 - 0.025 / pairs)
    return image_mean(gaps["gap"].to_numpy(), gaps["sample"].to_numpy(), reach)[2] < 0
