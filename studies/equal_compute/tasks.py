"""What the study is made on: digits at 28 px, CIFAR-10 at 32 px. Images, network, perturbations, knobs, attacks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from semcon.core.registry import load

Knobs = dict[str, tuple[dict[str, Any], ...]]
Unseen = dict[str, tuple[tuple[str, float], ...]]


@dataclass(frozen=True)
class Task:
    """`split`: images to fit, to select by and to judge by; `knobs`: the settings tried of each objective; `eps`: the
    last must bring every network to about 0; `attacked`: how many of the judge's images PGD gets."""

    name: str
    network: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    split: Callable[[], tuple[Any, Any, Any]]
    seen: tuple[str, ...]
    unseen: Unseen
    knobs: Knobs
    eps: tuple[float, ...]
    attack_steps: int
    attacked: int
    steps: int
    training: dict[str, Any]

    def recipe(self, objective: str, knob: dict[str, Any], steps: int, seed: int, data: Any) -> dict[str, Any]:
        return {
            "model": f"network:{self.network}", "data": data, "mean": self.mean, "std": self.std,
            "objective": objective, "steps": steps, "seed": seed,
            "perturb": () if objective == "cross_entropy" else self.seen, **self.training, **knob,
        }  # fmt: skip


def digits() -> tuple[Any, Any, Any]:
    data = load("datasets", "mnist5k")()
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
    return data.subset(order[:3500]), data.subset(order[3500:4000]), data.subset(order[4000:])


def cifar10() -> tuple[Any, Any, Any]:
    """Parts of the official test set, whose order is random: nothing here is a result on CIFAR-10's own split."""
    folder = Path(os.environ.get("SEMCON_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    file, parse = folder / "cifar10" / "test.parquet", load("datasets", "parquet").parse
    return parse(f"{file}[0:7000]"), parse(f"{file}[7000:8000]"), parse(f"{file}[8000:10000]")


UNSEEN_GEOMETRY = (("translation", 8.0), ("rotation", 15.0), ("scale", 0.2))

DIGITS = Task(
    name="digits", network="digits", size=28, mean=(0.1307,), std=(0.3081,),
    split=digits,
    seen=("gaussian_noise:0.3", "brightness:0.5", "contrast:0.5"),
    unseen={
        "blur_and_coding": (("gaussian_blur", 8.0), ("jpeg", 80.0), ("posterize", 6.0)),
        "geometry": UNSEEN_GEOMETRY,
        "occlusion": (("occlusion", 25.0),),
        "additive_ball": (("linf", 16.0),),
    },
    knobs={
        "cross_entropy": tuple({"weight_decay": w} for w in (1e-4, 5e-4, 2e-3, 1e-2)),
        "augmentation": tuple({"strength": s} for s in (0.5, 1.0, 1.5, 2.0)),
        "continuity": tuple({"alpha": a, "share": 0.25} for a in (2.0, 4.0, 8.0, 16.0)),
        "stability_training": tuple({"alpha": a} for a in (0.1, 0.5, 1.0, 4.0)),
        "augmix": tuple({"alpha": a} for a in (1.0, 4.0, 12.0, 24.0)),
        "trades": tuple({"alpha": b, "search_steps": 3} for b in (1.0, 3.0, 6.0, 12.0)),
    },
    eps=(0.05, 0.1, 0.5), attack_steps=20, attacked=1000, steps=600, training={"optimizer": "adam"},
)  # fmt: skip

CIFAR10 = Task(
    name="cifar10", network="resnet20", size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2471, 0.2435, 0.2616),
    split=cifar10,
    seen=("gaussian_noise:0.1", "brightness:0.3", "contrast:0.3"),
    unseen={
        "blur_and_coding": (("gaussian_blur", 6.0), ("jpeg", 60.0), ("posterize", 5.0)),
        "geometry": UNSEEN_GEOMETRY,
        "occlusion": (("occlusion", 25.0),),
        "additive_ball": (("linf", 8.0),),
    },
    knobs={
        "cross_entropy": tuple({"weight_decay": w} for w in (1e-4, 5e-4, 2e-3)),
        "augmentation": tuple({"strength": s} for s in (0.5, 1.0, 1.5)),
        "continuity": tuple({"alpha": a, "share": 0.25} for a in (1.0, 2.0, 4.0)),
        "stability_training": tuple({"alpha": a} for a in (0.1, 0.5, 2.0)),
        "augmix": tuple({"alpha": a} for a in (1.0, 4.0, 12.0)),
        "trades": tuple({"alpha": b, "search_steps": 3} for b in (1.0, 3.0, 6.0)),
    },
    eps=(1 / 255, 2 / 255, 32 / 255), attack_steps=10, attacked=300, steps=250,
    training={"optimizer": "sgd", "augment": ("horizontal_flip",), "precision": "bf16"},
)  # fmt: skip

TASKS = {task.name: task for task in (DIGITS, CIFAR10)}
