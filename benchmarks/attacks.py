"""Wall time of PGD: semcon's shrinking batch, a plain loop, torchattacks and foolbox, on the same images.

    python benchmarks/attacks.py [--data DIR] [--peers DIR] [--repeats 3] [--device cpu] [--images 500] [--out FILE]

DIR: the folder with `weights/cifar10` and `cifar10/test.parquet` (SEMCON_DATA); without it nothing is measured.
`--peers`: where torchattacks and foolbox are installed (`pip install --target DIR`), since they pin old packages; one
that is missing is left out. L-inf, 20 steps from one random start, batches of 100. The peers and the plain loop climb
the cross-entropy in steps of eps / 4, all images for all steps; semcon climbs the margin and drops images as they fall.
Strength stands beside: the accuracy that is left. The four take turns within a repeat; medians of the repeats, and of
each repeat's ratio to semcon. Processor time is given too: on a shared machine it is the steadier of the two. What is
left after fewer steps, of semcon and of the plain loop (`by_steps`), tells the time at equal strength.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from environment import environment
from torch import Tensor, nn

from semcon.attacking.curve import Draws, Gradient, search_ladder
from semcon.attacking.goal import Goal
from semcon.built import build_subject
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.loading import batches, scan
from semcon.recipes.sources import parse_data, parse_model
from semcon.subject import Subject

STEPS, BATCH = 20, 100
FEWER = (2, 3, 5, 7, 10, STEPS)  # steps at which semcon and the plain loop are asked for the accuracy left
CASES = (("resnet20", 2.0), ("resnet2b", 2.0), ("resnet2b", 4.0))  # network, eps in 1/255
NETWORKS = {
    "resnet20": ("akamaster_resnet20", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "resnet2b": ("robust_resnet2b", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
}
Attack = Callable[[Tensor, Tensor, Tensor], Tensor]  # images, labels, ids -> which withstand (B,)


class Normalised(nn.Module):
    """What the peers take: a module from [0, 1] to logits."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.network, self.subject = subject.module, subject

    def forward(self, x: Tensor) -> Tensor:
        return self.subject(x)


def withstand(model: Callable[[Tensor], Tensor], copies: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return model(copies).argmax(1) == labels


def plain(model: nn.Module, eps: float, steps: int = STEPS) -> Attack:
    def attack(x: Tensor, y: Tensor, ids: Tensor) -> Tensor:
        copy = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
        for _ in range(steps):
            copy.requires_grad_()
            loss = nn.functional.cross_entropy(model(copy), y, reduction="sum")
            (slope,) = torch.autograd.grad(loss, copy)
            copy = copy.detach() + eps / 4 * slope.sign()
            copy = torch.minimum(torch.maximum(copy, x - eps), x + eps).clamp(0, 1)
        return withstand(model, copy, y)

    return attack


def ours(model: nn.Module, eps: float, steps: int = STEPS) -> Attack:
    ball = load("perturbations", "linf")()

    def attack(x: Tensor, y: Tensor, ids: Tensor) -> Tensor:
        with torch.no_grad():
            clean = model(x)
        draws = Draws(ball, Keys(ids, 0, 0, "pgd_linf"), x)
        curve, _ = search_ladder(x, Goal(model, y), clean, (255 * eps,), topple=Gradient(steps, 1), draws=draws)
        return curve.critical.isinf()

    return attack


def of_torchattacks(model: nn.Module, eps: float) -> Attack:
    import torchattacks

    attack = torchattacks.PGD(model, eps=eps, alpha=eps / 4, steps=STEPS, random_start=True)
    return lambda x, y, ids: withstand(model, attack(x, y), y)


def of_foolbox(model: nn.Module, eps: float) -> Attack:
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(rel_stepsize=1 / 4, steps=STEPS, random_start=True)
    return lambda x, y, ids: withstand(model, attack(wrapped, x, y, epsilons=eps)[1], y)


LIBRARIES = {"semcon": ours, "plain loop": plain, "torchattacks": of_torchattacks, "foolbox": of_foolbox}


def made(model: nn.Module, eps: float) -> dict[str, Attack]:
    """Those that can be imported here."""
    attacks: dict[str, Attack] = {}
    for name, make in LIBRARIES.items():
        try:
            attacks[name] = make(model, eps)
        except ImportError as error:
            print(f"{name} left out: {error}", file=sys.stderr)
    return attacks


def measure(model: nn.Module, eps: float, parts: list[tuple[Tensor, Tensor, Tensor]], repeats: int) -> dict[str, Any]:
    attacks = made(model, eps)
    seen: dict[str, dict[str, list[float]]] = {name: {"wall": [], "processor": [], "left": []} for name in attacks}
    for attack in attacks.values():  # warm up
        attack(*(value[:20] for value in parts[0]))
    names = list(attacks)
    for repeat in range(repeats):
        torch.manual_seed(repeat)
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            wall, processor = time.perf_counter(), time.process_time()
            left = [attacks[name](*part) for part in parts]
            seen[name]["wall"].append(time.perf_counter() - wall)
            seen[name]["processor"].append(time.process_time() - processor)
            seen[name]["left"].append(float(torch.cat(left).float().mean()))
    return {
        name: {
            "wall_seconds": statistics.median(found["wall"]),
            "processor_seconds": statistics.median(found["processor"]),
            "accuracy_left": statistics.median(found["left"]),
            "times_semcon_wall": _paired(found["wall"], seen["semcon"]["wall"]),
            "times_semcon_processor": _paired(found["processor"], seen["semcon"]["processor"]),
        }
        for name, found in seen.items()
    }


def by_steps(model: nn.Module, eps: float, parts: list[tuple[Tensor, Tensor, Tensor]], repeats: int) -> dict[str, Any]:
    """What is left after fewer steps (of the last repeat), and the processor's seconds: time at equal strength."""
    found: dict[str, Any] = {}
    for name, make in (("semcon", ours), ("plain loop", plain)):
        for steps in FEWER:
            attack, times, left = make(model, eps, steps), [], 0.0
            for repeat in range(repeats):
                torch.manual_seed(repeat)
                began = time.process_time()
                left = float(torch.cat([attack(*part) for part in parts]).float().mean())
                times.append(time.process_time() - began)
            row = {"accuracy_left": left, "processor_seconds": statistics.median(times)}
            found.setdefault(name, {})[str(steps)] = row
    return found


def _paired(theirs: list[float], own: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, own, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SEMCON_DATA", "../shared/data")))
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "attacks.json")
    given = parser.parse_args()
    if not given.data.is_dir():
        print(f"no data in {given.data}: attacks are not measured", file=sys.stderr)
        return
    if given.peers:
        sys.path.append(str(given.peers))
    warnings.filterwarnings("ignore")
    device = torch.device(given.device)
    dataset = parse_data(f"parquet:{given.data}/cifar10/test.parquet", given.images)
    found = scan(dataset)
    networks: dict[str, Any] = {}
    for name, eps in CASES:
        weights, mean, std = NETWORKS[name]
        folder = given.data / "weights" / "cifar10"
        built = parse_model(f"file:{folder}/models.py:{name}", str(folder / f"{weights}.safetensors")).build()
        subject = build_subject(
            built, mean=mean, std=std, size=None, classes=None, device=given.device, precision="32",
            common_size=found.common_size, name=name,
        )  # fmt: skip
        parts = [
            (part.x.to(device), part.labels.to(device), part.ids.to(device))
            for part in batches(dataset, subject.canvas, found, range(len(found.ids)), batch_size=BATCH)
        ]
        key = f"{name}, eps {eps:g}/255"
        networks[key] = measure(Normalised(subject).eval(), eps / 255, parts, given.repeats)
        networks[key]["by_steps"] = by_steps(Normalised(subject).eval(), eps / 255, parts, given.repeats)
        print(key, json.dumps(networks[key], indent=1), flush=True)
    result = {
        "what": "seconds of L-inf PGD, 20 steps, one random start; medians of paired repeats",
        "environment": environment(device), "images": given.images, "batch": BATCH, "repeats": given.repeats,
        "networks": networks,
    }  # fmt: skip
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
