"""The same audit on two devices: which figures agree, and which do not.

    python studies/devices/compare.py RUN OTHER [--out results/h100.json]

Every estimate of two run folders of the same model, images and settings, evaluation by evaluation: the share that
agrees to 1e-4 and to 1e-2 of its size (of .01 at least), the largest difference, and the ten that differ most.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from semcon.run_record import RunRecord

HERE = Path(__file__).resolve().parent
LEAST = 1e-2  # the size that differences are a share of, at least


def figures(run: RunRecord) -> dict[tuple[Any, ...], float | None]:
    parts = {one.name: one.estimates for one in run.record.evaluations} | {"continuity": run.record.estimates}
    return {(name, *one.key): one.mean for name, estimates in parts.items() for one in estimates}


def compared(first: RunRecord, second: RunRecord) -> dict[str, Any]:
    one, two = figures(first), figures(second)
    if one.keys() != two.keys():
        raise SystemExit("the two runs tell different figures: they are not of the same settings")
    apart: dict[str, list[tuple[float, tuple[Any, ...]]]] = {}
    for key, value in one.items():
        other = two[key]
        if value is not None and other is not None:
            share = abs(value - other) / max(abs(value), abs(other), LEAST)
            apart.setdefault(key[0], []).append((share, key))
        elif value is not other:
            apart.setdefault(key[0], []).append((1.0, key))
    told = {
        name: {
            "figures": len(rows),
            "within_1e-4": float(np.mean([share < 1e-4 for share, _ in rows])),
            "within_1e-2": float(np.mean([share < 1e-2 for share, _ in rows])),
            "largest": max(share for share, _ in rows),
        }
        for name, rows in apart.items()
    }
    whole = [share for rows in apart.values() for share, _ in rows]
    most = sorted((row for rows in apart.values() for row in rows), key=lambda row: -row[0])[:10]
    return {
        "within_1e-4": float(np.mean(np.array(whole) < 1e-4)), "within_1e-2": float(np.mean(np.array(whole) < 1e-2)),
        "evaluations": told,
        "most": [[" ".join(str(part) for part in key if part is not None), one[key], two[key]] for _, key in most],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "h100.json")
    given = parser.parse_args()
    runs = [RunRecord.load(folder) for folder in (given.first, given.second)]
    plain = {
        "what": (__doc__ or "").partition("\n\n")[0],
        "sides": [
            {
                "environment": {k: v for k, v in run.record.environment.items() if k != "platform"},
                "seconds": {one.name: round(one.seconds, 1) for one in run.record.evaluations}
                | {"all": round(run.record.timing.seconds, 1)},
            }
            for run in runs
        ],
        **compared(*runs),
    }
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(plain, indent=1) + "\n")
    print(json.dumps({name: plain[name] for name in ("within_1e-4", "within_1e-2", "evaluations", "most")}, indent=1))


if __name__ == "__main__":
    main()
