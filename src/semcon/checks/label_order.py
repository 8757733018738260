"""Label order: do the labels mean the outputs they are compared with?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest

from semcon.core.record import Finding
from semcon.evidence import Check, Evidence

Labels = NDArray[np.int32]
LEVEL = 1e-4
GAIN = 0.1


class LabelOrder(Check):
    """A permutation of the labels, found on half of the images, explains the predictions far better on the other half.

    The permutation is the Hungarian assignment on the confusion matrix.
    """

    code = "label-order"
    severity = "issue"

    def run(self, evidence: Evidence) -> list[Finding]:
        """One finding with the accuracies and the first labels that moved."""
        if not evidence.labels_known:
            return []
        images = evidence.table.images.select("sample", "label", "prediction").sort("sample")
        labels, predictions = images["label"].to_numpy(), images["prediction"].to_numpy()
        classes = np.unique(labels)
        if len(classes) < 2:
            return []
        fit = np.arange(len(labels)) % 2 == 0
        mapping = _assignment(labels[fit], predictions[fit], classes)
        judged, guessed = labels[~fit], predictions[~fit]
        moved = np.array([mapping[label] for label in judged.tolist()])
        before, after = judged == guessed, moved == guessed
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        if after.mean() - before.mean() < GAIN or gained + lost == 0:
            return []
        if binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue >= LEVEL:
            return []
        changed = [f"{label} as {mapping[label]}" for label in classes.tolist() if mapping[label] != label]
        return [
            self.finding(
                f"accuracy is {before.mean():.1%} with the labels as they are and {after.mean():.1%} after they are "
                f"permuted (found on one half of the images, judged on the other): labels and outputs are in another "
                f"order ({', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''})",
                "give --classes FILE in which line i names output i, or sort the data's classes as in training",
            )
        ]


def _assignment(labels: Labels, predictions: Labels, classes: Labels) -> dict[int, int]:
    """Which output each label goes best with, one to one."""
    outputs = np.unique(np.concatenate([classes, predictions]))
    counts = np.zeros((len(classes), len(outputs)))
    np.add.at(counts, (np.searchsorted(classes, labels), np.searchsorted(outputs, predictions)), 1)
    counts[np.arange(len(classes)), np.searchsorted(outputs, classes)] += 1e-6
    rows, columns = linear_sum_assignment(-counts)
    return {int(classes[row]): int(outputs[column]) for row, column in zip(rows, columns, strict=True)}
