"""What a check of the measurement is given, and how all checks are run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from semcon.core.record import Estimate, Finding
from semcon.core.registry import available, load
from semcon.core.table import SampleTable
from semcon.loading import Batch
from semcon.measuring.fitting import fitting
from semcon.subject import Subject

Result = TypeVar("Result")


@dataclass(frozen=True)
class Evidence:
    """One audit as its checks see it.

    `probe`: at most 256 images on the canvas, labels as output indices, -1 without. `unlabelled`: how many images have
    no label. `median_size`: height and width of the images as they came. `skipped`: titles of unreadable images.
    `inert`: perturbations that change none of these images. `changing`: titles of images that were others when read
    again. `worst`: whether worst cases were asked for. `batch_size`: images per pass. `judged`: whether the run is
    about these images; a transfer alone is about others.
    """

    subject: Subject
    probe: Batch
    table: SampleTable
    estimates: Sequence[Estimate]
    labels_known: bool
    unlabelled: int
    median_size: tuple[int, int]
    skipped: tuple[str, ...]
    inert: tuple[str, ...]
    changing: tuple[str, ...]
    worst: bool
    batch_size: int
    judged: bool = True

    @property
    def few(self) -> int:
        """How many images settle a question of yes or no: an eighth of all, 16 to 64, so that checks stay cheap."""
        return max(16, min(64, len(self.table.images) // 8))

    def look(self, work: Callable[[Tensor], Result], images: int, batch_size: int | None = None) -> list[Result]:
        """`work` on the first images of the probe, on the device, without gradients, in batches that fit in memory."""

        def on_device(batch: Batch) -> Result:
            with torch.no_grad():
                return work(batch.x.to(self.subject.device))

        parts = self.probe.part(slice(images)).split(min(batch_size or self.batch_size, self.batch_size))
        return [result for part in parts for result in fitting(part, on_device)]

    def logits(self, images: int, *, subject: Subject | None = None, batch_size: int | None = None) -> Tensor:
        """(n, K) of the first images of the probe; `subject`: another than the one that is measured."""
        return torch.cat(self.look(subject or self.subject, images, batch_size))


class Check(ABC):
    """A question about the measurement itself. `code`: the file's name with hyphens."""

    code: ClassVar[str]
    severity: ClassVar[Literal["issue", "warning", "note"]]

    @abstractmethod
    def run(self, evidence: Evidence) -> list[Finding]:
        """What is found, with numbers, a reason and a remedy; nothing where all is well."""

    def finding(self, message: str, remedy: str) -> Finding:
        """A finding of this check."""
        return Finding(code=self.code, severity=self.severity, message=message, remedy=remedy)


_ORDER = ("issue", "warning", "note")


def run_checks(evidence: Evidence) -> list[Finding]:
    """Every check in the folder; issues first. A check that fails becomes a finding, and never ends the audit."""
    findings: list[Finding] = []
    for name in available("checks"):
        try:
            findings += load("checks", name)().run(evidence)
        except Exception as error:
            findings.append(
                Finding(
                    code="check-failed", severity="warning",
                    message=f"the check {name} could not be made: {type(error).__name__}: {error}",
                    remedy="the figures stand, but this question about them is open",
                )
            )  # fmt: skip
    return in_order(findings)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Issues first, notes last."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))
