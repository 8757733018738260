"""The terminal table: the profile, what suffers most, findings and the verdict, as wide as the terminal allows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from semcon.core.record import Estimate
from semcon.report.cost import CostTable
from semcon.report.differences import DifferenceTable
from semcon.report.evaluations import EvaluationPart, evaluation_parts
from semcon.report.numbers import counted, decimals, interval, number, plain, sentence, words
from semcon.report.profile_table import Cell, ProfileTable, profile_table
from semcon.report.reading import Reading

_BLOCKS = " ▏▎▍▌▋▊▉█"
_BAR = 5
_VALUE = 11  # cells that `0.483 ±.021` takes
_KEPT = ("relative_change", "flip", "accuracy", "discontinuity", "within_class_change")  # what a narrow terminal keeps
_STYLES = {"issue": "bold red", "warning": "yellow", "note": "cyan"}


def show(
    console: Console, runs: Sequence[Reading], differences: Sequence[DifferenceTable] = (),
    cost: CostTable | None = None,
) -> None:  # fmt: skip
    """Print runs, side by side where there are several. Errors: none; names are shown, never obeyed."""
    for run in runs:
        _heading(console, run)
    for table in differences:
        console.print()
        for sentence_ in table.opening:
            console.print(Text(visible(sentence_)))
    continuity = any(run.record.settings.perturbations for run in runs)
    if continuity:
        console.print()
        console.print(_profile(console, runs))
    for part in evaluation_parts(runs):
        _evaluation(console, part, several=len(runs) > 1)
    for table in differences:
        if table.rows:
            console.print()
            console.print(_differences(console, table))
    if cost is not None:
        console.print()
        console.print(_cost(cost))
    for run in runs:
        several = len(runs) > 1
        if not several and continuity:
            console.print()
            console.print(_most_affected(console, run))
        _findings(console, run, named=several)
        _verdict(console, run, named=several)


def visible(text: str) -> str:
    """A name without what a terminal would obey: escapes, line breaks and direction marks become a replacement sign."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def bar(share: float, width: int = _BAR) -> str:
    """A share from 0 to 1 in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(width)


def _heading(console: Console, run: Reading) -> None:
    record = run.record
    canvas = record.subject.canvas
    console.print(Text.assemble((visible(run.label), "bold"), " on ", (visible(record.data.name), "bold")))
    draws = f"{record.settings.draws} random draw{'s' if record.settings.draws > 1 else ''}"
    worst = " and the worst case" if record.settings.worst else ""
    size = f"{canvas.width} x {canvas.height}"
    parts = [f"{record.data.images} images at {size}"]
    if record.settings.perturbations:
        parts += [counted(len(record.settings.perturbations), "perturbation"), draws + worst]
    if run.accuracy:
        found = run.accuracy
        parts.append(f"accuracy {number(found.mean)} {interval(found.low, found.high, found.mean)}")
    console.print(Text(", ".join(parts), "dim"))


def _table(title: str) -> Table:
    return Table(
        title=Text(title, "dim italic") if title else None, title_justify="left", box=box.SIMPLE_HEAD,
        show_edge=False, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip


def _profile(console: Console, runs: Sequence[Reading]) -> Table:
    """Families as rows; with several runs a row per run under each family."""
    profile = profile_table(runs)
    several = len(runs) > 1
    longest = max(len(visible(run.label)) for run in runs)
    kept, barred = _fitting(console, profile, names=19 + min(18, longest) if several else 17)
    table = _table(f"continuity profile: mean {_sign(console)} half the 95 % interval; random draws")
    table.add_column("family", no_wrap=True)
    if several:
        table.add_column("run", no_wrap=True, overflow="ellipsis", max_width=18)
    for place in kept:
        table.add_column(profile.columns[place].title)
    for row in profile.rows:
        for place, run in enumerate(runs):
            cells = [_cell(console, row.cells[column][place], bars=column in barred) for column in kept]
            names = [row.title if place == 0 else "", *([visible(run.label)] if several else [])]
            end = several and place == len(runs) - 1
            table.add_row(*map(Text, names), *cells, style="dim" if row.control else None, end_section=end)
    return table


def _evaluation(console: Console, part: EvaluationPart, *, several: bool) -> None:
    """Its title, what came out, its tables."""
    console.print()
    console.print(Text(part.title, "bold"))
    for _, label, sentences in part.verdicts:
        for told in sentences:
            console.print(Text(f"{visible(label)}: {visible(told)}" if several else visible(told)))
    if several and part.tables:
        labels = ", then ".join(visible(label) for _, label, _ in part.verdicts)
        console.print(Text(f"In each cell: {labels}.", "dim"))
    for figures in part.tables:
        console.print(Text(figures.title, "dim italic"))
        table = _table("")
        for title in figures.header:
            table.add_column(Text(title), overflow="fold")
        for name, cells in figures.rows:
            table.add_row(Text(name), *(Text("\n".join(text.partition(" ")[0] for text in texts)) for texts in cells))
        console.print(table)


def _fitting(console: Console, profile: ProfileTable, *, names: int) -> tuple[list[int], set[int]]:
    """The columns that fit beside `names` cells, in their own order, and those among them that get bars."""
    order = {quantity: place for place, quantity in enumerate(_KEPT)}
    ranked = sorted(range(len(profile.columns)), key=lambda place: order[profile.columns[place].quantity])
    room = console.width - names + 2
    kept: list[int] = []
    for place in ranked:
        wanted = max(_VALUE, len(profile.columns[place].title)) + 2
        if wanted > room and kept:
            break
        room -= wanted
        kept.append(place)
    barred: set[int] = set()
    for place in kept if _unicode(console) else ():
        wanted = max(0, _VALUE + 1 + _BAR - max(_VALUE, len(profile.columns[place].title)))
        if wanted > room:
            break
        room -= wanted
        barred.add(place)
    return sorted(kept), barred


def _cell(console: Console, cell: Cell, *, bars: bool) -> Text:
    if cell.mean is None:
        return Text("")
    text = _written(console, cell)
    if bars:
        text.append(" " * max(1, _VALUE + 1 - len(text)))
        text.append(bar(cell.at), "blue")
    return text


def _most_affected(console: Console, run: Reading) -> Table:
    """The three perturbations that flip most at their highest severity."""
    table = _table("most affected, at the highest severity")
    kinds = [
        ("flips", "flip", "random"),
        ("relative change", "relative_change", "random"),
        ("accuracy", "accuracy", "random"),
    ]
    if run.has_worst:
        kinds.insert(1, ("worst flips", "flip", "worst"))
    kinds = kinds[: 4 if console.width >= 80 else 2 if console.width >= 56 else 1]
    for title in ("perturbation", "severity", *(title for title, _, _ in kinds)):
        table.add_column(title, no_wrap=True)
    ends = [(p.name, max(p.severities)) for p in run.perturbations]
    flips = {name: run.get("flip", name, severity) for name, severity in ends}
    ends.sort(key=lambda end: -(e.mean if (e := flips[end[0]]) and e.mean is not None else -1.0))
    for name, severity in ends[:3]:
        found = [run.get(quantity, name, severity, draws=draws) for _, quantity, draws in kinds]
        table.add_row(Text(words(name)), Text(plain(severity)), *(_written(console, e) for e in found))
    return table


def _differences(console: Console, table: DifferenceTable, most: int = 12) -> Table:
    """The first rows of each group; both sides' own figures, and the tests, only where there is room."""
    made = _table(visible(table.caption))
    titles = ["what", "quantity", visible(table.first), visible(table.second), "difference", "better", "worse", "p"]
    named = sum(max(9, len(title)) for title in titles[2:4])
    tested = any(row.p_holm is not None for row in table.rows)
    shown = [0, 1, *((2, 3) if 66 + named <= console.width else ()), 4]
    room = console.width - 66 - (named if len(shown) > 3 else 0)
    shown += [5, 6, 7] if tested and room >= 26 else [7] if tested and room >= 9 else []
    for place in shown:
        made.add_column(titles[place], overflow="fold")
    each = most if len(table.groups) == 1 else 5
    rows = [row for group in table.groups for row in group.rows[:each]]
    for row, following in zip_longest(rows, rows[1:]):
        style = "bold" if row.sign else "dim"
        counts = ["" if count is None else str(count) for count in (row.beneficial, row.harmful)]
        cells = [*map(Text, (row.what, row.quantity, row.first, row.second)), Text(row.difference, style)]
        cells += [*map(Text, counts), Text(row.tested, "bold" if row.clear else "dim")]
        end = following is not None and following.group != row.group
        made.add_row(*(cells[place] for place in shown), end_section=end)
    notes = ["p: exact, Holm-adjusted"] if 7 in shown else []
    notes = ["better, worse: images", *notes] if 6 in shown else notes
    if len(table.rows) > len(rows):
        notes.append(f"{len(table.rows) - len(rows)} more in the report")
    made.caption, made.caption_justify = "; ".join(notes), "left"
    return made


def _cost(cost: CostTable) -> Table:
    made = _table("cost")
    for title in ("", *cost.labels):
        made.add_column(Text(visible(title)), overflow="fold")
    for row in cost.rows:
        made.add_row(*map(Text, (row.title, *map(visible, row.values))))
    return made


def _findings(console: Console, run: Reading, *, named: bool) -> None:
    for finding in run.findings:
        head = Text.assemble(
            (f"{finding.severity} ", _STYLES[finding.severity]),
            (f"{finding.code}: ", "bold"),
            visible(sentence(finding.message)),
        )
        console.print()
        if named:
            head = Text.assemble((f"{visible(run.label)} ", "dim"), head)
        console.print(head)
        console.print(Text(f"  {visible(sentence(finding.remedy))}", "dim"))


def _verdict(console: Console, run: Reading, *, named: bool) -> None:
    if not run.record.verdict:
        return
    console.print()
    if named:
        console.print(Text(visible(run.label), "bold"))
    for part in run.record.verdict:
        console.print(Text(visible(part)))


def _written(console: Console, entry: Estimate | Cell | None) -> Text:
    """`0.483 ±.021`: the value and half its interval."""
    if entry is None or entry.mean is None:
        return Text("-")
    text = Text(number(entry.mean))
    if entry.low is not None and entry.high is not None:
        half = number((entry.high - entry.low) / 2, decimals(entry.mean or entry.high))
        text.append(f" {_sign(console)}{half.removeprefix('0') if '.' in half else half}", "dim")
    return text


def _unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _sign(console: Console) -> str:
    return "±" if _unicode(console) else "+/-"
