"""Six objectives at equal compute: what does each buy outside what it was trained on?

    python studies/equal_compute/run.py [digits|cifar10] [--steps N] [--seeds 3] [--out results/TASK]

Question: does the continuity constraint beat plain augmentation with the same perturbations, stability training, AugMix
with JSD and TRADES, when each gets the same time? `tasks.py`: images, network, perturbations seen and never seen,
knobs. `judging.py`: what a network is judged by.

Equal compute: the time of a step of each objective is measured once, interleaved, as a median ratio to cross-entropy's
(`cost.json`, on an otherwise idle machine); an objective of ratio r gets steps / r steps, each with its full one-cycle
schedule. Every objective has the same number of settings of its own knob, chosen on images and a seed that the judge
does not see, by the mean of clean accuracy and of accuracy under the *seen* perturbations. Three further seeds are
judged; differences are paired by seed and image (`table.py`). Every finished network is one line in `runs.jsonl`: run
again, it goes on.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from environment import environment
from judging import Images, chosen_score, judged, pgd, student_of
from tasks import TASKS, Task
from torch import Tensor

from semcon.built import build_subject
from semcon.loading import scan
from semcon.progress import Silent
from semcon.recipes.objectives import make_objective
from semcon.recipes.sources import parse_model
from semcon.recipes.train import train, train_recipe
from semcon.training.pool import Order, Pool
from semcon.training.student import Student

HERE = Path(__file__).parent
KNOB_SEED, TRANSFER_SEED = 100, 200


def step_costs(task: Task, data: Any, repeats: int = 30) -> dict[str, Any]:
    """Median seconds of a step of each objective, interleaved, and the ratio to cross-entropy's, step by step."""
    network = parse_model(f"network:{task.network}", None).build()
    subject = build_subject(
        network, mean=task.mean, std=task.std, size=None, classes=None, device="cpu", precision="32",
        common_size=(task.size, task.size), name=None,
    )  # fmt: skip
    scanned = scan(data)
    pool = Pool(data, subject.canvas, scanned, scanned.labels, device=subject.device)
    student = Student.of(subject).train()
    objectives = {
        name: make_objective(train_recipe(task.recipe(name, knobs[1], 1, 0, data)), 1)
        for name, knobs in task.knobs.items()
    }
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
    times: dict[str, list[float]] = {name: [] for name in objectives}
    half = task.training.get("precision") == "bf16"
    for load_ in pool.loads(range(repeats + 1), Order(pool.ids, 128, 0), share=slice(None), seed=0):
        for name, objective in objectives.items():
            start = time.perf_counter()
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                terms = objective(student, load_.x, load_.y, load_.keys)
            objective.total(terms).backward()
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


class Study:
    """The finished networks of one task, and how to make the next."""

    def __init__(self, task: Task, steps: int, out: Path) -> None:
        self.task, self.steps, self.file = task, steps, out / "runs.jsonl"
        out.mkdir(parents=True, exist_ok=True)
        self.fit, select, judge = task.split()
        self.images, self.choice = Images(judge), Images(select)
        costs = out / "cost.json"
        if not costs.exists():
            told = {"environment": environment(torch.device("cpu")), "costs": step_costs(task, self.fit)}
            costs.write_text(json.dumps(told, indent=1) + "\n")
        self.costs = json.loads(costs.read_text())["costs"]
        done = [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []
        self.known = {(run["objective"], run["knob"], run["seed"]): run for run in done}

    def trained(self, objective: str, number: int, steps: int, seed: int) -> tuple[Student, float]:
        start = time.perf_counter()
        knob = self.task.knobs[objective][number]
        with tempfile.TemporaryDirectory() as folder:
            recipe = self.task.recipe(objective, knob, steps, seed, self.fit)
            run = train(recipe, out=Path(folder) / "run", progress=Silent())
            return student_of(run, self.task.size), time.perf_counter() - start

    def run(self, objective: str, number: int, seed: int, transfer: dict[float, Tensor] | None) -> dict[str, Any]:
        """The line of one network, trained where it is not known; `transfer`: judged with these images."""
        if (objective, number, seed) in self.known:
            return self.known[objective, number, seed]
        steps = max(20, round(self.steps / self.costs[objective]["ratio"]))
        student, seconds = self.trained(objective, number, steps, seed)
        line = {
            "objective": objective, "knob": number, "settings": self.task.knobs[objective][number], "seed": seed,
            "steps": steps, "seconds": seconds, "score": chosen_score(student, self.choice, self.task),
            "judged": None if transfer is None else judged(student, self.images, self.task, transfer),
        }  # fmt: skip
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(objective, line["settings"], seed, steps, f"{seconds:.0f} s", f"score {line['score']:.4f}", flush=True)
        return line

    def chosen(self) -> dict[str, int]:
        """The best setting of every objective's knob."""
        best = {}
        for objective, knobs in self.task.knobs.items():
            scores = [self.run(objective, number, KNOB_SEED, None)["score"] for number in range(len(knobs))]
            best[objective] = max(range(len(knobs)), key=lambda number: scores[number])
        return best

    def transferred(self) -> dict[float, Tensor]:
        """Images that fool a cross-entropy network of a seed of its own."""
        source, _ = self.trained("cross_entropy", 1, self.steps, TRANSFER_SEED)
        x, y = self.images.x[: self.task.attacked], self.images.y[: self.task.attacked]
        return {eps: pgd(source, x, y, eps, self.task.attack_steps) for eps in self.task.eps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="?", choices=TASKS, default="digits")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = TASKS[options.task]
    study = Study(task, options.steps or task.steps, options.out or HERE / "results" / task.name)
    best = study.chosen()
    transfer = study.transferred()
    for seed in range(options.seeds):
        for objective, number in best.items():
            study.run(objective, number, seed, transfer)


if __name__ == "__main__":
    main()
