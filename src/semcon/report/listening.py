"""What the model listens to: the share of accuracy left without some kind of information, models side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from semcon.core.record import Estimate
from semcon.report.axes import Scale, round_up, ticks
from semcon.report.figures import svg
from semcon.report.numbers import interval, number, percent, plain, short
from semcon.report.reading import Reading

QUANTITY = "accuracy_kept"
NEEDED, SPARED = 0.9, 0.9  # shares kept, below and above which it is said that information counts, or does not
_WIDTH, _LEFT, _RIGHT, _TOP, _GAP, _LINE = 700, 200, 110, 22, 13, 13


@dataclass(frozen=True)
class Kind:
    """One kind of information, told by one perturbation at one severity.

    `title`: what is left of the image; `note`: how; `when`: the same in a sentence; `needs` and `spares`: what follows
    where accuracy falls, and where it stays.
    """

    perturbation: str
    severity: float
    title: str
    note: str
    when: str
    needs: str
    spares: str


KINDS = (
    Kind("low_pass", 0.65, "coarse shape alone", "low frequencies, to 0.35 of the radius",
         "only low frequencies are left (up to 0.35 of the radius)", "listens to fine detail",
         "hardly needs fine detail"),
    Kind("high_pass", 0.35, "fine detail alone", "high frequencies, from 0.35 of the radius",
         "only high frequencies are left (from 0.35 of the radius)", "needs coarse shape", "goes by fine detail"),
    Kind("patch_shuffle", 4.0, "texture alone", "4 x 4 cells shuffled",
         "4 x 4 cells of the image are shuffled", "listens to how parts lie to each other", "goes by texture"),
    Kind("silhouette", 1.0, "outline alone", "object black on white",
         "only the object's outline is left", "needs what is inside the outline", "finds the outline enough"),
    Kind("grayscale", 1.0, "all but colour", "grey image", "colours are taken away", "listens to colour",
         "hardly needs colour"),
    Kind("background_swap", 1.0, "all but the background", "a generated one in its place",
         "the background is another one", "listens to the background", "hardly needs the background"),
)  # fmt: skip


def sentences(estimates: Iterable[Estimate]) -> tuple[str, ...]:
    """A sentence for every kind that was measured; it draws a conclusion only where the whole interval allows it."""
    found = {(one.perturbation, one.severity): one for one in estimates if one.quantity == QUANTITY and _whole(one)}
    told: list[str] = []
    for kind in KINDS:
        one = found.get((kind.perturbation, kind.severity))
        if one is None or one.mean is None or one.low is None or one.high is None:
            continue
        spread = f"[{percent(one.low)}, {percent(one.high)}]"
        follows = f": it {kind.needs}" if one.high < NEEDED else f": it {kind.spares}" if one.low > SPARED else ""
        told.append(f"It keeps {percent(one.mean)} {spread} of its accuracy when {kind.when}{follows}.")
    return tuple(told)


def _whole(one: Estimate) -> bool:
    return one.subset == "all" and one.draws == "random"


def listening_figure(runs: Sequence[Reading]) -> Markup:
    """A row a kind of information, a dot a model: what share of its accuracy is left, with its interval.

    A short stroke on each line stands where guessing would be. Empty where no run has any of them.
    """
    rows = [(kind, [_found(run, kind) for run in runs]) for kind in KINDS]
    rows = [(kind, cells) for kind, cells in rows if any(cells)]
    if not rows:
        return Markup("")
    reach = max(one.high or one.mean or 0 for _, cells in rows for one in cells if one)
    x = Scale(0, max(1.0, round_up(reach)), _LEFT, _WIDTH - _RIGHT)
    height = max(2, len(runs)) * _LINE + _GAP
    bottom = _TOP + len(rows) * height
    body = _axis(x, bottom)
    told: list[str] = []
    for place, (kind, cells) in enumerate(rows):
        top = _TOP + place * height
        body += Markup(
            '<path class="rule" d="M0 {:g}H{:g}"/><text class="kind" x="0" y="{:.1f}">{}</text>'
            '<text class="small" x="0" y="{:.1f}">{}</text>'
        ).format(top, x.end, top + height / 2 - 2, kind.title, top + height / 2 + 9, kind.note)
        for number_, (run, one) in enumerate(zip(runs, cells, strict=True)):
            if one is not None and one.mean is not None:
                middle = top + height / 2 + (number_ - (len(runs) - 1) / 2) * _LINE
                body += _cell(x, middle, number_, run, one, several=len(runs) > 1)
                told.append(f"{kind.title}, {run.label}: {number(one.mean)}")
    return svg(_WIDTH, bottom + 18, f"Share of accuracy kept. {'; '.join(told)}", body)


def listening_rows(runs: Sequence[Reading]) -> list[tuple[str | float | None, ...]]:
    """The numbers behind the figure, exact: run, kind, perturbation, severity, mean, low, high."""
    return [
        (run.label, kind.title, kind.perturbation, kind.severity, one.mean, one.low, one.high)
        for kind in KINDS
        for run in runs
        if (one := _found(run, kind))
    ]


def _found(run: Reading, kind: Kind) -> Estimate | None:
    for one in run.record.figures():
        about = one.quantity, one.perturbation, one.severity
        if about == (QUANTITY, kind.perturbation, kind.severity) and _whole(one):
            return one
    return None


def _axis(x: Scale, bottom: float) -> Markup:
    body = Markup("")
    for value in ticks(x.high, 5):
        body += Markup(
            '<path class="{}" d="M{:.1f} {:g}V{:g}"/><text class="middle" x="{:.1f}" y="{:g}">{}</text>'
        ).format("axis" if value in (0, 1) else "rule", x(value), _TOP, bottom, x(value), bottom + 13, plain(value))
    return body + Markup(
        '<text x="0" y="12">what is left of the image</text>'
        '<text class="end" x="{:g}" y="12">share of its accuracy kept (short stroke: by guessing)</text>'
    ).format(x.end)


def _cell(x: Scale, middle: float, place: int, run: Reading, one: Estimate, *, several: bool) -> Markup:
    """The interval, the dot, and guessing."""
    mean = one.mean or 0.0
    body = Markup("")
    if one.low is not None and one.high is not None:
        body += Markup('<path class="whisker" d="M{:.1f} {:.1f}H{:.1f}"/>').format(x(one.low), middle, x(one.high))
    clean = run.accuracy.mean if run.accuracy else None
    if clean:
        chance = x(1 / run.record.subject.outputs / clean)
        body += Markup('<path class="axis" d="M{:.1f} {:.1f}v7"/>').format(chance, middle - 3.5)
    how = f"{one.perturbation} {plain(one.severity or 0)}"
    told = f"{run.label}, {how}: {number(mean)} {interval(one.low, one.high, mean)}"
    body += Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.2"><title>{}</title></circle>').format(
        x(mean), middle, told
    )
    after = max(x(mean) + 7, x(one.high) + 4 if one.high is not None else 0)
    body += Markup('<text x="{:.1f}" y="{:.1f}">{} {}</text>').format(
        after, middle + 3.2, percent(mean), short(run.label, 24) if several else ""
    )
    return Markup('<g class="run-{}">{}</g>').format(place % 8, body)
