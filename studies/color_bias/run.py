"""Colour bias with and without the constraint, and whether the bias is found by a search that is told nothing.

    python studies/color_bias/run.py [--work DIR] [--images 3000] [--seed 0]

Digits whose colour is their class's for 95 of 100 images to learn from. Judged by 1000 other digits, a third of them
with their class's colour, a third with another's, a third without one, each apart. Networks: cross-entropy; plain
augmentation and the constraint with perturbations of the *colour* (hue, saturation); both with perturbations that
leave colour alone (noise, blur, shifts). At equal compute: every recipe has as many forward passes of the network.
Then the search, on data with the same bias: on these, on a network whose digits had colours at random, and on shapes
whose background goes with the class for 95 of 100 and on shapes drawn freely. One seed. Networks and audits are kept
under `--work`; run again, it goes on.
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
from semcon.datasets import ColoredDigits, Mnist5k, Shapes
from semcon.progress import Terminal
from semcon.recipes.train import train
from semcon.run_record import RunRecord

HERE = Path(__file__).resolve().parent
COLOUR, OTHER = ("hue:0.5", "saturation:1.0"), ("gaussian_noise:0.1", "gaussian_blur:1.0", "translation:9")
RECIPES: dict[str, dict[str, Any]] = {  # passes of an image and step: 3, 3, 6: hence the steps
    "standard": {"objective": "cross_entropy", "steps": 600},
    "augmentation, colour": {"objective": "augmentation", "perturb": COLOUR, "steps": 600},
    "augmentation, other": {"objective": "augmentation", "perturb": OTHER, "steps": 600},
    "continuous, colour": {"objective": "continuity", "perturb": COLOUR, "alpha": 1.0, "steps": 300},
    "continuous, other": {"objective": "continuity", "perturb": OTHER, "alpha": 1.0, "steps": 300},
}


def digits(first: int, count: int, *, correlation: float, grey: float = 0.0, seed: int = 0) -> ColoredDigits:
    return ColoredDigits(Mnist5k(indices=range(first, first + count)), correlation=correlation, grey=grey, seed=seed)


def trained(work: Path, name: str, data: Any, recipe: dict[str, Any], network: str, seed: int) -> Path:
    folder = work / "networks" / name.replace(", ", "_")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        own = {"model": network, "data": data, "batch_size": 64, "optimizer": "adam", "seed": seed, "mean": (0.5,),
               "std": (0.25,), "learning_rate": 0.003}  # fmt: skip
        train(own | recipe, out=folder, resume=True, progress=Terminal())
    return folder


def audited(work: Path, name: str, network: Path, data: Any, evaluations: tuple[str, ...]) -> Path:
    out = work / "audits" / name.replace(", ", "_")
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        audit(f"run:{network}", data, evaluate=evaluations, limit=1000, budget="standard", name=name, out=out,
              resume=True, progress=Terminal())  # fmt: skip
    return out


def groups(record: Any) -> dict[str, list[float | None]]:
    """Accuracy of each group with its interval."""
    own = record.evaluation("group_gap").estimates
    return {
        one.subset.removeprefix("group:"): [one.mean, one.low, one.high]
        for one in own
        if one.perturbation is None and one.quantity == "accuracy" and one.subset.startswith("group:bias=")
    }


def search(record: Any) -> dict[str, Any]:
    own = record.evaluation("bias_search")
    follows = {one.perturbation: [one.mean, one.low, one.high] for one in own.estimates if one.quantity == "follows"}
    named = [finding.code for finding in record.findings if finding.code.startswith("bias-")]
    return {"follows": follows, "named": named, "verdict": list(own.verdict)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "color_bias.json")
    given = parser.parse_args()
    fit, judge = digits(0, given.images, correlation=0.95), digits(4000, 1000, correlation=0.5, grey=1 / 3)
    result: dict[str, Any] = {
        "what": "accuracy by group and what predictions follow, 95 % intervals over images; one seed",
        "environment": environment(torch.device("cpu")), "images": given.images, "seed": given.seed,
        "groups": {}, "differences": {}, "search": {},
    }  # fmt: skip
    sides: list[Path] = []
    searched: list[tuple[str, str, Any, Any, dict[str, Any]]] = [
        (name, "network:digits", fit, digits(4000, 1000, correlation=0.95), recipe) for name, recipe in RECIPES.items()
    ]
    for name, kind, own, _, recipe in searched:
        network = trained(given.work, name, own, recipe, kind, given.seed)
        sides.append(audited(given.work, f"groups of {name}", network, judge, ("group_gap",)))
        result["groups"][name] = groups(RunRecord.load(sides[-1]).record)
    pairs = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 3), (2, 4)]
    for first, second in pairs:
        (pair,) = side_by_side([sides[first], sides[second]]).comparisons
        result["differences"][" minus ".join(reversed(pair.labels))] = {
            one.subset: [one.difference, one.low, one.high, one.p_holm]
            for one in pair.differences
            if one.quantity == "accuracy" and one.perturbation is None and one.subset.startswith(("group:bias", "all"))
        }
    standard, few = RECIPES["standard"], {"objective": "cross_entropy", "steps": 300}
    for name, share in {"digits, colours at random": 0.1}.items():
        own, test = digits(0, given.images, correlation=share), digits(4000, 1000, correlation=share)
        searched.append((name, "network:digits", own, test, standard))
    for name, share in {"shapes, background": 0.95, "shapes, free": None}.items():
        own, test = (Shapes(n=n, size=32, seed=seed, background=share) for n, seed in ((4000, 0), (1000, 1)))
        searched.append((name, "network:resnet20", own, test, few))
    for name, kind, own, test, recipe in searched:
        network = trained(given.work, name, own, recipe, kind, given.seed)
        result["search"][name] = search(
            RunRecord.load(audited(given.work, name, network, test, ("bias_search",))).record
        )
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        json.dumps(
            {"groups": result["groups"], "search": {k: v["verdict"] for k, v in result["search"].items()}}, indent=1
        )
    )


if __name__ == "__main__":
    main()
