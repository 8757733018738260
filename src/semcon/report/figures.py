"""The report's figures as SVG: in the page's fonts, coloured by CSS class, so that dark mode and print fit.

About 2 kB a panel. Everything that comes from a record passes through `Markup.format`, which escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from semcon.report.axes import Scale, round_up, ticks
from semcon.report.numbers import interval, number, plain, short

WIDTH, HEIGHT = 184, 122
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 8, 7, 20
_NOTHING = Markup("")


@dataclass(frozen=True)
class Point:
    """One estimate on a curve."""

    x: float
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Curve:
    """Estimates over severity (or depth). `style`: CSS classes that colour it."""

    name: str
    style: str
    points: tuple[Point, ...]


def change_panel(title: str, curves: Sequence[Curve], *, right: float, top: float, level: float | None) -> Markup:
    """One small multiple: a quantity against severity. `level`: a dotted line to compare with (clean accuracy)."""
    x = Scale(0, right, _LEFT, WIDTH - _RIGHT)
    y = Scale(0, top, HEIGHT - _BOTTOM, _TOP)
    body = _frame(x, y, right, top)
    if level is not None:
        body += Markup('<path class="level" d="M{:.1f} {:.1f}H{:.1f}"/>').format(x.start, y(level), x.end)
    for curve in curves:
        body += _band(curve, x, y)
    for curve in curves:
        body += _line(curve, x, y)
    told = "; ".join(
        f"{curve.name}: " + ", ".join(f"{number(p.mean)} at {plain(p.x)}" for p in curve.points) for curve in curves
    )
    return svg(WIDTH, HEIGHT, f"{title} against severity. {told}", body)


def svg(width: float, height: float, label: str, body: Markup) -> Markup:
    """A figure of this size; `label`: what it says, for those who do not see it."""
    return Markup('<svg class="figure" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, body
    )


def _frame(x: Scale, y: Scale, right: float, top: float) -> Markup:
    """Horizontal rules at round values, and labels on both axes."""
    body = _NOTHING
    for value in ticks(top, 2):
        body += Markup(
            '<path class="{}" d="M{:g} {:.1f}H{:g}"/><text class="end" x="{:g}" y="{:.1f}">{}</text>'
        ).format("rule" if value else "axis", x.start, y(value), x.end, x.start - 5, y(value) + 3.2, plain(value))
    for value in ticks(right):
        body += Markup('<text class="middle" x="{:.1f}" y="{:g}">{}</text>').format(
            x(value), y.start + 14, plain(value)
        )
    return body


def _band(curve: Curve, x: Scale, y: Scale) -> Markup:
    """The 95 % intervals as a band; of a single point, a whisker."""
    known = [
        (point.x, point.low, point.high) for point in curve.points if point.low is not None and point.high is not None
    ]
    if not known:
        return _NOTHING
    if len([point for point in curve.points if point.x > 0]) == 1:
        return _join(
            Markup('<path class="whisker {}" d="M{:.1f} {:.1f}V{:.1f}"/>').format(curve.style, x(at), y(low), y(high))
            for at, low, high in known
        )
    edge = [f"{x(at):.1f} {y(high):.1f}" for at, _, high in known]
    edge += [f"{x(at):.1f} {y(low):.1f}" for at, low, _ in reversed(known)]
    return Markup('<path class="band {}" d="M{}Z"/>').format(curve.style, "L".join(edge))


def _line(curve: Curve, x: Scale, y: Scale) -> Markup:
    """The line, and a dot with its numbers at every measured severity."""
    where = [(x(point.x), y(point.mean)) for point in curve.points]
    body = _NOTHING
    if len(where) > 1:
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in where)
        body += Markup('<path class="line {}" d="M{}"/>').format(curve.style, path)
    for point, (a, b) in zip(curve.points, where, strict=True):
        if point.x > 0:
            told = f"{curve.name}, {plain(point.x)}: {number(point.mean)} {interval(point.low, point.high, point.mean)}"
            body += Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="2"><title>{}</title></circle>').format(
                curve.style, a, b, told
            )
    return body


def depth_panel(
    title: str, layers: Sequence[str], curves: Sequence[Curve], *, top: float, unlike: frozenset[int] = frozenset()
) -> Markup:
    """Change through the network: `layers` from left to right, curves named at their right end.

    `unlike`: places whose distance is no yardstick of the same kind; the line to them is dashed.
    """
    width, height, left, right, bottom = 372, 236, 30, 104, 66
    x = Scale(0, max(1, len(layers) - 1), left + 8, width - right)
    y = Scale(0, top, height - bottom, _TOP)
    body = _NOTHING
    for value in ticks(top, 3):
        body += Markup(
            '<path class="{}" d="M{:g} {:.1f}H{:.1f}"/><text class="end" x="{:g}" y="{:.1f}">{}</text>'
        ).format("rule" if value else "axis", left, y(value), x.end + 6, left - 5, y(value) + 3.2, plain(value))
    for place, layer in enumerate(layers):
        body += Markup(
            '<text class="end" transform="translate({:.1f} {:g}) rotate(-38)"><title>{}</title>{}</text>'
        ).format(x(place) + 3, y.start + 12, layer, short(layer, 16))
    for curve, label in zip(
        curves, _spread([y(curve.points[-1].mean) for curve in curves], _TOP, y.start), strict=True
    ):
        body += _thread(curve, x, y, label, unlike)
    told = "; ".join(
        f"{curve.name}: " + ", ".join(f"{layers[int(p.x)]} {number(p.mean)}" for p in curve.points) for curve in curves
    )
    return svg(width, height, f"{title}: relative change by layer. {told}", body)


def _thread(curve: Curve, x: Scale, y: Scale, label: float, unlike: frozenset[int]) -> Markup:
    """One curve of `depth_panel`, with its name at the end."""
    where = [(x(point.x), y(point.mean)) for point in curve.points]
    body = _NOTHING
    for point, (a, b), (c, d) in zip(curve.points[1:], where, where[1:], strict=False):
        dashed = " dashed" if int(point.x) in unlike else ""
        body += Markup('<path class="line{}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(dashed, a, b, c, d)
    for point, (a, b) in zip(curve.points, where, strict=True):
        told = f"{curve.name}: {number(point.mean)} {interval(point.low, point.high, point.mean)}"
        body += Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="2"><title>{}</title></circle>').format(
            a, b, told
        )
    (a, b), end = where[-1], x.end + 12
    body += Markup('<path class="lead" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(a + 3, b, end - 2, label)
    body += Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(end, label + 3.2, short(curve.name, 20))
    return Markup('<g class="thread {}">{}{}</g>').format(curve.style, _band(curve, x, y), body)


def _spread(wanted: Sequence[float], low: float, high: float, gap: float = 11.5) -> list[float]:
    """Heights for labels as near as possible to those wanted, at least `gap` apart."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    placed: list[float] = []
    for place in order:
        placed.append(max(wanted[place], placed[-1] + gap) if placed else max(low, wanted[place]))
    over = placed[-1] - high if placed else 0.0
    for back in range(len(placed) - 1, -1, -1):
        if over <= 0:
            break
        placed[back] -= over
        over = gap - (placed[back] - placed[back - 1]) if back else 0.0
    result = [0.0] * len(wanted)
    for place, height in zip(order, placed, strict=True):
        result[place] = height
    return result


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def top_of(curves: Sequence[Curve]) -> float:
    """A round top for an axis that all these curves and their bands fit under."""
    reach = [point.high if point.high is not None else point.mean for curve in curves for point in curve.points]
    return round_up(max(reach, default=1.0))
