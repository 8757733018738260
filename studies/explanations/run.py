"""Do explanations of networks trained with the constraint stay, foretell and lie on the object more than others'?

    python studies/explanations/run.py --networks DIR [--work DIR] [--images 200] [--budget fast]

`--networks`: what `studies/robustness/run.py --work` made: DIR/shapes/networks/{standard,augmentation,continuous}, one
seed, equal compute. Shapes with true masks, which no network has seen. Every difference is paired image by image; the
intervals say nothing about other seeds. Audits are kept under `--work`; run again, it goes on.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--budget", default="fast")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "explanations.json")
    given = parser.parse_args()
    data, sides = Shapes(n=given.images, size=32, seed=1), []
    for name in NETWORKS:
        out = given.work / name
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            network = given.networks / "shapes" / "networks" / name
            audit(f"run:{network}", data, evaluate=EVALUATIONS, name=name, out=out, budget=given.budget,
                  limit=given.images, resume=True, progress=Terminal())  # fmt: skip
        sides.append(out)
    together = side_by_side(sides)
    result: dict[str, Any] = {
        "what": "figures of explanations, 95 % intervals over images; one seed", "images": given.images,
        "budget": given.budget, "environment": environment(torch.device("cpu")), "networks": {}, "differences": {},
    }  # fmt: skip
    for side in together.sides:
        record = side.first.record
        result["networks"][record.subject.name] = {
            name: [one.mean, one.low, one.high]
            for part in record.evaluations
            for one in part.estimates
            if (name := key(one)) is not None
        } | {"findings": [finding.code for finding in record.findings]}
    for first, second in PAIRS:
        (pair,) = side_by_side([sides[first], sides[second]]).comparisons
        result["differences"][f"{pair.labels[1]} minus {pair.labels[0]}"] = {
            name: [one.difference, one.low, one.high]
            for part in pair.every
            for one in part.differences
            if (name := key(one)) is not None
        }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
