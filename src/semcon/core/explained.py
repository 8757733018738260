"""What tables may say of explanations: columns `METHOD.QUANTITY`, of rows or of images, and which of them are rates."""

from __future__ import annotations

from collections.abc import Iterable

LIKENESS = ("rank_correlation", "ssim", "top_overlap", "cosine")
OF_COPIES = (*LIKENESS, "moved")
"""Of a row: the maps of an image and of its copy."""
BASELINES = ("black", "blur", "mean", "noise")
CURVES = (*(f"{way}_{baseline}" for way in ("insertion", "deletion") for baseline in BASELINES), "deletion_road")
FAITH = (*CURVES, "infidelity", "max_sensitivity", "randomised")
FOCUS = ("mass_inside", "pointing_game", "mask_iou", "gini", "entropy")
OF_MAPS = (*FAITH, *FOCUS)
"""Of an image: its own map."""
CHANCE = "chance"
"""The method that stands for a map which knows nothing."""
RATES = ("moved", "pointing_game")
"""In [0, 1] image by image, and counted."""


def split(column: str) -> tuple[str, str]:
    """`grad_cam.ssim` -> method and quantity."""
    method, _, quantity = column.rpartition(".")
    return method, quantity


def explained(columns: Iterable[str], quantities: tuple[str, ...]) -> list[str]:
    """Those of the columns that are one of these quantities of some method."""
    found = ((column, *split(column)) for column in columns)
    return [column for column, method, quantity in found if method and quantity in quantities]
