"""Folder: a folder of class folders, or a flat folder without labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from semcon.core.errors import SemconError, UnreadableImageError
from semcon.decoding import Pixels, from_bytes
from semcon.keyed import sample_id

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jfif"})


class Folder:
    """Class folders are read round-robin over the sorted classes, so that any `limit` is balanced.

    Hidden files and folders (their names begin with a dot) are left out.

    `masks`: a folder with a picture of where the object is for every image, of the same path inside it, whatever its
    suffix, and the same size; what is brighter than half is the object. Errors: `SemconError` for images without one,
    with several, or with one of another size.
    """

    form = "folder:DIR"

    def __init__(self, directory: str | Path, *, limit: int | None = None, masks: str | Path | None = None) -> None:
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
        if masks is not None:
            self._masks = _masks_of([path.relative_to(root) for path, _ in self._files], root, Path(masks))
            self.mask = self._mask

    @classmethod
    def parse(cls, text: str, *, limit: int | None = None, masks: str | Path | None = None) -> Folder:
        """`DIR`."""
        return cls(text, limit=limit, masks=masks)

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

    def _mask(self, index: int) -> NDArray[np.bool_]:
        """(H, W), where the object is."""
        path = self._masks[index]
        pixels = from_bytes(_read(path, path.name), path.name)
        brightest = pixels.max(axis=2)
        half = 0.5 if pixels.dtype != np.uint8 or brightest.max() <= 1 else 127  # a mask of 0 and 1 alone
        return brightest > half

    def _bytes(self, index: int) -> bytes:
        return _read(self._files[index][0], self.title(index))


def _read(path: Path, title: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(title, error.strerror or str(error)) from None


def _masks_of(names: Sequence[Path], root: Path, masks: Path) -> list[Path]:
    """The mask of every image. Errors: `SemconError` naming those that have none, several, or one of another size."""
    if not masks.is_dir():
        raise SemconError(f"no such folder of masks: {masks}")
    there: dict[Path, list[Path]] = {}
    for path in _images(masks, deep=True):
        there.setdefault(path.relative_to(masks).with_suffix(""), []).append(path)
    found = [there.get(name.with_suffix(""), []) for name in names]
    missing = [str(name) for name, own in zip(names, found, strict=True) if not own]
    if missing:
        raise SemconError(f"{_listed(missing)} without a mask in {masks}: expected the same path, with any suffix")
    several = [str(name) for name, own in zip(names, found, strict=True) if len(own) > 1]
    if several:
        raise SemconError(f"{_listed(several)} with more than one mask in {masks}: expected one, with any suffix")
    sizes = [(str(name), _size(root / name), _size(own[0])) for name, own in zip(names, found, strict=True)]
    unequal = [one for one in sizes if one[1] and one[2] and one[1] != one[2]]
    other = [f"{name} ({_by(image)}, mask {_by(mask)})" for name, image, mask in unequal]
    if other:
        raise SemconError(f"{_listed(other)} with a mask of another size: expected masks in the size of their images")
    return [own[0] for own in found]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} image{'s' if len(names) > 1 else ''} ({', '.join(names[:5])}{more})"


def _by(size: tuple[int, int] | None) -> str:
    return "unreadable" if size is None else f"{size[0]} x {size[1]}"


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height as shown; None for what cannot be read, which the scan tells of."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            width, height = image.size
            return (height, width) if turned else (width, height)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _images(directory: Path, *, deep: bool) -> list[Path]:
    """Thumbnails, checkpoints and the ._ files that macOS leaves beside images are hidden, and no images."""
    found = directory.rglob("*") if deep else directory.iterdir()
    seen = (path for path in found if not any(part.startswith(".") for part in path.relative_to(directory).parts))
    return sorted(path for path in seen if path.suffix.lower() in SUFFIXES and path.is_file())
