"""What a record says of the pictures in its gallery and of figures over two quantities."""

from __future__ import annotations

from typing import Literal

from semcon.core.plain import Plain


class GalleryEntry(Plain):
    """An image, its copy and, where there is one, a same-class image nearer to it in the representation."""

    perturbation: str
    severity: float
    draws: Literal["random", "worst"]
    draw: int
    class_name: str | None
    sample: int
    position: int
    other_position: int | None
    title: str
    other_title: str | None
    gauge: str
    change: float
    other_distance: float | None
    pixel_change: float
    pixel_other: float | None
    relative: float | None
    figure1: bool
    prediction: str
    prediction_copy: str
    prediction_other: str | None
    confidence: float
    confidence_copy: float
    files: dict[str, str]


class MapRecord(Plain):
    """A figure over two quantities: `values` rows from the top, each from the left; `x`, `y`: what its ends are."""

    name: str
    title: str
    x_label: str
    x: tuple[float, float]
    y_label: str
    y: tuple[float, float]
    value_label: str
    values: tuple[tuple[float | None, ...], ...]


class ExplainedEntry(Plain):
    """One image and its copy by one explanation: `alike`, the rank correlation of the maps; pictures by role.

    Of the bias search: `perturbation` is a property, and a picture is that of the image it was taken from.
    """

    method: str
    perturbation: str
    severity: float
    sample: int
    title: str
    prediction: str
    prediction_copy: str
    alike: float | None
    files: dict[str, str]
