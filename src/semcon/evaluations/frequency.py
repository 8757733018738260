"""Frequencies: which of the image's the model uses, and which disturb it as noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import polars as pl

from semcon.core.kept import accuracy_kept
from semcon.core.pictured import MapRecord
from semcon.core.record import Estimate, PerturbationRecord
from semcon.core.registry import load
from semcon.core.table import SampleTable
from semcon.evaluating import Conclusion, Setting, TrialEvaluation
from semcon.loading import Batch
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.waves import NAME, Waves, heat_map, wave_rows
from semcon.progress import Progress
from semcon.report.listening import sentences
from semcon.report.numbers import number, percent, plain
from semcon.subject import Subject

_WAVES = {"fast": (17, 1 / 3), "standard": (33, 1 / 8), "full": (33, 1 / 4)}


@dataclass(frozen=True)
class Frequency(TrialEvaluation):
    """Low-pass and high-pass filters at five severities each, and Fourier noise with its heat map.

    `most` and `share`: how many frequencies a side the map has at most, and what share of them each image gets (see
    `Waves`). At 32 px an image takes about 50 waves with the fast budget, 70 with the standard and 130 with the full
    one; of 500, 2000 and 10 000 images a wave then meets about 170, 250 and 2500.
    """

    question: ClassVar[str] = "Which frequencies of the image does the model use, and which disturb it?"

    most: int = 33
    share: float = 1.0

    @classmethod
    def planned(cls, setting: Setting) -> Self:
        """Both filters at their ladders; a coarser map with the fast budget."""
        filters = {name: load("perturbations", name)() for name in ("low_pass", "high_pass")}
        trials = tuple(Trial(name, one, one.ladder) for name, one in filters.items())
        most, share = _WAVES[setting.budget]
        return cls(Plan(trials, (), seed=setting.seed, gradient_norm=False), most=most, share=share)

    def waves(self, subject: Subject) -> Waves:
        """What is laid over the images."""
        return Waves(subject.canvas.height, subject.canvas.width, self.most, self.share)

    def passes(self, subject: Subject) -> float:
        """The filters', and one a wave."""
        return super().passes(subject) + self.waves(subject).passes

    def attempts(self) -> tuple[PerturbationRecord, ...]:
        """The filters, and the noise by the middle of its band."""
        noise = PerturbationRecord(
            name=NAME, family="frequency", unit="radius of the frequency, share of the spectrum's", kind="place",
            source="Yin et al., arXiv 1906.08988", parameters="unbounded", version=1, severities=Waves.centres(),
            draws=1,
        )  # fmt: skip
        return (*super().attempts(), noise)

    def more(self, subject: Subject, progress: Progress) -> Callable[[Batch], pl.DataFrame] | None:
        """The waves."""
        waves = self.waves(subject)
        return lambda batch: wave_rows(subject, batch, waves, self.plan.seed, progress.advance)

    def conclude(self, subject: Subject, table: SampleTable, probe: Batch) -> Conclusion:
        """What share of accuracy the filters leave, and the Fourier heat map."""
        kept = accuracy_kept(table, seed=self.plan.seed)
        told = (*sentences(kept), *_of_bands(kept))
        return Conclusion(told, (self._map(subject, table),), estimates=tuple(kept))

    def _map(self, subject: Subject, table: SampleTable) -> MapRecord:
        waves = self.waves(subject)
        errors = heat_map(table, waves).tolist()
        return MapRecord(
            name="fourier", title="Fourier heat map" + _untouched(table),
            x_label="cycles per image, across", x=(float(waves.columns[0]), float(waves.columns[-1])),
            y_label="cycles per image, down", y=(float(waves.rows[0]), float(waves.rows[-1])),
            value_label="error rate" if table.labelled else "share of changed predictions",
            values=tuple(tuple(None if math.isnan(one) else one for one in row) for row in errors),
        )  # fmt: skip


def _untouched(table: SampleTable) -> str:
    """What the map is to be held against."""
    if not table.labelled:
        return ""
    wrong = (table.images["prediction"] != table.images["label"]).mean()
    return f"; error rate without a wave: {number(float(wrong))}" if isinstance(wrong, float) else ""


def _of_bands(kept: Sequence[Estimate]) -> tuple[str, ...]:
    """Where in the spectrum noise costs most and least, if that can be told."""
    bands = [one for one in kept if one.perturbation == NAME and one.mean is not None]
    if not bands:
        return ()
    worst, best = min(bands, key=lambda one: one.mean or 0), max(bands, key=lambda one: one.mean or 0)
    if worst.high is None or best.low is None or worst.high >= best.low:
        return ()
    least, most = (f"{percent(one.mean)} at radius {plain(one.severity or 0)}" for one in (worst, best))
    return (f"Under a wave of one frequency, always of the same strength, it keeps {least} and {most}.",)
