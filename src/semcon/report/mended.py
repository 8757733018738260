"""The pictures of a comparison: copies that one side gets right by its own lights and the other does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from semcon.report.cards import Picture
from semcon.report.numbers import words

_MARKUP = 2000  # bytes of HTML around the pictures of a card


@dataclass(frozen=True)
class Look:
    """What one side sees in a copy. `right`: whether the label is predicted on it; None without labels.

    `note`: how many runs flip, where a side has several. `share`: the relative change, of the longer of the pair.
    """

    place: int
    label: str
    before: str
    after: str
    flips: bool
    right: bool | None
    note: str
    relative: str
    share: float


@dataclass(frozen=True)
class ChangedCard:
    """One image and its copy, the same for both sides, with what each of them predicts."""

    perturbation: str
    severity: str
    title: str
    class_name: str | None
    image: Picture
    copy: Picture
    looks: tuple[Look, Look]

    @property
    def name(self) -> str:
        """For people: `gaussian noise`."""
        return words(self.perturbation)

    @property
    def size(self) -> int:
        """About how many bytes of the page it takes."""
        return len(self.image.uri) + len(self.copy.uri) + _MARKUP + 6 * len(self.title)


@dataclass(frozen=True)
class Pile:
    """Cards of one kind. `total`: how many such images there are in all, shown or not."""

    kind: str
    title: str
    told: str
    total: int
    cards: tuple[ChangedCard, ...]


@dataclass(frozen=True)
class ChangedGallery:
    """What was mended from the first side to the second, and what got worse, of `cases`: images times severities."""

    title: str
    cases: int
    piles: tuple[Pile, ...]

    @property
    def note(self) -> str:
        """How many there are in all, so that those shown are not taken for all."""
        better, worse = self.piles
        return (
            f"Of {self.cases:,} cases (every image once under every perturbation and severity) {better.total:,} were "
            f"mended and {worse.total:,} got worse: the copy is now, or is no longer, predicted as its image is. "
            f"Pictures are kept of the largest changes only, so the {len(better.cards)} and {len(worse.cards)} below "
            "are examples, not a sample."
        )

    def within(self, room: int) -> ChangedGallery:
        """As many cards of each pile as fit into `room` bytes."""
        return replace(
            self, piles=tuple(replace(p, cards=_fitting(p.cards, room // len(self.piles))) for p in self.piles)
        )


def _fitting(cards: Sequence[ChangedCard], room: int) -> tuple[ChangedCard, ...]:
    kept: list[ChangedCard] = []
    for card in cards:
        room -= card.size
        if room < 0:
            break
        kept.append(card)
    return tuple(kept)
