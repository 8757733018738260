"""Masks that a user brings beside a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semcon.core.errors import SemconError
from semcon.datasets import Folder
from semcon.loading import mask_reader
from semcon.recipes.sources import parse_data


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two classes of two images, and masks that are bright in another row for each."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    for number, name in enumerate(("cat/a", "cat/b", "dog/a", "dog/b")):
        write(images / f"{name}.png", np.full((6, 8, 3), 40 * number, np.uint8))
        mask = np.zeros((6, 8), np.uint8)
        mask[number] = 255
        write(masks / f"{name}.bmp", mask)
    return images, masks


def test_every_image_gets_its_own_mask(folders: tuple[Path, Path]) -> None:
    data = parse_data(f"folder:{folders[0]}", None, folders[1])
    mask = mask_reader(data)
    assert mask is not None
    for index in range(4):
        number = ("cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png").index(data.title(index))
        expected = np.zeros((6, 8), bool)
        expected[number] = True
        np.testing.assert_array_equal(mask(index), expected)
    assert mask_reader(Folder(folders[0])) is None


def test_what_does_not_match_is_named(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    (masks / "dog" / "b.bmp").unlink()
    with pytest.raises(SemconError, match=r"1 image \(dog/b.png\) without a mask"):
        Folder(images, masks=masks)
    write(masks / "dog" / "b.bmp", np.zeros((6, 7), np.uint8))
    with pytest.raises(SemconError, match=r"dog/b.png \(8 x 6, mask 7 x 6\).* another size"):
        Folder(images, masks=masks)
    write(masks / "dog" / "b.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(SemconError, match=r"dog/b.png\) with more than one mask"):
        Folder(images, masks=masks)
    with pytest.raises(SemconError, match="no such folder of masks"):
        Folder(images, masks=masks / "none")
    with pytest.raises(SemconError, match="--masks belongs to a folder of images"):
        parse_data("builtin:shapes", 3, masks)
