"""Tables made without a model: points in a plane of features, classes as Gaussian clusters, changes as added noise.

Everything about them is known: spreads and ranks come from all pairs, in plain numpy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from semcon.core.record import GaugeInfo
from semcon.core.table import SampleTable


def info(name: str) -> GaugeInfo:
    representation, distance = name.rsplit(".", 1)
    return GaugeInfo(
        name=name, representation=representation, distance=distance, dimension=8, projected=None,
        projection_error=None, homogeneous=True,
    )  # fmt: skip


def clusters(
    generator: np.random.Generator, n: int, *, classes: int = 5, dimension: int = 8, apart: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, dimension) and labels (n,): class k is Gaussian around its own fixed centre, wider for larger k."""
    centres = np.random.default_rng(99).normal(size=(classes, dimension)) * apart
    labels = generator.integers(0, classes, n)
    width = 0.5 + labels / classes
    return centres[labels] + generator.normal(size=(n, dimension)) * width[:, None], labels


def yardsticks(
    z: np.ndarray, labels: np.ndarray | None, references: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Spread (n,), within (n,) and sorted same-class distances of each row of z to the references, by definition."""
    distance = np.sqrt(((z[:, None] - z[references][None]) ** 2).sum(-1))
    own = np.arange(len(z))[:, None] == references[None]
    group = np.zeros(len(z), int) if labels is None else labels
    total, mass = np.zeros(len(z)), np.zeros(len(z))
    for label in np.unique(group):
        here = (group[references] == label)[None] & ~own
        count = here.sum(1)
        weight = ((group == label).sum() - (group == label)) * (count > 0)
        total += weight * (distance * here).sum(1) / np.maximum(count, 1)
        mass += weight
    same = (group[:, None] == group[references][None]) & ~own
    with np.errstate(invalid="ignore"):
        within = (distance * same).sum(1) / same.sum(1)
    with np.errstate(invalid="ignore"):
        spread = total / mass
    return spread, within, [np.sort(row[kept]) for row, kept in zip(distance, same, strict=True)]


def table(
    z: np.ndarray, labels: np.ndarray | None, changes: dict[tuple[str, float], np.ndarray], *,
    flips: dict[tuple[str, float], np.ndarray] | None = None, gauges: Sequence[str] = ("pixels.l2", "logits.l2"),
    references: np.ndarray | None = None, samples: np.ndarray | None = None, wrong: np.ndarray | None = None,
    critical: dict[str, tuple[np.ndarray, float]] | None = None, worst: bool = False,
) -> SampleTable:  # fmt: skip
    """A table from features z (n, d), labels, and changes (n, draws) for each (perturbation, severity).

    `flips` (n, draws) bool; `wrong` (n,) bool: predicted wrong when untouched; `critical`: severities (n,), inf where
    censored, and where. Every gauge but the pixels has the same figures; the pixel change is the severity times 10.
    """
    n = len(z)
    references = np.arange(n) if references is None else references
    spread, within, same = yardsticks(z, labels, references)
    others = np.array([len(row) for row in same])
    clean = np.zeros(n, int) if labels is None else labels.copy()
    if wrong is not None:
        clean = np.where(wrong, clean + 1, clean)
    infos = tuple(info(name) for name in gauges)
    images: dict[str, object] = {
        "position": np.arange(n), "sample": np.arange(n) * 7919 + 13 if samples is None else samples,
        "title": [f"image {i}" for i in range(n)], "label": None if labels is None else labels, "prediction": clean,
        "confidence": np.full(n, 0.9), "gradient_norm": 1 + np.abs(z[:, 0]),
        "reference": np.isin(np.arange(n), references),
        "others": None if labels is None else others,
    }  # fmt: skip
    for name in gauges:
        images[f"{name}.spread"], images[f"{name}.within"] = spread, None if labels is None else within
    frames = []
    for (perturbation, severity), change in changes.items():
        flip = np.zeros_like(change, bool) if flips is None else flips[perturbation, severity]
        kinds = [("random", draw, change[:, draw], flip[:, draw]) for draw in range(change.shape[1])]
        if worst:
            kinds += [(kind, 0, change.max(1), flip.any(1)) for kind in ("worst_change", "worst_flip")]
        for kind, draw, c, f in kinds:
            columns: dict[str, object] = {
                "position": np.arange(n), "perturbation": perturbation, "severity": severity, "draws": kind,
                "draw": draw, "method": "best of 20" if kind != "random" else None,
                "prediction": np.where(f, clean + 1, clean), "confidence": np.where(f, 0.3, 0.8),
                "critical": None, "censored_at": None,
            }  # fmt: skip
            nearer = [np.searchsorted(row, value) for row, value in zip(same, c, strict=True)]
            for name in gauges:
                columns[f"{name}.change"] = np.full(n, severity * 10) if name == "pixels.l2" else c
                columns[f"{name}.nearer"] = None if labels is None else nearer
            frames.append(pl.DataFrame(columns, schema_overrides=SampleTable.row_schema(infos), strict=False))
    for perturbation, (found, limit) in (critical or {}).items():
        columns = dict.fromkeys(SampleTable.row_schema(infos)) | {
            "position": np.arange(n), "perturbation": perturbation, "draws": "critical", "draw": -1,
            "critical": pl.Series(found).set(pl.Series(np.isinf(found)), None), "censored_at": limit,
        }  # fmt: skip
        frames.append(pl.DataFrame(columns, schema_overrides=SampleTable.row_schema(infos), strict=False))
    image_frame = pl.DataFrame(images, schema_overrides=SampleTable.image_schema(infos), strict=False)
    rows = pl.concat(frames) if frames else pl.DataFrame(schema=SampleTable.row_schema(infos))
    return SampleTable(image_frame, rows, infos)
