"""Domains: one folder a style, each with the same class folders, to see where a network meets its classes again."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from semcon.core.concepts import Dataset
from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.decoding import Pixels


class Domains:
    """Folders of class folders, read round-robin over the sorted domains, so that any `limit` is balanced.

    `classes` are those of all domains together. `attributes(i)`: the `domain`, for the evaluation `group_gap`.
    """

    form = "domains:DIR"

    def __init__(self, directory: str | Path, *, limit: int | None = None) -> None:
        root = Path(directory)
        if not root.is_dir():
            raise SemconError(f"no such folder: {root}")
        folders = [child for child in sorted(root.iterdir()) if child.is_dir() and not child.name.startswith(".")]
        if len(folders) < 2:
            raise SemconError(f"{root} has {len(folders)} folders: expected two domains or more, each of class folders")
        self.name, self.source = root.name, f"domains:{root}"
        self._domains: list[tuple[str, Dataset]] = [(one.name, load("datasets", "folder")(one)) for one in folders]
        flat = [name for name, one in self._domains if one.classes is None]
        if flat:
            raise SemconError(f"the domain {flat[0]} of {root} has no class folders: expected the same classes")
        self.classes = tuple(sorted({name for _, one in self._domains for name in one.classes or ()}))
        turns = zip_longest(*([(place, i) for i in range(len(one))] for place, (_, one) in enumerate(self._domains)))
        self._rows: list[tuple[int, int]] = [item for turn in turns for item in turn if item is not None][:limit]

    @classmethod
    def parse(cls, text: str, *, limit: int | None = None) -> Domains:
        """`DIR`."""
        return cls(text, limit=limit)

    def __len__(self) -> int:
        return len(self._rows)

    def _one(self, index: int) -> tuple[str, Dataset, int]:
        place, row = self._rows[index]
        return (*self._domains[place], row)

    def label(self, index: int) -> int | None:
        """The place of its class folder's name."""
        _, one, row = self._one(index)
        label = one.label(row)
        return None if label is None or one.classes is None else self.classes.index(one.classes[label])

    def title(self, index: int) -> str:
        """`DOMAIN/CLASS/FILE`."""
        name, one, row = self._one(index)
        return f"{name}/{one.title(row)}"

    def identity(self, index: int) -> int:
        """Hash of the file's bytes."""
        _, one, row = self._one(index)
        return one.identity(row)

    def image(self, index: int) -> Pixels:
        """(H, W, C)."""
        _, one, row = self._one(index)
        return one.image(row)

    def attributes(self, index: int) -> dict[str, str]:
        """`domain`."""
        return {"domain": self._one(index)[0]}
