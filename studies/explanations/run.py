"""Do explanations of networks trained with the constraint stay, foretell and lie on the object more than others'?

    python studies/explanations/run.py --networks DIR [DIR ...] [--work DIR] [--images 200] [--budget fast]

`--networks`: what `studies/robustness/run.py shapes --work DIR --seed N` made, one folder a seed:
DIR/shapes/networks/{standard,augmentation,continuous}, at equal compute. Shapes with true masks, which no network has
seen. Every difference is paired image by image and seed by seed; intervals are over images and, of several seeds, over
training too. Audits are kept under `--work`; run again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import torch
from environment import environment

from semcon import audit
from semcon.comparing.compare import side_by_side
from semcon.core.record import Record
from semcon.datasets import Shapes
from semcon.progress import Terminal

HERE = Path(__file__).resolve().parent
NETWORKS = ("standard", "augmentation", "continuous")
PAIRS = ((0, 1), (0, 2), (1, 2))
EVALUATIONS = ("explanation_stability", "explanation_faithfulness", "explanation_focus")


def key(one: Any) -> str | None:
    """`rotation 10, grad_cam, moved` of all images; None for what is not of an explanation."""
    if one.subset != "all" or one.representation is None or one.distance is not None:
        return None
    where = "" if one.perturbation is None else f"{one.perturbation} {one.severity:g}, "
    return f"{where}{one.representation}, {one.quantity}"


def audited(networks: Path, name: str, out: Path, images: int, budget: Any) -> Path:
    """One network's run folder."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        audit(f"run:{networks / 'shapes' / 'networks' / name}", Shapes(n=images, size=32, seed=1), evaluate=EVALUATIONS,
              name=name, out=out, budget=budget, limit=images, resume=True, progress=Terminal())  # fmt: skip
    return out


def figures(record: Record) -> dict[str, list[float | None]]:
    """Mean and interval over images of every figure of an explanation."""
    every = [one for part in record.evaluations for one in part.estimates]
    return {name: [one.mean, one.low, one.high] for one in every if (name := key(one)) is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=Path, required=True, nargs="+")
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--budget", default="fast")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "explanations.json")
    given = parser.parse_args()
    sides = [
        [audited(folder, name, given.work / f"{place}" / name, given.images, given.budget)
         for place, folder in enumerate(given.networks)]
        for name in NETWORKS
    ]  # fmt: skip
    result: dict[str, Any] = {
        "what": "figures of explanations by training; differences, 95 % intervals over images and trainings",
        "images": given.images, "budget": given.budget, "environment": environment(torch.device("cpu")),
        "seeds": [], "networks": {}, "differences": {}, "findings": {},
    }  # fmt: skip
    for name, side in zip(NETWORKS, side_by_side(sides).sides, strict=True):
        records = [run.record for run in side.runs]
        result["seeds"] = [record.subject.training.seed for record in records if record.subject.training]
        result["networks"][name] = [figures(record) for record in records]
        result["findings"][name] = sorted({finding.code for record in records for finding in record.findings})
    for first, second in PAIRS:
        (pair,) = side_by_side([sides[first], sides[second]]).comparisons
        result["differences"][f"{NETWORKS[second]} minus {NETWORKS[first]}"] = {
            name: [one.difference, one.low, one.high]
            for part in pair.every
            for one in part.differences
            if (name := key(one)) is not None
        }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
