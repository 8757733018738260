"""The study's table and claims, from the finished networks alone.

    python studies/equal_compute/table.py [digits|cifar10] [--results results/TASK]

Means over seeds; differences are continuity minus another objective, paired by seed and image, with 95 % intervals over
images and over seeds above them (`semcon.core.seeds`), and Holm's correction over the primary rows of each comparison.
Primary: flips and accuracy on each family never seen, accuracy under PGD at the small eps. Writes `claims.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tasks import TASKS, Task

from semcon.core.seeds import seed_error, seed_p, seed_reach, widened
from semcon.core.significance import holm

HERE = Path(__file__).parent
OWN, Z, LEVEL = "continuity", 1.959963984540054, 0.05
Floats = npt.NDArray[np.float64]
Runs = dict[str, list[dict[str, Any]]]


def unpacked(text: str) -> Floats:
    """`N:HEX` -> (N,) zeros and ones."""
    count, _, digits = text.partition(":")
    return np.array([float(bit) for bit in f"{int(digits, 16):0{count}b}"])


def outcomes(run: dict[str, Any], task: Task) -> dict[str, Floats]:
    """Per image: right or flipped, means over a family's perturbations."""
    judged = run["judged"]
    found = {"clean accuracy": unpacked(judged["clean"])}
    families = {"seen": list(task.seen)}
    families |= {name: [f"{p}:{s}" for p, s in parts] for name, parts in task.unseen.items()}
    for family, parts in families.items():
        for quantity, key in (("flips", "flip"), ("accuracy", "right")):
            columns = [unpacked(judged[f"{family}/{part}"][key]) for part in parts]
            found[f"{family} {quantity}"] = np.mean(columns, axis=0)
    for attack in ("pgd", "transfer"):
        for eps in task.eps:
            found[f"{attack} accuracy at {eps:.4g}"] = unpacked(judged[f"{attack}/{eps:.4g}"])
    return found


def relative_changes(runs: list[dict[str, Any]], parts: list[str]) -> float:
    return float(np.mean([[run["judged"][part]["relative_change"] for part in parts] for run in runs]))


def judged_runs(file: Path, order: Iterable[str]) -> Runs:
    runs: Runs = {}
    for line in map(json.loads, file.read_text().splitlines()):
        if line["judged"] is not None:
            runs.setdefault(line["objective"], []).append(line)
    seeds = {name: sorted(run["seed"] for run in some) for name, some in runs.items()}
    assert len({tuple(some) for some in seeds.values()}) == 1, f"not all networks are there yet: {seeds}"
    return {name: sorted(runs[name], key=lambda run: run["seed"]) for name in order}


def difference(own: Floats, other: Floats) -> dict[str, float]:
    """(seeds, N) each -> own - other with its interval and p."""
    apart = (own - other).mean(0)
    value = np.array([apart.mean()])
    half = Z * apart.std(ddof=1) / np.sqrt(len(apart)) * np.ones(1)
    first, second = other.mean(1)[:, None], own.mean(1)[:, None]
    error, freedom = seed_error(first, second)
    low, high = widened(value, value - half, value + half, seed_reach(first, second))
    p = seed_p(value, half, error, freedom)
    return {"difference": float(value[0]), "low": float(low[0]), "high": float(high[0]), "p": float(p[0])}


def claims(runs: Runs, task: Task) -> dict[str, Any]:
    every = {name: [outcomes(run, task) for run in some] for name, some in runs.items()}
    stacked = {name: {key: np.stack([one[key] for one in some]) for key in some[0]} for name, some in every.items()}
    primary = [f"{family} {quantity}" for family in task.unseen for quantity in ("flips", "accuracy")]
    primary += [f"pgd accuracy at {eps:.4g}" for eps in task.eps[:-1]]
    pairs = [
        {"against": name, "outcome": key, "primary": key in primary, **difference(stacked[OWN][key], values[key])}
        for name, values in stacked.items()
        if name != OWN
        for key in values
    ]
    for name in stacked:
        tested = [pair for pair in pairs if pair["primary"] and pair["against"] == name]
        for pair, p in zip(tested, holm([pair["p"] for pair in tested]), strict=True):
            better = pair["difference"] < 0 if "flips" in pair["outcome"] else pair["difference"] > 0
            clear = p < LEVEL or pair["low"] > 0 or pair["high"] < 0
            pair["p_holm"] = p
            pair["verdict"] = "undecided" if not clear else "better" if better else "worse"
            pair["verdict"] += "" if p < LEVEL or not clear else ", before Holm's correction"
    unseen = [f"{family}/{p}:{s}" for family, parts in task.unseen.items() for p, s in parts]
    table = {
        name: {
            "settings": runs[name][0]["settings"], "steps": runs[name][0]["steps"],
            "seconds": float(np.median([run["seconds"] for run in runs[name]])),
            "centred_logit_norm": float(np.mean([run["judged"]["logit_norm"] for run in runs[name]])),
            "seen relative change": relative_changes(runs[name], [f"seen/{part}" for part in task.seen]),
            "unseen relative change": relative_changes(runs[name], unseen),
            **{key: float(column.mean()) for key, column in values.items()},
        }
        for name, values in stacked.items()
    }  # fmt: skip
    return {"seeds": [run["seed"] for run in runs[OWN]], "table": table, "differences": pairs}


def markdown(found: dict[str, Any]) -> str:
    names = list(found["table"])
    rows = [key for key in found["table"][OWN] if key != "settings"]
    lines = ["| | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    lines.append("| knob | " + " | ".join(str(found["table"][name]["settings"]) for name in names) + " |")
    for key in rows:
        lines.append(f"| {key} | " + " | ".join(f"{found['table'][name][key]:.4g}" for name in names) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="?", choices=TASKS, default="digits")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    folder = options.results or HERE / "results" / options.task
    task = TASKS[options.task]
    found = claims(judged_runs(folder / "runs.jsonl", task.knobs), task)
    (folder / "claims.json").write_text(json.dumps(found, indent=1) + "\n")
    print(markdown(found))
    for name in found["table"]:
        verdicts = [p["verdict"] for p in found["differences"] if p["against"] == name and p["primary"]]
        if verdicts:
            print(f"\ncontinuity against {name}:", {v: verdicts.count(v) for v in sorted(set(verdicts))})
            for pair in found["differences"]:
                if pair["against"] == name and pair["primary"]:
                    told = f"{pair['difference']:+.4f} [{pair['low']:+.4f}, {pair['high']:+.4f}] {pair['p_holm']:.2g}"
                    print(f"  {pair['outcome']}: {told} {pair['verdict']}")


if __name__ == "__main__":
    main()
