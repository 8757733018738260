"""The data set that is transferred to: images that are learned from, and others that are judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semcon.canvas import Canvas
from semcon.core.concepts import Dataset
from semcon.core.errors import SemconError
from semcon.keyed import Keys
from semcon.loading import Batch, Scan, batches, scan


@dataclass(frozen=True)
class Images:
    """Some images of a data set. `labels` (N,): places in the target's `classes`."""

    dataset: Dataset
    scan: Scan
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, canvas: Canvas, batch_size: int) -> Iterator[Batch]:
        """All of them on the canvas, in order."""
        return batches(
            self.dataset, canvas, self.scan, range(len(self)), batch_size=batch_size, labels=self.labels
        )  # fmt: skip

    def part(self, rows: Tensor) -> Images:
        """Some of them, by row (M,)."""
        return Images(self.dataset, self.scan.part(rows), self.labels[rows])


@dataclass(frozen=True)
class Target:
    """What is learned from (`train`), what is judged (`test`), and the names of their classes.

    `bad`: images that could not be read and are left out.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    train: Images
    test: Images
    bad: int = 0

    @classmethod
    def of(cls, train: Dataset, test: Dataset | None = None, *, seed: int = 0, skip_bad: bool = False) -> Target:
        """Two data sets of the same classes; or one, of which a keyed half is learned from: equal images stay together.

        Test images that are learned from too are left out. Errors: `SemconError` for images without labels, fewer than
        two classes, a class that is judged and has no image to learn from; `UnreadableImageError` unless `skip_bad`.
        """
        learned = _read(train, skip_bad=skip_bad)
        bad = len(learned.scan.bad)
        if test is None:
            half = Keys(learned.scan.ids, seed, scope="transfer").uniform("split") < 0.5
            learned, judged = (learned.part(torch.nonzero(side).flatten()) for side in (half, ~half))
        else:
            judged = _read(test, skip_bad=skip_bad)
            bad += len(judged.scan.bad)
            judged = replace(judged, labels=_renumbered(judged.labels, train, test))
            known = torch.isin(judged.scan.ids, learned.scan.ids)
            judged = judged.part(torch.nonzero(~known).flatten())
        found = cls(train.name, train.source, *_present(train, learned, judged), bad)
        found._check()
        return found

    @property
    def counts(self) -> Tensor:
        """Different images of each class to learn from, (K,)."""
        return torch.bincount(self.train.labels[first_of_each(self.train.scan.ids)], minlength=len(self.classes))

    @property
    def shown(self) -> str:
        """Its source for people, of a path the last two parts: a file is often called no more than `test`."""
        kind, colon, path = self.source.partition(":")
        return kind + colon + "/".join(path.partition(",")[0].split("/")[-2:]) if "/" in path else self.source

    @property
    def fingerprint(self) -> str:
        """A hash of both parts."""
        return f"{self.train.scan.fingerprint} {self.test.scan.fingerprint}"

    def _check(self) -> None:
        if len(self.classes) < 2:
            only = self.classes[0] if self.classes else "none"
            raise SemconError(f"{self.source} has one class to transfer to ({only}): expected at least two")
        if not len(self.test):
            raise SemconError(f"no image of {self.source} is left to judge by: all of them are learned from")
        judged = torch.unique(self.test.labels).tolist()
        lacking = [self.classes[label] for label in judged if not int(self.counts[label])]
        if lacking:
            raise SemconError(
                f"{self.source} has no image to learn the class {lacking[0]} from ({len(lacking)} such "
                f"class{'es' if len(lacking) > 1 else ''}): give more images, or a part to learn from and one to judge "
                "by as TRAIN,TEST"
            )


def _read(dataset: Dataset, *, skip_bad: bool) -> Images:
    found = scan(dataset, skip_bad=skip_bad)
    if bool((found.labels < 0).any()):
        count = int((found.labels < 0).sum())
        raise SemconError(f"transfer needs labels: {count} of {len(found.labels)} images of {dataset.source} have none")
    return Images(dataset, found, found.labels)


def _renumbered(labels: Tensor, train: Dataset, test: Dataset) -> Tensor:
    """Labels of `test` as those of `train`: by name, or by number where one side has numbers and the other numerals."""
    own, other = train.classes, test.classes
    if own is other or (own is not None and other is not None and list(own) == list(other)):
        return labels
    if own is not None and other is not None:
        return _by_name(list(own), list(other), set(other), train, test)[labels]
    named = [*(own or ()), *(other or ())]
    if not all(name.isdecimal() for name in named):
        raise SemconError(
            f"of {train.source} and {test.source} one names its classes and the other numbers them: expected both "
            "named, or both numbered"
        )
    numerals = [str(int(name)) for name in named]
    if own is None:
        return torch.tensor(list(map(int, numerals)))[labels]
    numbers = list(map(str, range(int(labels.max()) + 1)))
    return _by_name(numerals, numbers, set(map(str, labels.tolist())), train, test)[labels]


def _by_name(own: list[str], other: list[str], present: set[str], train: Dataset, test: Dataset) -> Tensor:
    """Where each class of `other` stands in `own`: (classes of `other`,), -1 for those that are not `present`.

    Errors: `SemconError` for a name that `own` lacks, or that two classes have.
    """
    unknown = [name for name in other if name in present and name not in own]
    if unknown:
        raise SemconError(f"{test.source} has the class {unknown[0]!r}, and {train.source} has not: {', '.join(own)}")
    twice = next((name for names in (own, other) for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SemconError(f"of {train.source} and {test.source} one has two classes called {twice!r}: rename one")
    return torch.tensor([own.index(name) if name in own else -1 for name in other])


def first_of_each(ids: Tensor) -> Tensor:
    """Of every image the first row, in order: (N,) -> (M,)."""
    found, image = ids.unique(return_inverse=True)
    rows = torch.full((len(found),), len(ids)).scatter_reduce(0, image, torch.arange(len(ids)), "amin")
    return rows.sort().values


def _present(train: Dataset, learned: Images, judged: Images) -> tuple[tuple[str, ...], Images, Images]:
    """The classes that occur, and both parts with their places among them."""
    present = torch.unique(torch.cat((learned.labels, judged.labels)))
    last = int(present[-1]) if len(present) else -1
    known = tuple(map(str, range(last + 1)) if train.classes is None else train.classes)
    if last >= len(known):
        raise SemconError(
            f"{train.source} has {len(known)} classes, and a label {last} is to be learned or judged: expected a "
            "name for every class"
        )
    place = torch.zeros(last + 1, dtype=torch.int64).index_fill_(0, present, 1).cumsum(0) - 1
    learned, judged = (replace(part, labels=place[part.labels]) for part in (learned, judged))
    return tuple(known[label] for label in present.tolist()), learned, judged
