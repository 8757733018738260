"""A run as the report reads it: estimates found by what they are, layers in network order, names for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from semcon.core.explained import BASELINES
from semcon.core.record import Estimate, Finding, GaugeInfo, PerturbationRecord, ProfileRow, Record
from semcon.report.numbers import words

QUANTITIES = {
    "relative_change": "relative change",
    "within_class_change": "within-class change",
    "discontinuity": "discontinuity",
    "flip": "flips",
    "flip_probability": "flip probability along a sequence",
    "mean_corruption_error": "mean corruption error, of the first's",
    "mean_flip_rate": "mean flip rate, of the first's",
    "accuracy": "accuracy",
    "accuracy_kept": "accuracy kept",
    "confidence_drop": "confidence drop",
    "change": "change",
    "any_nearer_20": "any of 20 nearer",
    "critical_severity": "critical severity",
    "gradient_norm": "gradient norm",
    "local_lipschitz": "local Lipschitz",
    "input_curvature": "curvature",
    "lipschitz": "Lipschitz constant in a ball",
    "straightness": "straightness of the path",
    "path_curvature": "curvature of the path",
    "rank_correlation": "rank correlation",
    "ssim": "SSIM",
    "top_overlap": "overlap of the top tenth",
    "cosine": "cosine",
    "moved": "moved, prediction unchanged",
    **{f"{way}_{ground}": f"{way}, {ground}" for way in ("insertion", "deletion") for ground in BASELINES},
    "deletion_road": "deletion, imputed (ROAD)",
    "infidelity": "infidelity",
    "max_sensitivity": "max-sensitivity",
    "randomised": "rank correlation with shuffled weights",
    "mass_inside": "mass on the object",
    "pointing_game": "pointing game",
    "mask_iou": "IoU with the object",
    "gini": "Gini index",
    "entropy": "entropy",
    "follows": "predictions follow it",
    "factor_lift": "accuracy above the commonest class",
    "factor_changed": "right answers that copies change",
    "factor_fall": "accuracy that copies cost",
    "accuracy_gap": "gap in accuracy",
    "flip_gap": "gap in flips",
    "relative_change_gap": "gap in relative change",
}
FAMILIES = {
    "photometric": "photometric",
    "noise": "noise",
    "blur_and_coding": "blur and coding",
    "geometry": "geometry",
    "weather": "weather",
    "occlusion": "occlusion",
    "frequency": "frequency",
    "shape_and_texture": "shape and texture",
    "additive_ball": "additive ball",
}
NO_WHOLE = ("adversarial", "axis_meaning", "bias_search", "group_gap", "transfer")
"""Evaluations whose mean over all that was tried means nothing."""
SEVERITIES = ("issue", "warning", "note")
_OF_A_GAUGE = {
    "change", "relative_change", "within_class_change", "discontinuity", "any_nearer_20", "local_lipschitz",
}  # fmt: skip
_DEPTH = {"pixels": 0, "penultimate": 2, "logits": 3, "probabilities": 4}
_Key = tuple[str, str | None, float | None, str, str | None, str | None, str]


def property_name(perturbation: str) -> str:
    """What the bias search takes from another image, in words: `colour_of_another` -> `colour`."""
    return words(perturbation).removesuffix(" of another")


@dataclass(frozen=True)
class Reading:
    """One run. `label`: what the report calls it; `folder`: where its pictures are."""

    record: Record
    folder: Path
    label: str

    @cached_property
    def _estimates(self) -> dict[_Key, Estimate]:
        return {
            (e.quantity, e.perturbation, e.severity, e.draws, e.representation, e.distance, e.subset): e
            for e in self.record.estimates
        }

    @cached_property
    def _profile(self) -> dict[tuple[str, str], ProfileRow]:
        return {(row.family, row.quantity): row for row in self.record.profile}

    def made(self, evaluation: str) -> bool:
        """Whether this run has an evaluation besides continuity."""
        return any(one.name == evaluation for one in self.record.evaluations)

    def of(self, evaluation: str) -> Reading:
        """This run as if it had made one evaluation alone."""
        return Reading(self.record.evaluation(evaluation), self.folder, self.label)

    @cached_property
    def primary(self) -> GaugeInfo | None:
        """The gauge that the headline figures use."""
        return next((gauge for gauge in self.gauges if gauge.name == self.record.settings.primary), None)

    @property
    def gauges(self) -> tuple[GaugeInfo, ...]:
        """Every representation with every distance that was measured."""
        return self.record.settings.gauges

    @property
    def perturbations(self) -> tuple[PerturbationRecord, ...]:
        """In the order of their families."""
        order = list(FAMILIES)
        known = self.record.settings.perturbations
        return tuple(sorted(known, key=lambda p: (order.index(p.family) if p.family in order else len(order), p.name)))

    @property
    def findings(self) -> list[Finding]:
        """Issues first."""
        return sorted(self.record.findings, key=lambda finding: SEVERITIES.index(finding.severity))

    @property
    def families(self) -> list[str]:
        """The families of this run, in the report's order."""
        return list(dict.fromkeys(p.family for p in self.perturbations))

    def perturbation(self, name: str) -> PerturbationRecord | None:
        """How a perturbation was used; None where it was not."""
        return next((p for p in self.record.settings.perturbations if p.name == name), None)

    def get(
        self,
        quantity: str,
        perturbation: str | None = None,
        severity: float | None = None,
        *,
        draws: str = "random",
        gauge: GaugeInfo | None = None,
        subset: str = "all",
    ) -> Estimate | None:
        """The one estimate of this description; a gauge's quantity is the primary gauge's unless one is named."""
        look = (gauge or self.primary) if quantity in _OF_A_GAUGE else None
        representation, distance = (look.representation, look.distance) if look else (None, None)
        return self._estimates.get((quantity, perturbation, severity, draws, representation, distance, subset))

    def family(self, family: str, quantity: str) -> ProfileRow | None:
        """One entry of the continuity profile."""
        return self._profile.get((family, quantity))

    @cached_property
    def accuracy(self) -> Estimate | None:
        """Accuracy on the untouched images; None without labels."""
        found = self.get("accuracy")
        return found if found is not None and found.mean is not None else None

    @cached_property
    def has_worst(self) -> bool:
        """Whether worst cases were searched."""
        return any(e.draws == "worst" for e in self.record.estimates)

    def depth(self) -> list[GaugeInfo]:
        """One gauge per representation, from the pixels to the probabilities: L2 where there is L2."""
        first: dict[str, GaugeInfo] = {}
        for gauge in sorted(self.gauges, key=lambda gauge: gauge.distance != "l2"):
            first.setdefault(gauge.representation, gauge)
        order = [gauge.representation for gauge in self.gauges]
        return sorted(first.values(), key=lambda g: (_DEPTH.get(g.representation, 1), order.index(g.representation)))

    def classes(self) -> list[str]:
        """The classes that have figures of their own, in the data's order."""
        subsets = dict.fromkeys(e.subset for e in self.record.estimates if e.subset.startswith("class:"))
        names = [subset.removeprefix("class:") for subset in subsets]
        order = {name: place for place, name in enumerate(self.record.data.classes or ())}
        return sorted(names, key=lambda name: order.get(name, len(order)))


def readings(runs: Sequence[tuple[Record, Path]]) -> list[Reading]:
    """Runs with labels that tell them apart: the model's name, numbered where two are equal."""
    names = [record.subject.name for record, _ in runs]
    labels: list[str] = []
    for place, name in enumerate(names):
        labels.append(f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name)
    return [Reading(record, folder, label) for (record, folder), label in zip(runs, labels, strict=True)]
