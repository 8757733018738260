"""Folder: a folder of class folders, or a flat folder without labels."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from semcon.core.errors import SemconError, UnreadableImageError
from semcon.decoding import Pixels, from_bytes
from semcon.keyed import sample_id

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jfif"})


class Folder:
    """Class folders are read round-robin over the sorted classes, so that any `limit` is balanced.

    Hidden files and folders (their names begin with a dot) are left out.
    """

    form = "folder:DIR"

    def __init__(self, directory: str | Path, *, limit: int | None = None) -> None:
        root = Path(directory)
        if not root.is_dir():
            raise SemconError(f"no such folder: {root}")
        self.name, self.source = root.name or str(root), f"folder:{root}"
        self._root = root
        folders = [child for child in sorted(root.iterdir()) if child.is_dir() and not child.name.startswith(".")]
        groups = {child.name: _images(child, deep=True) for child in folders}
        groups = {name: paths for name, paths in groups.items() if paths}
        flat = _images(root, deep=False)
        if groups and flat:
            raise SemconError(
                f"{root} holds class folders and {len(flat)} image{'s' if len(flat) > 1 else ''} beside them "
                f"({flat[0].name}): move one of the two"
            )
        if not groups and not flat:
            raise SemconError(
                f"{root} has no images: expected class folders with, or directly, {', '.join(sorted(SUFFIXES))}"
            )
        self.classes = tuple(groups) if groups else None
        if groups:
            turns = zip_longest(*([(path, number) for path in paths] for number, paths in enumerate(groups.values())))
            self._files: list[tuple[Path, int | None]] = [item for turn in turns for item in turn if item is not None]
        else:
            self._files = [(path, None) for path in flat]
        self._files = self._files[:limit]

    @classmethod
    def parse(cls, text: str, *, limit: int | None = None) -> Folder:
        """`DIR`."""
        return cls(text, limit=limit)

    def __len__(self) -> int:
        return len(self._files)

    def label(self, index: int) -> int | None:
        """Which of the sorted class folders."""
        return self._files[index][1]

    def title(self, index: int) -> str:
        """The path inside the folder."""
        return str(self._files[index][0].relative_to(self._root))

    def identity(self, index: int) -> int:
        """Hash of the file's bytes."""
        return sample_id(self._bytes(index))

    def image(self, index: int) -> Pixels:
        """(H, W, C)."""
        return from_bytes(self._bytes(index), self.title(index))

    def _bytes(self, index: int) -> bytes:
        try:
            return self._files[index][0].read_bytes()
        except OSError as error:
            raise UnreadableImageError(self.title(index), error.strerror or str(error)) from None


def _images(directory: Path, *, deep: bool) -> list[Path]:
    """Thumbnails, checkpoints and the ._ files that macOS leaves beside images are hidden, and no images."""
    found = directory.rglob("*") if deep else directory.iterdir()
    seen = (path for path in found if not any(part.startswith(".") for part in path.relative_to(directory).parts))
    return sorted(path for path in seen if path.suffix.lower() in SUFFIXES and path.is_file())
