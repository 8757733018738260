"""Normalization: is the stated mean and standard deviation what the model was trained with?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence
from semcon.subject import Subject

LEVEL = 1e-4
GAIN = 0.05
QUICK = 0.1  # level at which an alternative must do better on few images before it is tried on all
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


class Normalization(Check):
    """Labelled images: another usual preprocessing classifies clearly better than the stated one."""

    code = "normalization"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding naming the better preprocessing, by an exact paired test (level 1e-4) and 5 points at least."""
        if not evidence.labels_known:
            return []
        stated = _stated(evidence)
        tried = {
            name: _right(evidence, subject)
            for name, subject in _alternatives(evidence.subject).items()
            if _worth_a_try(_right(evidence, subject, evidence.few), stated[: evidence.few])
        }
        better = {name: right for name, right in tried.items() if _clearly_better(right, stated)}
        if not better:
            return []
        best = max(better, key=lambda name: better[name].mean())
        accuracy = ", ".join(f"{name} {right.mean():.1%}" for name, right in tried.items())
        return [
            self.finding(
                f"on {len(stated)} images accuracy is {stated.mean():.1%} with the stated mean and std "
                f"({_shown(evidence.subject.mean)}; {_shown(evidence.subject.std)}) and {better[best].mean():.1%} with "
                f"{best}: the normalisation is missing, applied twice, or another model's ({accuracy})",
                f"give the --mean and --std that the model was trained with; here {best} does better",
            )
        ]


def _alternatives(subject: Subject) -> dict[str, Subject]:
    """The same model with the normalisations that are usually confused with its own."""
    ones = (1.0,) * subject.channels
    mean, std = (np.broadcast_to(np.array(part), subject.channels) for part in (subject.mean, subject.std))
    found = {
        "no normalisation": subject.variant((0.0,), (1.0,)),
        "pixels in 0..255": subject.variant((0.0,), (1 / 255,)),
        "pixels in -1..1": subject.variant((0.5,), (0.5,)),
    }
    if not np.allclose(mean, 0) or not np.allclose(std, 1):
        found["the stated one applied twice"] = subject.variant(tuple(mean + std * mean), tuple(std * std))
    if len(ones) == 3:
        found["ImageNet's"], found["CIFAR-10's"] = subject.variant(*IMAGENET), subject.variant(*CIFAR10)
    return found


def _right(evidence: Evidence, subject: Subject, images: int | None = None) -> NDArray[np.bool_]:
    """Which of the first images of the probe a subject gets right; of all without a number."""
    labels = evidence.probe.labels[:images].numpy()
    return evidence.logits(len(labels), subject=subject).argmax(1).cpu().numpy() == labels


def _stated(evidence: Evidence) -> NDArray[np.bool_]:
    """Which images of the probe are right as they were measured: they are the first of the table."""
    images = evidence.table.images.sort("position").head(len(evidence.probe.labels))
    return (images["label"] == images["prediction"]).fill_null(False).to_numpy()


def _worth_a_try(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
    return gained > lost and float(binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue) < QUICK


def _clearly_better(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
    if float(one.mean() - other.mean()) < GAIN or gained + lost == 0:
        return False
    return float(binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue) < LEVEL


def _shown(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
