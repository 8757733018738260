"""The tables of the README from results/*.json: `python studies/robustness/table.py [RESULTS]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAIRS = ("augmentation minus standard", "continuous minus standard", "continuous minus augmentation")
ATTACKED = ("pgd_linf", "pgd_l2", "color_jitter_attack", "rotation_translation_attack")
SHOWN = {
    "pgd_linf": (0.5, 2, 4, 8), "pgd_l2": (128,),
    "color_jitter_attack": (0.2,), "rotation_translation_attack": (10,),
    "low_pass": (0.65,), "high_pass": (0.35,), "fourier_noise": (0.1875, 0.4375, 0.8125), "patch_shuffle": (4,),
    "grayscale": (1,), "silhouette": (1,), "background_swap": (1,),
}  # fmt: skip
Row = list[Any]


def rows(result: dict[str, Any]) -> Iterator[tuple[str, list[Row | None]]]:
    """Every figure that is watched, with its row of each pair: names as people read them."""
    for evaluation in result["differences"][PAIRS[0]]:
        every = [{tuple(row[:4]): row for row in result["differences"][pair][evaluation]} for pair in PAIRS]
        for key in every[0]:
            if wanted(key):
                yield name(evaluation, key), [one.get(key) for one in every]


def wanted(key: tuple[Any, ...]) -> bool:
    """What the README shows; every severity is in the results."""
    perturbation, severity, draws, quantity = key
    if quantity in ("mean_corruption_error", "mean_flip_rate", "input_curvature"):
        return True
    if perturbation == "all":
        return quantity == "accuracy"
    if severity is None:
        return perturbation in SHOWN and quantity == "critical_severity"
    tried = "worst" if perturbation in ATTACKED else "random"
    told = quantity == "accuracy" and draws == tried and severity in SHOWN.get(perturbation, ())
    return told or (quantity == "lipschitz" and severity == 128)


def name(evaluation: str, key: tuple[Any, ...]) -> str:
    perturbation, severity, draws, quantity = key
    what = "all of it" if perturbation == "all" else (perturbation or "untouched").replace("_", " ")
    at = "" if severity is None else f" {severity:g}"
    return f"{evaluation}: {what}{at}{', worst' if draws == 'worst' else ''}, {quantity.replace('_', ' ')}"


def cell(row: Row | None) -> str:
    """The difference with its interval, bold where it leaves out 0."""
    if row is None or row[6] is None:
        return "–"
    value, low, high = row[6:9]
    told = ["unbounded" if end is None else f"{end:+.3g}" for end in (low, high)]
    ends = "" if low is None and high is None else f" [{told[0]}, {told[1]}]"
    text = f"{value:+.3g}{ends}"
    return f"**{text}**" if low is not None and high is not None and (low > 0 or high < 0) else text


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results"
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        print(f"\n### {result['task']}: {result['images']} images, budget {result['budget']}\n")
        names = ("standard", "augmentation", "continuous")
        print("| figure | " + " | ".join((*names, *PAIRS)) + " |")
        print("|---|" + "---|" * (len(names) + len(PAIRS)))
        accuracy = [f"{result['networks'][one]['accuracy']:.3f}" for one in names]
        print("| untouched: accuracy | " + " | ".join(accuracy) + " | | | |")
        for title, (first, second, third) in rows(result):
            own = [None if first is None else first[4], None if first is None else first[5],
                   None if second is None else second[5]]  # fmt: skip
            shown = ["–" if value is None else f"{value:.3g}" for value in own]
            print(f"| {title} | " + " | ".join((*shown, *map(cell, (first, second, third)))) + " |")


if __name__ == "__main__":
    main()
