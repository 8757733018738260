"""Features of networks trained with the constraint and without, on other data; and the same classes in other styles.

    python studies/transfer/run.py --networks DIR [DIR ...] [--work DIR] [--budget full]

`--networks`: what `studies/robustness/run.py --work DIR --seed N` made, one folder a seed:
DIR/{digits,shapes}/networks/{standard,augmentation,continuous}, at equal compute. Digits go to the optical digits of
the UCI repository (8 x 8, as scikit-learn carries them, drawn at 28 x 28) and to textures of `shapes`; shapes go to
digits (MNIST, 5000) and to CIFAR-10 (2000 images). Shapes meet their own classes in styles that they have not seen:
grey, negative, outlines filled with white on black, and blurred. Every difference is paired image by image and seed by
seed; intervals are over images and draws and, of several seeds, over training too. Fine-tuning only with the full
budget. Audits are kept under `--work`; run again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import torch
from environment import environment

from semcon import audit
from semcon.comparing.compare import side_by_side
from semcon.datasets import Arrays, Mnist5k, Shapes
from semcon.progress import Terminal

HERE = Path(__file__).resolve().parent
NETWORKS = ("standard", "augmentation", "continuous")
PAIRS = ((0, 1), (0, 2), (1, 2))
STYLES = ("own", "grey", "negative", "outline", "blurred")


def optical_digits() -> Arrays:
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    images = [Image.fromarray((each * 255 / 16).astype(np.uint8)).resize((28, 28), Image.Resampling.BICUBIC)
              for each in data.images]  # fmt: skip
    return Arrays(np.stack([np.asarray(image) for image in images])[..., None], data.target.tolist())


def textures() -> Arrays:
    data = Shapes(n=2000, size=28, seed=5)
    names = sorted({data.attributes(i)["texture"] for i in range(50)})
    return Arrays(np.stack([data.image(i) for i in range(len(data))]),
                  [names.index(data.attributes(i)["texture"]) for i in range(len(data))])  # fmt: skip


def cifar10() -> Any:
    folder = Path(os.environ.get("SEMCON_DATA", HERE.parents[2] / "shared" / "data"))
    return f"parquet:{folder}/cifar10/test.parquet[0:2000]"


class Styles(Arrays):
    """Shapes in every style; `attributes`: which."""

    def __init__(self, each: int) -> None:
        from PIL import Image, ImageFilter

        data = Shapes(n=each, size=32, seed=7)
        images: list[np.ndarray] = []
        for i in range(each):
            own = data.image(i)
            grey = np.repeat(np.asarray(Image.fromarray(own).convert("L"))[..., None], 3, 2)
            outline = np.repeat((data.mask(i) * 255).astype(np.uint8)[..., None], 3, 2)
            blurred = np.asarray(Image.fromarray(own).filter(ImageFilter.GaussianBlur(1.5)))
            images += [own, grey, 255 - own, outline, blurred]
        super().__init__(np.stack(images), [data.label(i) for i in range(each) for _ in STYLES])

    def attributes(self, index: int) -> dict[str, str]:
        return {"style": STYLES[index % len(STYLES)]}


def audited(out: Path, network: Path, data: Any, **options: Any) -> Path:
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        audit(f"run:{network}", data, out=out, name=network.name, resume=True, progress=Terminal(), **options)
    return out


def told(sides: list[list[Path]], wanted: Any) -> dict[str, Any]:
    """Each network's figures by training, and the paired differences."""
    found: dict[str, Any] = {"networks": {}, "differences": {}}
    for name, side in zip(NETWORKS, side_by_side(sides).sides, strict=True):
        found["networks"][name] = [
            {
                key: [one.mean, one.low, one.high]
                for one in run.record.evaluation(run.evaluations[-1]).estimates
                if (key := wanted(one)) is not None
            }
            for run in side.runs
        ]
    for first, second in PAIRS:
        (pair,) = side_by_side([sides[first], sides[second]]).comparisons
        found["differences"][f"{NETWORKS[second]} minus {NETWORKS[first]}"] = {
            key: [one.difference, one.low, one.high] for one in pair.differences if (key := wanted(one)) is not None
        }
    return found


def learned(one: Any) -> str | None:
    return f"{one.perturbation} {one.severity:g}" if one.quantity == "accuracy" and one.subset == "all" else None


def style(one: Any) -> str | None:
    untouched = one.quantity == "accuracy" and one.perturbation is None
    return one.subset.removeprefix("group:style=") if untouched and one.subset.startswith("group:style=") else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=Path, required=True, nargs="+")
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--budget", default="full", choices=("fast", "standard", "full"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "transfer.json")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "what": "accuracy of what is learned from features; differences, 95 % intervals over images, draws and "
        "trainings", "trainings": len(given.networks), "budget": given.budget,
        "environment": environment(torch.device("cpu")),
    }  # fmt: skip

    def sides(title: str, task: str, data: Any, **options: Any) -> list[list[Path]]:
        return [
            [audited(given.work / str(place) / title.replace(" ", "_") / name, folder / task / "networks" / name, data,
                     **options) for place, folder in enumerate(given.networks)]
            for name in NETWORKS
        ]  # fmt: skip

    targets = {
        "digits to optical digits": ("digits", optical_digits(), Mnist5k(limit=100)),
        "digits to textures": ("digits", textures(), Mnist5k(limit=100)),
        "shapes to digits": ("shapes", Mnist5k(), Shapes(n=100, size=32, seed=1)),
        "shapes to CIFAR-10": ("shapes", cifar10(), Shapes(n=100, size=32, seed=1)),
    }
    data = Styles(400)
    found = sides("styles", "shapes", data, evaluate="group_gap", limit=len(data))
    result["shapes in other styles"] = told(found, style)
    for name, (task, target, own) in targets.items():
        found = sides(name, task, own, evaluate="transfer", transfer_to=target, budget=given.budget)
        result[name] = told(found, learned)
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
