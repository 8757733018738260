"""CIFAR-100 at full length: the constraint, plain augmentation and cross-entropy at equal compute, three seeds of each.

    python studies/cifar100/run.py [--device cuda] [--processes 9] [--epochs 30] [--seeds 3] [--limit 1000] [--work DIR]
        [--phase train|audit|compare]

Question: what do the small trainings of `studies/equal_compute` and `studies/robustness` say of networks that are
trained until they are good? ResNet-20 on 50 000 images; flips and shifts of up to an eighth for all; P is Gaussian
noise .1, brightness and contrast .3, as on CIFAR-10 there, with the knobs chosen there. An objective whose step costs r
times cross-entropy's (`studies/equal_compute`, `cost.json`) makes 1 / r of its steps. Every network is then put through
`continuity` and what `studies/robustness` looks at, on images that it never saw, and its features are transferred to
CIFAR-10. Each network is a process of its own, `--processes` at a time; run again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "equal_compute"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "robustness"))
import torch
from run import EVALUATIONS, results, written
from tasks import CIFAR10

from semcon import audit
from semcon.comparing.compare import SideBySide, side_by_side
from semcon.recipes.train import train

HERE = Path(__file__).resolve().parent
KNOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "standard": ("cross_entropy", {"weight_decay": 5e-4}),
    "augmentation": ("augmentation", {"strength": 1.5}),
    "continuous": ("continuity", {"alpha": 1.0, "share": 0.25}),
}
BATCH, RATE = 512, 0.2
KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "audits": lambda: {"evaluate": ("continuity", *EVALUATIONS)},
    "transfers": lambda: {
        "evaluate": ("transfer",), "transfer_to": f"{data('test', 'cifar10')}[0:5000]", "shots": "1,5,10,25",
    },
}  # fmt: skip


def data(part: str, kind: str = "cifar100") -> str:
    """`train` may lie in several files, in their order."""
    folder = Path(os.environ.get("SEMCON_DATA", HERE.parents[2] / "shared" / "data")) / kind
    return "parquet:" + ",".join(map(str, sorted(folder.glob(f"{part}*.parquet"))))


def recipe(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    objective, knob = KNOBS[name]
    costs = json.loads((HERE.parent / "equal_compute" / "results" / "cifar10" / "cost.json").read_text())["costs"]
    steps = round(given.epochs * (given.images // BATCH) / costs[objective]["ratio"])
    common = {
        "batch_size": BATCH, "learning_rate": RATE, "augment": ("horizontal_flip", "translation:12.5"),
        "device": given.device, "limit": given.images, "workers": 1,
    }  # fmt: skip
    return CIFAR10.recipe(objective, knob, steps, seed, data("train")) | common


def one(name: str, seed: int, given: argparse.Namespace) -> None:
    """Train and audit one network, as far as the phase goes."""
    torch.set_num_threads(1)
    network = given.work / "networks" / f"{name}-{seed}"
    if not network.exists():
        network.parent.mkdir(parents=True, exist_ok=True)
        train(recipe(name, seed, given), out=network, resume=True)
    common = {"budget": given.budget, "limit": given.limit, "name": name, "device": given.device, "workers": 1}
    for kind, options in KINDS.items() if given.phase != "train" else ():
        out = given.work / kind / f"{name}-{seed}"
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            audit(f"run:{network}", data("test"), out=out, resume=True, **common, **options())


def every(given: argparse.Namespace) -> None:
    """All networks, each in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:]]

    def run(job: tuple[int, str]) -> None:
        subprocess.run([*command, "--one", job[1], str(job[0])], check=True)
        print(job[1], job[0], "done", flush=True)

    with ThreadPoolExecutor(given.processes) as pool:
        list(pool.map(run, product(range(given.seeds), KNOBS)))


def together(given: argparse.Namespace, kind: str) -> SideBySide:
    folder = given.work / kind
    return side_by_side([[folder / f"{name}-{seed}" for seed in range(given.seeds)] for name in KNOBS])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--work", type=Path, default=Path("work/cifar100"))
    parser.add_argument("--phase", choices=("train", "audit", "compare"), default="compare")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--budget", default="standard", choices=("fast", "standard", "full"))
    parser.add_argument("--one", nargs=2, metavar=("NAME", "SEED"))
    given = parser.parse_args()
    if given.device == "auto":
        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    if given.one is not None:
        one(given.one[0], int(given.one[1]), given)
        return
    every(given)
    if given.phase == "compare":
        sides, features = (together(given, kind) for kind in KINDS)
        print(sides.report(given.work / "report.html"), features.report(given.work / "transfer.html"))
        measured_on = {k: v for k, v in sides.sides[0].first.record.environment.items() if k != "platform"}
        plain = {
            "what": (__doc__ or "").partition("\n\n")[0], "task": "cifar100", "images": given.limit,
            "budget": given.budget, "seeds": given.seeds, "environment": measured_on,
            **results(sides), "transfer": results(features)["differences"],
        }  # fmt: skip
        written(plain, HERE / "results" / "cifar100.json")


if __name__ == "__main__":
    main()
