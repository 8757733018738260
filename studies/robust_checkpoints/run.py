"""Robust accuracy of five CIFAR-10 checkpoints by semcon's attacks and by AutoAttack; masked gradients made on purpose.

    python studies/robust_checkpoints/run.py DATA [--images 500] [--autoattack] [--out FILE]

DATA: the folder with `weights/cifar10` and `cifar10/test.parquet`. L-inf, eps 2/255, first test images, true labels.
PGD-20: 20 steps, one restart. Best: 50 steps, five restarts. AutoAttack (`pip install pyautoattack`): the standard one.
Findings: what the evaluation says of the first 64 images over sizes 0.5 to 8/255, for the five and for networks whose
gradients are masked. The file is written after every part, AutoAttack's last; parts that it holds are not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from environment import environment

from semcon.attacking.autoattack import autoattack
from semcon.attacking.goal import Goal
from semcon.built import Built, build_subject
from semcon.core.intervals import wilson
from semcon.core.table import SampleTable
from semcon.evaluations import Adversarial
from semcon.loading import Batch, Scan, batches, scan
from semcon.measuring.references import Index
from semcon.progress import Silent
from semcon.recipes.sources import parse_data, parse_model
from semcon.subject import Subject

EPS = 2.0
ONE = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OTHER = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
NETWORKS = {
    "resnet20": ("akamaster_resnet20", *ONE),
    "resnet56": ("akamaster_resnet56", *ONE),
    "resnet2b": ("robust_resnet2b", *OTHER),
    "resnet4b": ("robust_resnet4b", *OTHER),
    "oval_base": ("robust_oval_base_kw", (0.485, 0.456, 0.406), (0.225, 0.225, 0.225)),
}
STATED = {"resnet20": 0.4, "resnet56": 1.2, "resnet2b": 55.0, "resnet4b": 61.2, "oval_base": 50.4}  # PGD-20, per cent


class Masked(nn.Module):
    """A network behind something that hides its gradient, from [0, 1]."""

    def __init__(self, subject: Subject, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.subject, self.before, self.after = subject.module, subject, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.subject(self.before(x)))


def same(x: Tensor) -> Tensor:
    return x


MASKS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "input rounded to 9 levels": (lambda x: (8 * x).round() / 8, same),
    "output softmax(100 z)": (same, lambda z: (100 * z).softmax(1)),
    "logits 100 z": (same, lambda z: 100 * z),
    "input noise of 0.02": (lambda x: x + 0.02 * torch.randn_like(x), same),
    "input + sin(4000 x) / 255": (lambda x: x + torch.sin(4000 * x) / 255, same),
}


class Images:
    """The first images, read once for every network of their size."""

    def __init__(self, data: Path, count: int) -> None:
        self.dataset = parse_data(f"parquet:{data}/cifar10/test.parquet", count)
        self.found: Scan = scan(self.dataset)

    def read(self, subject: Subject, rows: Sequence[int], size: int) -> Any:
        return batches(self.dataset, subject.canvas, self.found, rows, batch_size=size)

    def subject(self, built: Built, mean: tuple[float, ...], std: tuple[float, ...], name: str) -> Subject:
        return build_subject(
            built, mean=mean, std=std, size=None, classes=None, device="cpu", precision="32",
            common_size=self.found.common_size, name=name,
        )  # fmt: skip

    def under(self, subject: Subject, evaluation: Adversarial, count: int) -> SampleTable:
        kept: list[SampleTable] = []
        index = Index(self.found.ids[:count], self.found.labels[:count])
        evaluation.run(
            subject, index, lambda rows: self.read(subject, rows, 100), skip=set(), keep=kept.append, progress=Silent()
        )
        return SampleTable.concat(kept)


def share(right: int, images: int) -> dict[str, float]:
    low, high = wilson(right / images, images)
    return {"per_cent": 100 * right / images, "low": 100 * float(low), "high": 100 * float(high)}


def standing(table: SampleTable, name: str, eps: float) -> int:
    rows = table.joined().filter((pl.col("perturbation") == name) & (pl.col("severity") == eps))
    return rows.filter(pl.col("prediction") == pl.col("label")).height


def of_own(images: Images, subject: Subject, count: int) -> dict[str, Any]:
    """Clean accuracy, FGSM, PGD-20 and the best attack at the one size."""
    table = images.under(subject, Adversarial(linf=(EPS,), steps=20, restarts=1, rounds=0), count)
    best = images.under(subject, Adversarial(linf=(EPS,), steps=50, restarts=5, rounds=0), count)
    clean = table.images.filter(pl.col("label") == pl.col("prediction")).height
    return {
        "clean": share(clean, count), "fgsm": share(standing(table, "fgsm_linf", EPS), count),
        "pgd_20": share(standing(table, "pgd_linf", EPS), count), "best": share(standing(best, "pgd_linf", EPS), count),
    }  # fmt: skip


def found_in(images: Images, subject: Subject, count: int = 64) -> dict[str, Any]:
    """Robust accuracy over four sizes on a few images, and the findings about it."""
    count = min(count, len(images.found.ids))
    evaluation = Adversarial(linf=(0.5, 2.0, 4.0, 8.0), steps=20, restarts=2, rounds=0)
    table = images.under(subject, evaluation, count)
    probe = Batch.concat(list(images.read(subject, range(count), 100)))
    findings = evaluation.conclude(subject, table, probe).findings
    return {
        "per_cent": {f"{eps:g}": 100 * standing(table, "pgd_linf", eps) / count for eps in evaluation.linf},
        "findings": {finding.code: finding.message for finding in findings},
    }


def of_autoattack(images: Images, subject: Subject, count: int) -> dict[str, float]:
    right = 0
    for part in images.read(subject, range(count), 250):
        with torch.no_grad():
            rows = torch.nonzero(subject(part.x).argmax(1) == part.labels).flatten()
        copies = autoattack(part.x[rows], Goal(subject, part.labels[rows]), EPS, seed=0)
        with torch.no_grad():
            right += int((subject(copies).argmax(1) == part.labels[rows]).sum())
    return share(right, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--autoattack", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "robustness.json")
    given = parser.parse_args()
    images, folder = Images(given.data, given.images), given.data / "weights" / "cifar10"
    subjects: dict[str, Subject] = {}
    for name, (weights, mean, std) in NETWORKS.items():
        built = parse_model(f"file:{folder}/models.py:{name}", str(folder / f"{weights}.safetensors")).build()
        subjects[name] = images.subject(built, mean, std, name)
    result: dict[str, Any] = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {
        "what": "accuracy under L-inf attacks of eps 2/255, Wilson intervals; findings on the first 64 images",
        "environment": environment(torch.device("cpu")), "images": given.images, "stated_pgd_20": STATED,
        "networks": {}, "masked": {},
    }  # fmt: skip

    if result["images"] != given.images:
        parser.error(f"{given.out} is of {result['images']} images, not {given.images}")

    def keep(part: str, name: str, key: str, work: Callable[[], Any]) -> None:
        if key in result[part].get(name, {}):
            return
        began = time.perf_counter()
        result[part].setdefault(name, {})[key] = work()
        result[part][name][f"{key}_seconds"] = round(time.perf_counter() - began, 1)
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(name, key, json.dumps(result[part][name][key]), flush=True)

    for name, subject in subjects.items():
        keep("networks", name, "own", lambda subject=subject: of_own(images, subject, given.images))
        keep("networks", name, "doubts", lambda subject=subject: found_in(images, subject))
    for name, (before, after) in MASKS.items():
        torch.manual_seed(0)
        masked = Masked(subjects["resnet2b"], before, after)
        subject = images.subject(parse_model(masked, None).build(), (0.0,), (1.0,), name)
        keep("masked", name, "doubts", lambda subject=subject: found_in(images, subject))
    for name, subject in subjects.items() if given.autoattack else ():
        keep("networks", name, "autoattack", lambda subject=subject: of_autoattack(images, subject, given.images))


if __name__ == "__main__":
    main()
