"""From data to batches: balanced order, bad images named, ids that follow the image, batches in order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from semcon.canvas import Canvas
from semcon.core.errors import SemconError, UnreadableImageError
from semcon.datasets import Arrays, Folder
from semcon.keyed import sample_id
from semcon.loading import Batch, as_dataset, batches, scan

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), dtype=np.uint8)
SIZES = {"cat": 3, "ant": 5, "bee": 1}


def classed(root: Path) -> Path:
    """Class folders made in unsorted order: cat with 3 images, ant 5, bee 1."""
    numbers = iter(range(len(IMAGES)))
    for name, count in SIZES.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(IMAGES[next(numbers)]).save(root / name / f"{i}.png")
    return root


def flat(root: Path, count: int, bad: tuple[int, ...] = ()) -> Folder:
    """A flat folder 0.png, 1.png, ...; the bad ones are cut short."""
    root.mkdir(parents=True)
    for i in range(count):
        path = root / f"{i}.png"
        Image.fromarray(IMAGES[i]).save(path)
        if i in bad:
            path.write_bytes(path.read_bytes()[:70])
    return Folder(root)


def test_class_folders_are_read_in_turns_of_the_sorted_classes(tmp_path):
    data = Folder(classed(tmp_path / "data"))
    order = [data.title(i) for i in range(len(data))]
    assert order == [
        "ant/0.png", "bee/0.png", "cat/0.png", "ant/1.png", "cat/1.png", "ant/2.png", "cat/2.png", "ant/3.png",
        "ant/4.png",
    ]  # fmt: skip
    assert data.classes == ("ant", "bee", "cat")
    assert [data.classes[data.label(i)] for i in range(len(data))] == [title[:3] for title in order]


@pytest.mark.parametrize("limit", range(1, 10))
def test_a_limit_is_balanced(tmp_path, limit):
    """Invariant: a class is behind another by more than one image only where it has no more."""
    data = Folder(classed(tmp_path / "data"), limit=limit)
    counts = Counter(data.label(i) for i in range(len(data)))
    assert counts.total() == limit
    for number, name in enumerate(data.classes):
        assert counts[number] >= min(SIZES[name], max(counts.values()) - 1)


def test_a_scan_knows_every_image(tmp_path):
    """Oracle: the files themselves; -1 stands for no label."""
    data = flat(tmp_path / "data", 4)
    Image.fromarray(IMAGES[4][:6, :5]).save(tmp_path / "data" / "5.png")
    found = scan(Folder(tmp_path / "data"), workers=2)
    assert found.positions.tolist() == [0, 1, 2, 3, 4]
    files = [path.read_bytes() for path in sorted((tmp_path / "data").iterdir())]
    assert found.ids.tolist() == [sample_id(content) for content in files]
    assert found.labels.tolist() == [-1] * 5
    assert found.sizes.tolist() == [[8, 8]] * 4 + [[6, 5]]
    assert found.common_size is None
    assert found.median_size == (8, 8)
    assert scan(data).common_size == (8, 8)


def test_a_scan_names_the_first_bad_image_or_counts_them_all(tmp_path):
    data = flat(tmp_path / "data", 7, bad=(2, 5))
    with pytest.raises(UnreadableImageError, match=r"2\.png"):
        scan(data, workers=3)
    steps: list[float] = []
    found = scan(data, skip_bad=True, advance=steps.append)
    assert found.bad == ("2.png", "5.png")
    assert found.positions.tolist() == [0, 1, 3, 4, 6]
    assert steps == [1] * 7
    (batch,) = batches(data, Canvas(8, 8), found, range(5), batch_size=9)
    assert batch.titles == ("0.png", "1.png", "3.png", "4.png", "6.png")
    np.testing.assert_array_equal(batch.x * 255, IMAGES[[0, 1, 3, 4, 6]].transpose(0, 3, 1, 2))


def test_nothing_readable_is_an_error_with_the_count(tmp_path):
    with pytest.raises(SemconError, match=r"data has no readable image \(2 unreadable\)"):
        scan(flat(tmp_path / "data", 2, bad=(0, 1)), skip_bad=True)


def test_duplicates_share_their_id():
    ids = scan(Arrays(IMAGES[[0, 1, 0, 2, 1, 0]])).ids
    assert [ids.tolist().index(value) for value in ids.tolist()] == [0, 1, 0, 3, 1, 0]


def test_ids_follow_the_image_in_any_order_and_under_any_name(tmp_path):
    order = np.random.default_rng(1).permutation(len(IMAGES))
    plain = scan(Arrays(IMAGES)).ids
    assert torch.equal(scan(Arrays(IMAGES[order])).ids, plain[order])
    data = flat(tmp_path / "data", 4)
    before = scan(data).ids
    for i in range(4):
        (tmp_path / "data" / f"{i}.png").rename(tmp_path / "data" / f"x{9 - i}.png")
    assert torch.equal(scan(Folder(tmp_path / "data")).ids, before.flip(0))


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_batches_come_in_order_with_the_last_one_partial(size, workers):
    """Oracle: each image fitted alone, in the order of the rows asked for."""
    data = Arrays(IMAGES, np.arange(11) % 3)
    rows, found = [4, 0, 10, 2, 2, 7, 9], scan(data)
    canvas = Canvas(5, 5)
    made = list(batches(data, canvas, found, rows, batch_size=size, workers=workers))
    assert [len(batch.x) for batch in made] == [size] * (7 // size) + [7 % size] * (7 % size > 0)
    whole = Batch.concat(made)
    assert whole.positions.tolist() == rows
    assert whole.titles == tuple(f"image {row}" for row in rows)
    assert torch.equal(whole.x, torch.stack([canvas.fit(IMAGES[row]) for row in rows]))
    assert torch.equal(whole.ids, found.ids[rows])
    assert whole.labels.tolist() == [row % 3 for row in rows]


def test_order_survives_more_images_than_the_threads_look_ahead():
    """150 images, one thread that looks 64 ahead: image i is all i."""
    values = np.arange(150, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    data = Arrays(values)
    made = list(batches(data, Canvas(4, 4), scan(data, workers=1), range(150), batch_size=64, workers=1))
    assert [len(batch.x) for batch in made] == [64, 64, 22]
    assert (Batch.concat(made).x[:, 0, 0, 0] * 255).round().tolist() == list(range(150))


def test_labels_may_be_the_models_outputs():
    data = Arrays(IMAGES, np.arange(11) % 3)
    outputs = torch.tensor([217, 0, 9])[torch.arange(11) % 3]
    (batch,) = batches(data, Canvas(8, 8), scan(data), [1, 3], batch_size=2, labels=outputs)
    assert batch.labels.tolist() == [0, 217]


def test_halves_make_the_batch():
    data = Arrays(IMAGES)
    (batch,) = batches(data, Canvas(8, 8), scan(data), range(5), batch_size=5)
    left, right = batch.halves()
    assert (len(left.x), len(right.x)) == (2, 3)
    again = Batch.concat([left, right])
    assert torch.equal(again.x, batch.x)
    assert torch.equal(again.positions, batch.positions)
    assert again.titles == batch.titles


@pytest.mark.parametrize(("limit", "length"), [(None, 11), (4, 4), (40, 11)])
def test_a_limit_takes_the_first_images_of_any_object(limit, length):
    for data in (Arrays(IMAGES), IMAGES, torch.from_numpy(IMAGES), (IMAGES, np.arange(11))):
        found = as_dataset(data, limit=limit)
        assert len(found) == length
        np.testing.assert_array_equal(found.image(length - 1), IMAGES[length - 1])


def test_a_limit_keeps_what_the_data_say_of_severities():
    """Digits are not flipped, with or without a limit; other data say nothing."""
    data = Arrays(IMAGES)
    assert as_dataset(data, limit=4).severity_limits == {}
    data.severity_limits = {"horizontal_flip": 0.0}
    some = as_dataset(as_dataset(data, limit=4), limit=2)
    assert (len(some), some.severity_limits) == (2, {"horizontal_flip": 0.0})


@pytest.mark.parametrize("data", [3, None, "folder:x", ["a.png", "b.png"]])
def test_what_is_no_data_is_named(data):
    with pytest.raises(SemconError, match=rf"cannot read images from {type(data).__name__}: expected .*folder:DIR"):
        as_dataset(data)
