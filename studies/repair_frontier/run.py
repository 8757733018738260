"""Where a repair can get to, judged on images it never saw, beside two simpler recipes written as plain loops.

    python studies/repair_frontier/run.py DATA [--epochs 9] [--augment NAME:LIMIT ...] [--copies 1] [--out FILE]

DATA: the folder with `weights/cifar10` and `cifar10/test.parquet`. The network: akamaster's CIFAR-10 ResNet-20. Fitted
to test images 0..4999 without their labels, judged on 5000..6999, under Gaussian noise of 0.05. Frontier: the points on
the straight line from the original weights to those that `semcon repair`'s own objective ends with at alpha 4. Trials,
nine epochs each, SGD, distillation from the untouched network: *augmentation*, its clean prediction kept on the noisy
copy as well; *js*, 10 times the Jensen-Shannon divergence of clean and noisy. Every network is audited in the same way
and compared with each trial, paired by image and draw: the frontier does not lie below a trial where some point of it
is not worse, beyond the paired interval, in accuracy, in flips or in change within a class.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from environment import environment

from semcon import RunRecord, audit
from semcon.built import build_subject
from semcon.comparing.compare import compare
from semcon.constraint import ContinuityConstraint
from semcon.loading import scan
from semcon.objectives.distillation import Distillation
from semcon.progress import Silent
from semcon.recipes.sources import parse_data, parse_model
from semcon.recipes.trials import perturbation_limit
from semcon.repairing.mend import between
from semcon.training.loop import train
from semcon.training.pool import Pool
from semcon.training.settings import Settings
from semcon.training.student import Student

HERE = Path(__file__).parent
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLACES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NOISE, BATCH = 0.05, 128
WANTED = {
    "accuracy": ("accuracy", None, 1), "flip": ("flip", NOISE, -1), "within_class": ("within_class_change", NOISE, -1),
}  # fmt: skip
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def kept(target: Tensor, logits: Tensor) -> Tensor:
    return functional.kl_div(logits.log_softmax(1), target.softmax(1), reduction="batchmean")


def augmentation(target: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    return kept(target, clean) + kept(target, noisy)


def js(target: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    p, q = clean.softmax(1), noisy.softmax(1)
    middle = ((p + q) / 2).clamp(min=1e-12).log()
    apart = [functional.kl_div(middle, side, reduction="batchmean") for side in (p, q)]
    return kept(target, clean) + 10 * (apart[0] + apart[1]) / 2


def trial(student: Student, x: Tensor, loss: Loss, epochs: int, seed: int = 0) -> None:
    """A plain loop: nine epochs, SGD at 0.02 with a cosine, noise of the one severity."""
    generator = torch.Generator().manual_seed(seed)
    teacher = copy.deepcopy(student).eval()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    student.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator)[: len(x) // BATCH * BATCH].split(BATCH):
            clean = x[rows].float() / 255
            noisy = (clean + NOISE * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
            with torch.no_grad():
                target = teacher(clean)
            both = student(torch.cat([clean, noisy]))
            value = loss(target, both[: len(clean)], both[len(clean) :])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
    student.eval()


def figures(record: RunRecord) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, (quantity, severity, _) in WANTED.items():
        rows = [
            e for e in record.record.estimates
            if (e.quantity, e.severity, e.subset, e.draws) == (quantity, severity, "all", "random")
            and f"{e.representation}.{e.distance}" in ("logits.l2", "None.None")
        ]  # fmt: skip
        found[name] = rows[0].mean
    return found


def apart(first: RunRecord, second: RunRecord) -> dict[str, dict[str, Any]]:
    """Second minus first with paired intervals, and whether the second is worse beyond it."""
    found = {}
    rows = compare(first, second).differences
    for name, (quantity, severity, better) in WANTED.items():
        (one,) = [
            d for d in rows
            if (d.quantity, d.severity, d.subset, d.draws) == (quantity, severity, "all", "random")
            and f"{d.representation}.{d.distance}" in ("logits.l2", "None.None")
        ]  # fmt: skip
        found[name] = {
            "difference": one.difference, "low": one.low, "high": one.high, "worse": one.sign * better < 0,
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--alpha", type=float, default=4.0)
    parser.add_argument("--copies", type=float, default=1.0)
    parser.add_argument("--augment", nargs="*", default=())
    parser.add_argument("--precision", default="32")
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--keep", type=Path, help="a folder for weights and audits, used again where they are there")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "frontier.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = measured(options, folder)
    found = {"what": __doc__.splitlines()[0], "environment": environment(torch.device("cpu")), **found}
    options.out.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    images = f"parquet:{options.data}/cifar10/test.parquet"
    weights = options.data / "weights" / "cifar10"
    network = parse_model(
        f"file:{weights}/models.py:resnet20", str(weights / "akamaster_resnet20.safetensors")
    ).build()  # fmt: skip
    subject = build_subject(
        network, mean=MEAN, std=STD, size=None, classes=None, device="cpu", precision="32", common_size=(32, 32),
        name=None,
    )  # fmt: skip
    student = Student.of(subject)
    original = copy.deepcopy(student.network.state_dict())
    data = parse_data(f"{images}[0:5000]", None)
    scanned = scan(data)
    pool = Pool(data, subject.canvas, scanned, scanned.labels, device=subject.device)
    assert pool.x is not None

    def judged(name: str, state: dict[str, Tensor]) -> RunRecord:
        out = folder / name
        if not (out / "record.json").exists():
            student.network.load_state_dict(state)
            module: nn.Module = student.network.eval()
            audit(
                module, f"{images}[5000:7000]", mean=MEAN, std=STD, perturbations=f"gaussian_noise:{NOISE}", draws=3,
                worst="none", critical=False, gradient_norm=False, gauges=("logits.l2",), out=out, name=name,
            )  # fmt: skip
        return RunRecord.load(out)

    def ended(name: str, fit: Callable[[], None]) -> tuple[dict[str, Tensor], float]:
        file = folder / f"{name}.pt"
        if not file.exists():
            student.network.load_state_dict(original)
            start = time.perf_counter()
            fit()
            torch.save((student.network.state_dict(), time.perf_counter() - start), file)
        return torch.load(file)

    def repaired() -> None:
        teacher = copy.deepcopy(student).eval().requires_grad_(False)
        objective = Distillation(
            teacher, ContinuityConstraint("gaussian_noise", severity=NOISE), options.alpha, copies=options.copies
        )
        settings = Settings(
            options.epochs * (len(pool) // BATCH), BATCH, learning_rate=options.rate, weight_decay=0.0,
            accelerator="cpu", augment=tuple(perturbation_limit(text) for text in options.augment),
            precision=options.precision,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as run:
            train(student, pool, objective, settings, folder=Path(run), progress=Silent())

    found: dict[str, Any] = {"original": figures(judged("original", original))}
    print("original", found["original"], flush=True)
    trials = {}
    x = pool.x
    for name, loss in (("augmentation", augmentation), ("js", js)):
        state, seconds = ended(name, lambda loss=loss: trial(student, x, loss, 9))
        trials[name] = judged(name, state)
        found[name] = {**figures(trials[name]), "seconds": seconds}
        print(name, found[name], flush=True)
    tag = "-".join(
        [
            "e" + str(options.epochs),
            f"c{options.copies:g}",
            f"a{options.alpha:g}",
            f"r{options.rate:g}",
            options.precision,
            *options.augment,
        ]
    ).replace(":", "_")
    state, seconds = ended(tag, repaired)
    points = []
    for place in PLACES:
        record = judged(f"{tag}-{place:g}", between(original, state, place))
        beside = {name: apart(one, record) for name, one in trials.items()}
        points.append({"place": place, **figures(record), "beside": beside})
        told = {n: [k for k, v in b.items() if v["worse"]] for n, b in beside.items()}
        print(place, {k: round(v, 4) for k, v in figures(record).items()}, "worse:", told, flush=True)
    found |= {
        "settings": {"epochs": options.epochs, "alpha": options.alpha, "copies": options.copies},
        "seconds": seconds,
    }
    found["not_below"] = {
        name: [p["place"] for p in points if not any(one["worse"] for one in p["beside"][name].values())]
        for name in trials
    }
    print(found["not_below"])
    return found | {"frontier": points}


if __name__ == "__main__":
    main()
