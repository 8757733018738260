"""The random corruptions that can be given the same random numbers on both sides, compared value by value.

    REFERENCE_PYTHON same_draws.py publish CODE DATA FILE.npz
    python same_draws.py compare FILE.npz

The first runs the published code, as `reference.py` does, on four images of 32 and of 224 px, with numpy's random
functions replaced by ones that hand out given numbers; the second gives ours the same and writes
results/same_draws.json: mean, 99th percentile and maximum of the difference, in grey levels before rounding, beside the
mean effect of the corruption.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

DRAWN = ("elastic_transform", "snow", "spatter")


def given(name: str, size: int, seed: int) -> dict[str, np.ndarray]:
    """Unit parameters of four images, as semcon names them."""
    rng = np.random.default_rng(seed)
    if name == "elastic_transform":
        return {"corners": rng.uniform(-1, 1, (4, 3, 2)), "pull": rng.uniform(-1, 1, (4, 2, size, size))}
    return {"field": rng.normal(size=(4, size, size)), "direction": rng.uniform(-1, 1, 4)}


def handed_out(unit: dict[str, np.ndarray], image: int) -> Any:
    """In place of numpy.random: `uniform` and `normal` give what `unit` holds."""
    queue = [unit["corners"][image], *unit["pull"][image]] if "pull" in unit else []

    def uniform(low: float, high: float, size: Any = None) -> Any:
        return queue.pop(0) * high if queue else -90 + 45 * unit["direction"][image]

    def normal(size: Any, loc: float, scale: float) -> np.ndarray:
        return loc + scale * unit["field"][image]

    return types.SimpleNamespace(uniform=uniform, normal=normal)


def publish(code: Path, data: Path, file: Path) -> None:
    import os

    import reference

    clean, written = {32: reference.small(data)[:4], 224: reference.photographs(data, 1, 224)[:4]}, {}
    file = file.resolve()
    os.chdir(code)
    for size in clean:
        published = reference.functions(Path(reference.SCRIPTS[size]))
        written[f"{size}/clean"] = clean[size]
        for name in DRAWN:
            for level in range(1, 6):
                made = []
                for image, pixels in enumerate(clean[size]):
                    published["np"].random = handed_out(given(name, size, level), image)
                    made.append(published[name](reference.Image.fromarray(pixels), level))
                written[f"{size}/{name}/{level}"] = np.stack(made)
    np.savez_compressed(file, **written)


def compare(file: Path) -> None:
    import torch

    from semcon.core.registry import load

    cells, held = {}, np.load(file)
    for key in (each for each in held.files if "clean" not in each):
        size, name, level = key.split("/")
        x = torch.from_numpy(held[f"{size}/clean"]).permute(0, 3, 1, 2).float()
        unit = {part: torch.from_numpy(value).float() for part, value in given(name, int(size), int(level)).items()}
        ours = load("perturbations", name)()(x / 255, unit, float(level)) * 255
        theirs = torch.from_numpy(held[key]).permute(0, 3, 1, 2)
        away = (ours - theirs).abs().flatten()
        found = {"mean": away.mean(), "p99": np.quantile(away.numpy(), 0.99), "largest": away.max()}
        found["effect"] = (theirs - x).abs().mean()
        cells[key] = {part: float(f"{float(value):.3g}") for part, value in found.items()}
        print(key, cells[key])
    out = Path(__file__).resolve().parent / "results" / "same_draws.json"
    plain = {"what": "grey levels between ours and the published, given the same draws", "cells": cells}
    out.write_text(json.dumps(plain, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish(*map(Path, sys.argv[2:5]))
    else:
        compare(Path(sys.argv[2]))
