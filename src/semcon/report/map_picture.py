"""A figure over two quantities as a picture: Fourier heat maps, loss surfaces. The more ink, the more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from semcon.core.pictured import MapRecord
from semcon.report.axes import round_up
from semcon.report.figures import svg
from semcon.report.numbers import number, plain

LEVELS = 24  # shades; each is one path, which keeps a map of 33 x 33 below 16 kB
_SIDE, _LEFT, _TOP, _BAR = 200.0, 40.0, 8.0, 10.0


def common_scale(maps: Iterable[MapRecord]) -> tuple[float, float]:
    """From 0 (or the least value, where it is negative) to a round number: one scale for maps that are compared."""
    values = [value for one in maps for row in one.values for value in row if value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    bottom = -round_up(-low) if low < 0 else 0.0
    return bottom, max(round_up(high), bottom + 1e-9)


def map_picture(one: MapRecord, scale: tuple[float, float] | None = None) -> Markup:
    """The map with both axes and a bar that tells what shades mean. Values outside the `scale` have its end's shade.

    Where nothing is known there is a plain grey.
    """
    low, high = scale or common_scale([one])
    down, across = len(one.values), max((len(row) for row in one.values), default=0)
    if not down or not across:
        return Markup("")
    cell = _SIDE / max(down, across)
    width, height = across * cell, down * cell
    body = _cells(one.values, cell, low, high)
    body += Markup('<path class="frame" d="M{:g} {:g}h{:g}v{:g}h{:g}z"/>').format(_LEFT, _TOP, width, height, -width)
    body += _axes(one, width, height) + _bar(_LEFT + width + 16, height, low, high)
    return svg(_LEFT + width + 72, _TOP + height + 32, _told(one), body)


def _cells(values: Sequence[Sequence[float | None]], cell: float, low: float, high: float) -> Markup:
    """One path for each shade; runs of one shade in a row are one box."""
    boxes: dict[int, list[str]] = {}
    for number_, row in enumerate(values):
        shades = [-1 if value is None else _shade(value, low, high) for value in row]
        start = 0
        for place in range(1, len(shades) + 1):
            if place == len(shades) or shades[place] != shades[start]:
                box = f"M{start} {number_}h{place - start}v1h{start - place}z"
                boxes.setdefault(shades[start], []).append(box)
                start = place
    frame = f"translate({_LEFT:g} {_TOP:g}) scale({cell:.4f})"
    paths = Markup("").join(
        Markup('<path class="{}" opacity="{:.3g}" d="{}"/>').format(
            "cell" if shade >= 0 else "unknown", shade / (LEVELS - 1) if shade >= 0 else 1, "".join(found)
        )
        for shade, found in sorted(boxes.items())
        if shade  # the lowest is the paper
    )
    return Markup('<g class="cells" transform="{}" shape-rendering="crispEdges">{}</g>').format(frame, paths)


def _shade(value: float, low: float, high: float) -> int:
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return round(share * (LEVELS - 1))


def _axes(one: MapRecord, width: float, height: float) -> Markup:
    """The ends and the middle of both axes, and their names."""
    body = Markup("")
    for share in (0.0, 0.5, 1.0):
        right, below = _LEFT + share * width, _TOP + share * height
        body += Markup('<text class="middle" x="{:.1f}" y="{:.1f}">{}</text>').format(
            right, _TOP + height + 13, _end(one.x, share)
        )
        body += Markup('<text class="end" x="{:.1f}" y="{:.1f}">{}</text>').format(
            _LEFT - 5, below + 3.2, _end(one.y, share)
        )
    body += Markup('<text class="middle" x="{:.1f}" y="{:.1f}">{}</text>').format(
        _LEFT + width / 2, _TOP + height + 27, one.x_label
    )
    return body + Markup('<text class="middle" transform="translate({:g} {:.1f}) rotate(-90)">{}</text>').format(
        9, _TOP + height / 2, one.y_label
    )


def _end(axis: tuple[float, float], share: float) -> str:
    return plain(round(axis[0] + share * (axis[1] - axis[0]), 3) + 0.0)


def _bar(left: float, height: float, low: float, high: float) -> Markup:
    """The shades from the bottom up, with numbers at both ends and in the middle."""
    step = height / LEVELS
    boxes = Markup("").join(
        Markup('<path class="cell" opacity="{:.3g}" d="M{:g} {:.2f}h{:g}v{:.2f}h{:g}z"/>').format(
            shade / (LEVELS - 1), left, _TOP + height - (shade + 1) * step, _BAR, step, -_BAR
        )
        for shade in range(1, LEVELS)
    )
    frame = Markup('<path class="frame" d="M{:g} {:g}h{:g}v{:g}h{:g}z"/>').format(left, _TOP, _BAR, height, -_BAR)
    body = Markup('<g shape-rendering="crispEdges">{}</g>{}').format(boxes, frame)
    for share in (0.0, 0.5, 1.0):
        body += Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(
            left + _BAR + 5, _TOP + (1 - share) * height + 3.2, plain(round(low + share * (high - low), 4))
        )
    return body


def _told(one: MapRecord) -> str:
    """For those who do not see it: the ends of the range and where they are."""
    known = [
        (value, row, column)
        for row, values in enumerate(one.values)
        for column, value in enumerate(values)
        if value is not None and math.isfinite(value)
    ]
    if not known:
        return f"{one.title}: nothing is known"
    ends = [f"{number(value)} at {_place(one, row, column)}" for value, row, column in (min(known), max(known))]
    return f"{one.title}, {one.value_label} by {one.x_label} and {one.y_label}: from {ends[0]} to {ends[1]}"


def _place(one: MapRecord, row: int, column: int) -> str:
    right = column / max(1, len(one.values[row]) - 1)
    return f"{_end(one.x, right)}, {_end(one.y, row / max(1, len(one.values) - 1))}"
