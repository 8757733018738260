"""The gallery's cards: an image, its copies, and a same-class image that is nearer in the representation."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from semcon.core.pictured import GalleryEntry
from semcon.report.numbers import number, plain, words
from semcon.report.reading import Reading

SMALL = 64  # pixels a side up to which a picture is shown enlarged with hard edges
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}
_MARKUP = 2200  # bytes of HTML around the pictures of one copy


@dataclass(frozen=True)
class Picture:
    """A picture inside the page."""

    uri: str
    width: int
    height: int

    @property
    def small(self) -> bool:
        """Whether it is enlarged with hard edges."""
        return max(self.width, self.height) <= SMALL


@dataclass(frozen=True)
class Bar:
    """One distance: `share` of the longer of its pair."""

    whose: str
    text: str
    share: float


@dataclass(frozen=True)
class Copy:
    """One perturbed copy with the other image, if any: distances in the representation and in pixels."""

    draws: str
    entry: GalleryEntry
    picture: Picture
    other: Picture | None
    flips: bool
    distances: tuple[Bar, ...]
    pixels: tuple[Bar, ...]

    @property
    def confidence(self) -> str:
        """Of the copy's own prediction."""
        return number(self.entry.confidence_copy, 2)


@dataclass(frozen=True)
class Card:
    """One image under one perturbation: the random draw and, where searched, the worst case."""

    run: int
    label: str
    perturbation: str
    severity: str
    entry: GalleryEntry
    image: Picture
    copies: tuple[Copy, ...]

    @property
    def confidence(self) -> str:
        """Of the prediction on the image itself."""
        return number(self.entry.confidence, 2)

    @property
    def name(self) -> str:
        """For people: `gaussian noise`."""
        return words(self.perturbation)

    @property
    def evidence(self) -> bool:
        """Whether one of its copies makes the paper's Figure 1."""
        return any(copy.entry.figure1 for copy in self.copies)

    @property
    def flips(self) -> bool:
        """Whether one of its copies changes the prediction."""
        return any(copy.flips for copy in self.copies)

    @property
    def size(self) -> int:
        """About how many bytes of the page it takes."""
        pictures = [self.image, *(p for copy in self.copies for p in (copy.picture, copy.other) if p)]
        names = [self.entry.title, self.entry.class_name or "", self.entry.prediction]
        return sum(len(p.uri) for p in pictures) + _MARKUP * len(self.copies) + 6 * sum(map(len, names))


def cards(runs: Sequence[Reading]) -> list[Card]:
    """All cards whose pictures are there: one of each perturbation in turn, evidence and large changes first."""
    piles: dict[tuple[int, str], list[Card]] = {}
    for place, run in enumerate(runs):
        for card in _cards_of(place, run):
            piles.setdefault((place, card.perturbation), []).append(card)
    for pile in piles.values():
        pile.sort(key=lambda card: (not card.evidence, -_largest(card)))
    heads = sorted(piles.values(), key=lambda pile: (not pile[0].evidence, -_largest(pile[0])))
    return [card for layer in zip_longest(*heads) for card in layer if card is not None]


def fitting(chosen: Iterable[Card], room: int) -> list[Card]:
    """As many of the cards, from the first, as fit into `room` bytes."""
    kept: list[Card] = []
    for card in chosen:
        room -= card.size
        if room < 0:
            break
        kept.append(card)
    return kept


def _largest(card: Card) -> float:
    return max(copy.entry.relative or 0.0 for copy in card.copies)


def _cards_of(place: int, run: Reading) -> list[Card]:
    groups: dict[tuple[str, float, int], list[GalleryEntry]] = {}
    for entry in run.record.gallery:
        groups.setdefault((entry.perturbation, entry.severity, entry.position), []).append(entry)
    made: list[Card] = []
    for (perturbation, severity, _), entries in groups.items():
        image = picture_of(run.folder, entries[0].files.get("image"))
        copies = tuple(c for e in sorted(entries, key=lambda e: e.draws) if (c := _copy(run.folder, e)))
        if image and copies:
            made.append(Card(place, run.label, perturbation, plain(severity), copies[0].entry, image, copies))
    return made


def _copy(folder: Path, entry: GalleryEntry) -> Copy | None:
    picture = picture_of(folder, entry.files.get("copy"))
    if picture is None:
        return None
    other = picture_of(folder, entry.files.get("other"))
    return Copy(
        entry.draws, entry, picture, other, flips=entry.prediction != entry.prediction_copy,
        distances=_bars(entry.change, entry.other_distance), pixels=_bars(entry.pixel_change, entry.pixel_other),
    )  # fmt: skip


def _bars(copy: float, other: float | None) -> tuple[Bar, ...]:
    longest = max(copy, other or 0.0) or 1.0
    own = Bar("copy", number(copy), copy / longest)
    return (own,) if other is None else (own, Bar("other", number(other), other / longest))


def picture_of(folder: Path, name: str | None) -> Picture | None:
    """A PNG or JPEG of the run folder itself; None where it is missing, outside, or something else."""
    if name is None:
        return None
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    try:
        with Image.open(path, formats=list(_TYPES)) as image:
            kind, (width, height) = _TYPES[str(image.format)], image.size
    except (UnidentifiedImageError, OSError, KeyError):
        return None
    return Picture(f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}", width, height)
