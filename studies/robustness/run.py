"""What follows from the constraint besides continuity: corruptions, attacks, the information used, smoothness.

    python studies/robustness/run.py [digits|cifar10|shapes] [--work DIR] [--budget standard] [--limit 500] [--out FILE]
        [--seed 0] [--precision 32] [--networks-only]

Question: are networks trained with the constraint more robust than those trained with cross-entropy, or with plain
augmentation by the same perturbations, and do they use less information that carries no meaning? One seed of each, with
the settings that `studies/equal_compute` chose for it and at equal compute. Every figure is paired image by image with
the standard network's, and the constraint's with augmentation's, so intervals are over images and say nothing about
other seeds. Networks and audits are kept under `--work`; run again, it goes on. `table.py` makes the README's tables.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "equal_compute"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import torch
from environment import environment
from tasks import CIFAR10, TASKS

from semcon import audit
from semcon.comparing.compare import SideBySide, side_by_side
from semcon.core.registry import load
from semcon.progress import Terminal
from semcon.recipes.train import train

HERE = Path(__file__).resolve().parent
EVALUATIONS = ("corruption", "adversarial", "frequency", "shortcut", "smoothness")
NETWORKS = {"standard": "cross_entropy", "augmentation": "augmentation", "continuous": "continuity"}
LONGER = {"digits": 1, "cifar10": 2, "shapes": 1}  # times the steps of the study at equal compute
SHAPES_STEPS = {"standard": 300, "augmentation": 292, "continuous": 236}  # in the ratio of CIFAR's steps
WATCHED = (
    "accuracy", "accuracy_kept", "flip", "relative_change", "critical_severity", "lipschitz", "input_curvature",
    "straightness", "mean_corruption_error", "mean_flip_rate", "flip_probability",
)  # fmt: skip


def parts(task: str) -> tuple[Any, Any]:
    """Images to train on, images to judge by."""
    if task == "shapes":
        kind = load("datasets", "shapes")
        return kind(n=4000, size=32, seed=0), kind(n=1000, size=32, seed=1)
    fit, _, judge = TASKS[task].split()
    return fit, judge


def recipe(task: str, name: str, data: Any, seed: int = 0) -> dict[str, Any]:
    """The setting of its knob that the study at equal compute chose, and its number of steps."""
    objective = NETWORKS[name]
    own = CIFAR10 if task == "shapes" else TASKS[task]
    lines = (HERE.parent / "equal_compute" / "results" / own.name / "runs.jsonl").read_text().splitlines()
    chosen = next(run for run in map(json.loads, lines) if run["objective"] == objective and run["seed"] < 100)
    steps = SHAPES_STEPS[name] if task == "shapes" else LONGER[task] * chosen["steps"]
    return own.recipe(objective, own.knobs[objective][chosen["knob"]], steps, seed, data)


def networks(task: str, work: Path, seed: int = 0, precision: str | None = None) -> dict[str, Path]:
    """`precision`: not the study's own, which is bfloat16 for images in colour and slow where a processor has none."""
    fit, _ = parts(task)
    changed = {} if precision is None else {"precision": precision}
    folders = {name: work / task / "networks" / name for name in NETWORKS}
    for name, folder in folders.items():
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            train(recipe(task, name, fit, seed) | changed, out=folder, resume=True, progress=Terminal())
    return folders


def audits(task: str, work: Path, budget: Any, limit: int, names: tuple[str, ...]) -> SideBySide:
    _, judge = parts(task)
    sides: list[Path] = []
    for name, folder in networks(task, work).items():
        out = work / task / "audits" / name
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            audit(
                f"run:{folder}", judge, evaluate=names, budget=budget, limit=limit, name=name, out=out, resume=True,
                progress=Terminal(),
            )  # fmt: skip
        sides.append(out)
    return side_by_side(sides)


def results(together: SideBySide) -> dict[str, Any]:
    """What came out, the differences of what is watched, and every network's own maps and findings."""
    found: dict[str, Any] = {"opening": {}, "differences": {}, "networks": {}}
    constraint_or_copies = side_by_side([together.sides[1], together.sides[2]])
    for pair in (*together.comparisons, *constraint_or_copies.comparisons):
        name = f"{pair.labels[1]} minus {pair.labels[0]}"
        found["opening"][name] = [sentence for one in pair.every for sentence in one.opening]
        found["differences"][name] = {
            one.evaluation: [row for row in map(short, (*one.overall, *one.differences)) if row] for one in pair.every
        }
    for side in together.sides:
        record = side.first.record
        found["networks"][record.subject.name] = {
            "accuracy": next(e.mean for e in record.estimates if e.quantity == "accuracy" and e.perturbation is None),
            "verdicts": {one.name: one.verdict for one in record.evaluations},
            "findings": sorted({finding.code for finding in record.findings}),
            "seconds": {one.name: round(one.seconds) for one in record.evaluations},
        }
    return found


def written(plain: dict[str, Any], out: Path) -> None:
    """As JSON with a line for each row of figures."""
    rows = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(rows.sub(lambda row: f"[{' '.join(row[1].split())}]", json.dumps(plain, indent=1)) + "\n")


def short(one: Any) -> list[Any] | None:
    """perturbation, severity, draws, quantity, first, second, difference, low, high, p by Holm."""
    if one.quantity not in WATCHED or one.subset != "all" or one.representation not in (None, "logits"):
        return None
    numbers = [one.first, one.second, one.difference, one.low, one.high, one.p_holm]
    return [
        one.perturbation,
        one.severity,
        one.draws,
        one.quantity,
        *(v if v is None else round(v, 4) for v in numbers),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("task", choices=("digits", "cifar10", "shapes"))
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--budget", default="standard", choices=("fast", "standard", "full"))
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--evaluate", default=",".join(EVALUATIONS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    parser.add_argument("--precision", choices=("32", "bf16"))
    parser.add_argument("--networks-only", action="store_true")
    given = parser.parse_args()
    networks(given.task, given.work, given.seed, given.precision)
    if given.networks_only:
        return
    together = audits(given.task, given.work, given.budget, given.limit, tuple(given.evaluate.split(",")))
    page = together.report(given.work / given.task / "report.html")
    plain = {
        "what": (__doc__ or "").partition("\n\n")[0], "task": given.task, "images": given.limit, "budget": given.budget,
        "environment": environment(torch.device("cpu")), **results(together),
    }  # fmt: skip
    out = given.out or HERE / "results" / f"{given.task}.json"
    written(plain, out)
    print(f"{page}\n{out}")


if __name__ == "__main__":
    main()
