"""The report: one page that works offline, in print, in light and in dark, made from records alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from semcon.report.cards import Card, cards, fitting
from semcon.report.classes import HEADER as CLASS_HEADER
from semcon.report.classes import class_rows, heat_maps
from semcon.report.cost import CostTable
from semcon.report.curves import HEADER as CURVE_HEADER
from semcon.report.curves import curve_groups, curve_rows
from semcon.report.depth import HEADER as DEPTH_HEADER
from semcon.report.depth import depth_rows, depths
from semcon.report.differences import HEADER as DIFFERENCE_HEADER
from semcon.report.differences import DifferenceTable, difference_rows
from semcon.report.downloads import csv_uri
from semcon.report.evaluations import HEADER as EVALUATION_HEADER
from semcon.report.evaluations import EvaluationPart, evaluation_parts, evaluation_rows
from semcon.report.meanings import INTERVALS, MEANINGS, PROFILE, RANDOM_AND_WORST, READING, TESTS
from semcon.report.mended import ChangedGallery
from semcon.report.numbers import counted, duration, interval, number, plain, sentence, short, words
from semcon.report.profile_table import HEADER as PROFILE_HEADER
from semcon.report.profile_table import profile_rows, profile_table
from semcon.report.reading import QUANTITIES, SEVERITIES, Reading
from semcon.report.settings_tables import settings_of

LIMIT = 3_000_000  # bytes
_MARGIN = 4_000


@dataclass(frozen=True)
class Section:
    """One part of the page; its template is `ANCHOR.html.j2`, an evaluation's `evaluation.html.j2`."""

    anchor: str
    brief: str
    title: str
    part: EvaluationPart | None = None

    @property
    def template(self) -> str:
        """The file that draws it."""
        return f"{'evaluation' if self.part else self.anchor}.html.j2"


@dataclass(frozen=True)
class Fact:
    """One number under the verdict."""

    name: str
    value: str
    note: str


def render(
    runs: Sequence[Reading], differences: Sequence[DifferenceTable] = (), *, cost: CostTable | None = None,
    changed: Sequence[ChangedGallery] = (), limit: int = LIMIT,
) -> str:  # fmt: skip
    """The page as text, at most `limit` bytes: with too many pictures it shows fewer cards, and says so."""
    template = _environment().get_template("page.html.j2")
    pictures = [gallery.within(limit // 3 // len(changed)) for gallery in changed]
    context = _context(runs, differences) | {"cost": cost, "changed": pictures}
    context["sections"] = _sections(runs, context)
    every = cards(runs)
    page = template.render(**context, **_gallery(runs, every, []))
    room = limit - len(page.encode()) - _MARGIN
    for _ in range(4):
        shown = fitting(every, room)
        page = template.render(**context, **_gallery(runs, every, shown))
        over = len(page.encode()) - limit
        if over <= 0:
            break
        room -= over + _MARGIN
    return page


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("semcon.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    filters = cast(dict[str, Callable[..., str]], environment.filters)  # pyright: ignore[reportUnknownMemberType]
    filters.update(
        counted=counted,
        sentence=sentence,
        short=short,
        words=words,
        plain=plain,
        share=_share,
        day=_day,
        gauge=_gauge,
        quantity=_quantity,
    )
    return environment


def _share(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _quantity(name: str) -> str:
    return QUANTITIES.get(name, words(name))


def _context(runs: Sequence[Reading], differences: Sequence[DifferenceTable]) -> dict[str, Any]:
    environment = _environment()
    script, _, _ = environment.loader.get_source(environment, "behaviour.js") if environment.loader else ("", "", "")
    groups, maps, layers = curve_groups(runs), heat_maps(runs), depths(runs)
    profile = profile_table(runs)
    told = {estimate.quantity for run in runs for estimate in run.record.figures()}
    return {
        "runs": runs,
        "title": _title(runs),
        "style": Markup(environment.get_template("style.css.j2").render()),
        "script": Markup(script),
        "script_hash": "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "facts": _facts(runs[0]),
        "alarm": _alarm(runs),
        "labelled": any(run.record.data.labelled for run in runs),
        "worst": any(run.has_worst for run in runs),
        "profile": profile,
        "curves": groups,
        "depths": layers,
        "parts": evaluation_parts(runs),
        "heat_maps": maps,
        "differences": differences,
        "findings": [(run.label, run.findings) for run in runs],
        "meanings": [meaning for meaning in MEANINGS if meaning.quantity in told],
        "reading": [(title, text) for title, text in READING if title in _spoken(runs)],
        "settings": settings_of(runs),
        "citation": _citation(runs[0].record.semcon),
        "downloads": {
            "profile": csv_uri(PROFILE_HEADER, profile_rows(runs)),
            "curves": csv_uri(CURVE_HEADER, curve_rows(runs)),
            "depth": csv_uri(DEPTH_HEADER, depth_rows(runs)),
            "classes": csv_uri(CLASS_HEADER, class_rows(runs)),
            "evaluations": csv_uri(EVALUATION_HEADER, evaluation_rows(runs)),
            "differences": csv_uri(DIFFERENCE_HEADER, difference_rows(differences)),
        },
    }


def _spoken(runs: Sequence[Reading]) -> set[str]:
    """What the page needs explained: profiles of continuity, worst cases, tests between runs."""
    found = {INTERVALS}
    found |= {PROFILE} if any(run.record.profile for run in runs) else set()
    found |= {RANDOM_AND_WORST} if any(e.draws == "worst" for run in runs for e in run.record.figures()) else set()
    return found | ({TESTS} if len(runs) > 1 else set())


def _sections(runs: Sequence[Reading], context: dict[str, Any]) -> list[Section]:
    several = len(runs) > 1
    changed = any(gallery.cases for gallery in context["changed"])
    continuity = any(run.record.settings.perturbations for run in runs)
    parts = [(True, Section(part.name, words(part.name).capitalize(), part.title, part)) for part in context["parts"]]
    wanted = [
        (continuity, Section("profile", "Profile", "Profiles side by side" if several else "Continuity profile")),
        (context["differences"], Section("differences", "Differences", "Paired differences")),
        (changed, Section("changed", "Mended and worse", "Mended, and got worse")),
        (context["cost"], Section("cost", "Cost", "What it cost")),
        *parts,
        (continuity, Section("curves", "Severity", "Change against severity")),
        (context["depths"], Section("depth", "Layers", "Where in the network the change arises")),
        (context["heat_maps"], Section("classes", "Classes", "By class")),
        (True, Section("findings", "Findings", "Findings")),
        (continuity, Section("gallery", "Gallery", "Gallery")),
        (True, Section("meanings", "Meaning", "What the figures mean")),
        (True, Section("settings", "Settings", "Settings of all runs" if several else "Settings and citation")),
    ]
    return [section for there, section in wanted if there]


def _gallery(runs: Sequence[Reading], every: Sequence[Card], shown: Sequence[Card]) -> dict[str, Any]:
    classes = dict.fromkeys(card.entry.class_name for card in shown if card.entry.class_name)
    return {
        "cards": shown,
        "card_perturbations": sorted({card.perturbation for card in shown}),
        "card_classes": sorted(classes) if len(classes) > 1 else [],
        "gallery_note": _gallery_note(runs, every, shown),
    }


def _gallery_note(runs: Sequence[Reading], every: Sequence[Card], shown: Sequence[Card]) -> str:
    """What there is to see, and what is missing."""
    if not every:
        return "This run kept no pictures."
    notes: list[str] = []
    if not any(run.record.data.labelled for run in runs):
        notes.append("The images have no labels, so no image is known to be of the same class: image and copy only.")
    elif not any(copy.other for card in every for copy in card.copies):
        notes.append(
            "No such triple exists among the images looked at: no other image of the class is nearer than any of these "
            "copies. That is good news; the largest changes are shown instead."
        )
    elif not any(card.evidence for card in every):
        notes.append(
            "No triple here is evidence: wherever another image is nearer in the representation, it is nearer in "
            "pixels too."
        )
    if len(shown) < len(every):
        notes.append(
            f"{len(shown)} of {len(every)} cards are shown, to keep this page under 3 MB; the rest are in the folder "
            "gallery."
        )
    return " ".join(notes)


def _title(runs: Sequence[Reading]) -> str:
    data = runs[0].record.data.name
    return f"{short(', '.join(run.label for run in runs), 80)} on {short(data, 60)}: semantic continuity"


def _facts(run: Reading) -> list[Fact]:
    record = run.record
    facts: list[Fact] = []
    if run.accuracy:
        found = run.accuracy
        facts.append(Fact("accuracy, untouched", number(found.mean), interval(found.low, found.high, found.mean)))
    gradient = run.get("gradient_norm")
    if gradient is not None and gradient.mean is not None:
        facts.append(
            Fact("gradient norm, median", number(gradient.mean), interval(gradient.low, gradient.high, gradient.mean))
        )
    skipped = f"{len(record.data.skipped)} left out" if record.data.skipped else ""
    facts.append(
        Fact("images", f"{record.data.images:,}", skipped or ("labelled" if record.data.labelled else "no labels"))
    )
    draws = record.settings.draws
    if record.settings.perturbations:
        worst = " and the worst case" if record.settings.worst else ""
        told = f"{draws} random draw{'s' if draws > 1 else ''}{worst}"
        facts.append(Fact("perturbations", str(len(record.settings.perturbations)), told))
    facts.append(Fact("measured in", duration(record.timing.seconds), str(record.environment.get("device") or "")))
    return facts


def _alarm(runs: Sequence[Reading]) -> str:
    """How many findings of each kind, where there is an issue or a warning."""
    counts = {kind: sum(f.severity == kind for run in runs for f in run.findings) for kind in SEVERITIES}
    if not counts["issue"] and not counts["warning"]:
        return ""
    told = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items() if count]
    return f"{', '.join(told)} about this measurement: read the findings first."


def _gauge(name: str) -> str:
    representation, _, distance = name.rpartition(".")
    return representation if distance == "l2" else f"{representation}, {words(distance)}"


def _day(created: str) -> str:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y}"


def _citation(version: str) -> str:
    return (
        "@article{wu2020semantic,\n"
        "  title   = {An Experimental Study of Semantic Continuity for Deep Learning Models},\n"
        "  author  = {Wu and Lu and Zhao and Chen and Sang},\n"
        "  journal = {arXiv preprint arXiv:2011.09789},\n"
        "  year    = {2020}\n"
        "}\n"
        "@software{semcon,\n"
        "  title   = {semcon: semantic continuity of image classifiers, measured},\n"
        f"  version = {{{version}}}\n"
        "}"
    )
