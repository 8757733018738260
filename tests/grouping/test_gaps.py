"""Groups and gaps against counts by hand; attributes from files, and what is wrong with some."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from torch.utils.data import Dataset as TorchData
from torch.utils.data import IterableDataset

import clouds
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.profile import profile, profile_of
from semcon.core.summary import Summary
from semcon.datasets import Arrays, Folder, Shapes, TorchDataset
from semcon.grouping.attributes import read_attributes
from semcon.grouping.gaps import Group, gaps, groups_of, split_by, with_groups
from semcon.loading import Part, scan
from semcon.recipes.sources import parse_data


def group(value: str, rate: float, images: int = 100) -> Group:
    return Group("colour", value, images, {"accuracy": (rate, rate - 0.03, rate + 0.04)})


def test_the_gap_is_between_the_best_and_the_worst_that_are_judged() -> None:
    """By hand: three groups make three pairs, so the interval is wider by the quantiles' ratio 2.394 / 1.960."""
    (gap,) = gaps([group("red", 0.9), group("green", 0.5), group("blue", 0.7), group("rare", 0.0, images=29)])
    assert (gap.best.value, gap.worst.value) == ("red", "green")
    assert gap.value == pytest.approx(0.4)
    assert gap.high - gap.value == pytest.approx(0.05 * 2.39398 / 1.95996, rel=1e-4)
    assert gap.value - gap.low == pytest.approx(0.05 * 2.39398 / 1.95996, rel=1e-4)


def test_of_changes_the_largest_is_the_worst() -> None:
    two = [Group("a", value, 50, {"flip": (rate, rate, rate)}) for value, rate in (("x", 0.1), ("y", 0.4))]
    (gap,) = gaps(two)
    assert (gap.best.value, gap.worst.value, gap.value) == ("x", "y", pytest.approx(0.3))


def test_a_gap_that_chance_could_explain_does_not_hide_one_that_it_cannot() -> None:
    """Of few images the extremes are unsure; between two large groups the difference is not."""

    def large(value: str, rate: float, reach: float) -> Group:
        return Group("colour", value, 100, {"accuracy": (rate, rate - reach, rate + reach)})

    (gap,) = gaps([large("a", 0.95, 0.005), large("b", 0.90, 0.005), large("c", 0.99, 0.1), large("d", 0.87, 0.1)])
    assert (gap.best.value, gap.worst.value) == ("c", "d")
    assert gap.low < 0
    assert gap.sure is not None
    assert (gap.sure.best.value, gap.sure.worst.value) == ("a", "b")
    (gap,) = gaps([large("a", 0.95, 0.005), large("b", 0.90, 0.005)])
    assert gap.sure is not None
    assert gap.sure.value == gap.value
    (gap,) = gaps([large("a", 0.95, 0.1), large("b", 0.90, 0.1)])
    assert gap.sure is None


def test_a_groups_figures_are_those_that_a_comparison_subtracts_and_of_all_images_the_profiles() -> None:
    generator = np.random.default_rng(0)
    z, labels = clouds.clusters(generator, 120)
    changes = {(name, 1.0): generator.exponential(size=(120, 2)) for name in ("brightness", "noise")}
    flips = {key: generator.random((120, 2)) < 0.2 for key in changes}
    half = ["few" if place < 40 else "many" for place in range(120)]
    table = with_groups(clouds.table(z, labels, changes, flips=flips), {"half": half, "all": ["yes"] * 120})
    found = {one.name: one for one in groups_of(table) if not one.intersection}
    summary, families = Summary(table, only=("logits.l2",)), dict.fromkeys(("brightness", "noise"), "all")
    cells = [figures for name in summary.names for figures in summary.cells(name)]
    for name in ("half=few", "half=many"):
        figures = profile_of(cells, families, "logits.l2", f"group:{name}")
        assert figures is not None
        low, high = figures.bounds()
        for row, key in enumerate(figures.keys):
            if key.quantity in ("flip", "relative_change"):
                told = figures.values[row], low[row], high[row]
                assert found[name].figures[key.quantity] == pytest.approx(told, rel=1e-6)
    for row in profile(table, families):
        if row.quantity in ("flip", "relative_change"):
            assert found["all=yes"].figures[row.quantity] == pytest.approx((row.mean, row.low, row.high), rel=1e-6)
    assert (found["half=few"].images, found["all=yes"].images) == (40, 120)


def test_one_group_has_no_gap() -> None:
    assert list(gaps([group("red", 0.9), group("rare", 0.1, images=5)])) == []


def test_gaps_of_rates_stay_within_their_range() -> None:
    """1225 pairs of 50 groups widen both ends beyond it; ratios have none."""

    def told(mean: float) -> dict[str, tuple[float, float, float]]:
        return dict.fromkeys(("accuracy", "relative_change"), (mean, 0.0, 1.0))

    accuracy, relative = gaps([Group("age", str(i), 40, told(0.4 if i else 0.6)) for i in range(50)])
    assert (accuracy.low, accuracy.high) == (-1, 1)
    assert relative.low < -1
    assert relative.high > 1


def test_an_attribute_may_have_and_in_its_name() -> None:
    """It is no intersection for that; several attributes together are one."""
    splits = split_by({"salt and pepper": ["no", "yes", "no"], "sex": ["f", "f", "m"]})
    assert [(one.name, one.intersection) for one in splits] == [
        ("salt and pepper", False), ("sex", False), ("salt and pepper and sex", True),
    ]  # fmt: skip
    assert splits[2].groups == [f"salt and pepper and sex={value}" for value in ("no, f", "no, m", "yes, f")]


def folder(tmp_path: Path, count: int = 4):
    for i in range(count):
        (tmp_path / "images" / "one").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), i * 4, np.uint8)).save(tmp_path / "images" / "one" / f"{i}.png")
    data = Folder.parse(str(tmp_path / "images"), limit=None)
    return data, scan(data)


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "groups.csv").write_text(text)
    return str(tmp_path / "groups.csv")


def test_a_file_by_the_names_of_its_images(tmp_path: Path) -> None:
    data, found = folder(tmp_path)
    text = "file,sex,age\n3.png ,f,old\n\n0.png,m, young\n1.png,m ,old\n  \n2.png,f,young\n"
    read = read_attributes(data, found, written(tmp_path, text))
    assert read == {"sex": ("m", "m", "f", "f"), "age": ("young", "old", "young", "old")}


@pytest.mark.parametrize(("text", "told"), [
    ("file,sex\n0.png,m\n1.png,m\n2.png,f\n", "no row for 1 image, such as .*3.png"),
    ("file,sex\n0.png,m\n1.png,m\n2.png,f\n3.png,\n", "gives 1 image no sex, such as .*3.png"),
    ("file,sex\n0.png,m\n1.png,m\n2.png,f\n3.png,NaN\n", "gives 1 image no sex, such as .*3.png"),
    ("file,sex\n0.png,m\n1.png,m\n2.png,f\n9.png,f\n", "no row for 1 image"),
    ("file\n0.png\n", "1 column: expected the image, then attributes, separated by commas"),
    ("file;sex\n0.png;m\n", "separated by commas .its first line is 'file;sex'"),
    ("", "0 columns: expected the image"),
    ("file,sex\n0.png,m\n1.png,m\n2.png,f\n3.png,f\n9.png,f\n", "rows of 1 image that the data do not have.*'9.png'"),
    ("file,sex\n0.png,m\n1.png,m\n2.png,f\n3.png,f\n1.png,f\n", "more than one row for '1.png'"),
    ("file,sex,sex\n0.png,m,f\n1.png,m,f\n2.png,f,m\n3.png,f,m\n", "column 'sex' more than once"),
    ("file,a,b,a and b\n0.png,m,x,k\n1.png,m,y,k\n2.png,f,x,l\n3.png,f,y,l\n", "'a and b' is called as groups of sev"),
    ("file,a=b\n0.png,m\n1.png,m\n2.png,f\n3.png,f\n", "'a=b' has = in its name"),
])  # fmt: skip
def test_files_that_do_not_fit_are_named(tmp_path: Path, text: str, told: str) -> None:
    data, found = folder(tmp_path)
    with pytest.raises(SemconError, match=told):
        read_attributes(data, found, written(tmp_path, text))


def test_rows_of_images_that_a_limit_left_out_are_none_of_unknown_ones(tmp_path: Path) -> None:
    """Of a folder read again, of a part, of torch data; of data that can be read once only nothing is known."""
    data, _ = folder(tmp_path)
    cut = Folder.parse(data.source.removeprefix("folder:"), limit=2)
    good = written(tmp_path, "file,sex\n" + "".join(f"{i}.png,{'mf'[i % 2]}\n" for i in range(4)))
    part = Part(data, range(2))
    for dataset, whole in ((cut, lambda: data), (part, None)):
        assert read_attributes(dataset, scan(dataset), good, whole=whole) == {"sex": ("m", "f")}
    bad = written(tmp_path, "file,sex\n0.png,m\n1.png,f\n5.png,m\n")
    for dataset, whole in ((cut, lambda: data), (part, None)):
        with pytest.raises(SemconError, match=r"do not have, such as '5.png'"):
            read_attributes(dataset, scan(dataset), bad, whole=whole)
    items = [(np.zeros((4, 4, 3), np.uint8), 0)] * 4
    rows = written(tmp_path, "image,sex\n" + "".join(f"image {i},m\n" for i in range(5)))
    mapped, once = (TorchDataset(kind(items), limit=2) for kind in (Mapped, Once))
    with pytest.raises(SemconError, match="such as 'image 4'"):
        read_attributes(mapped, scan(mapped), rows)
    assert read_attributes(once, scan(once), rows) == {"sex": ("m", "m")}


def test_a_files_name_that_two_images_have_names_neither(tmp_path: Path) -> None:
    data, _ = folder(tmp_path)
    (tmp_path / "images" / "two").mkdir()
    shutil.copy(tmp_path / "images" / "one" / "0.png", tmp_path / "images" / "two" / "0.png")
    data = Folder.parse(str(tmp_path / "images"))
    with pytest.raises(SemconError, match=r"2 are called 0.png: name them by their paths, such as one/0.png"):
        read_attributes(data, scan(data), written(tmp_path, "file,sex\n" + "".join(f"{i}.png,m\n" for i in range(4))))


def test_nor_where_a_limit_left_the_other_out(tmp_path: Path) -> None:
    data, _ = folder(tmp_path)
    (tmp_path / "images" / "two").mkdir()
    shutil.copy(tmp_path / "images" / "one" / "0.png", tmp_path / "images" / "two" / "0.png")
    data = Folder.parse(str(tmp_path / "images"))
    cut = Part(data, range(4))
    with pytest.raises(SemconError, match=r"2 are called 0.png: name them by their paths, such as one/0.png"):
        read_attributes(cut, scan(cut), written(tmp_path, "file,sex\n" + "".join(f"{i}.png,m\n" for i in range(4))))


class Alike(Arrays):
    """Whose images two by two have one title."""

    def title(self, index: int) -> str:
        return f"{index // 2}.png"


def test_images_of_one_title_cannot_be_told_apart(tmp_path: Path) -> None:
    """One row would be given to both."""
    data = Alike(np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3), [0, 1, 0, 1])
    with pytest.raises(SemconError, match=r"names images, and 2 are called 0.png: give the data names of their own"):
        read_attributes(data, scan(data), written(tmp_path, "file,sex\n0.png,m\n1.png,f\n"))


class Mapped(TorchData[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Once(IterableDataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def test_columns_of_a_parquet_file_are_attributes(tmp_path: Path) -> None:
    """Of the rows that are read, whichever columns images and labels are in."""

    def png(i: int) -> bytes:
        out = io.BytesIO()
        Image.fromarray(np.full((4, 4, 3), i * 9, np.uint8)).save(out, "PNG")
        return out.getvalue()

    frame = pl.DataFrame(
        {"image": [png(i) for i in range(6)], "label": [0, 1] * 3, "sex": list("mfmfmf"), "age": [1, 2] * 3}
    )
    frame.write_parquet(tmp_path / "x.parquet")
    data = parse_data(f"parquet:{tmp_path}/x.parquet[1:5]", None)
    assert read_attributes(data, scan(data), "sex, age") == {"sex": tuple("fmfm"), "age": ("2", "1", "2", "1")}
    cut = parse_data(f"parquet:{tmp_path}/x.parquet[1:5]", 2)
    text = "image,sex\n" + "".join(f"row {i},m\n" for i in range(1, 5))
    assert read_attributes(cut, scan(cut), written(tmp_path, text)) == {"sex": ("m", "m")}
    with pytest.raises(SemconError, match="such as 'row 5'"):
        read_attributes(cut, scan(cut), written(tmp_path, text + "row 5,m\n"))
    named = [{"bytes": png(i), "path": f"{i}.png" if i else None} for i in range(4)]
    pl.DataFrame({"image": named}).write_parquet(tmp_path / "named.parquet")
    short = parse_data(f"parquet:{tmp_path}/named.parquet?label=none", 2)
    assert short.titles() == ["row 0", "1.png", "2.png", "3.png"]  # type: ignore[attr-defined]
    with pytest.raises(UnknownNameError, match="Did you mean sex"):
        read_attributes(data, scan(data), "sexe")
    with pytest.raises(SemconError, match="expected one value an image"):
        read_attributes(data, scan(data), "image")
    frame.with_columns(sex=pl.Series(["m", None, "m", "f", "m", "f"])).write_parquet(tmp_path / "x.parquet")
    missing = parse_data(f"parquet:{tmp_path}/x.parquet", None)
    with pytest.raises(SemconError, match="sex is missing for 1 image, such as row 1"):
        read_attributes(missing, scan(missing), "sex")


def test_hundreds_of_values_are_no_groups(tmp_path: Path) -> None:
    data, found = folder(tmp_path, 60)
    rows = "\n".join(f"{i}.png,{i}" for i in range(60))
    with pytest.raises(SemconError, match=r"age has 60 values.*at most 50"):
        read_attributes(data, found, written(tmp_path, f"file,age\n{rows}\n"))


def test_a_data_sets_own_attributes_by_name() -> None:
    data = Shapes(size=8, limit=20)
    found = scan(data)
    assert set(read_attributes(data, found, None) or {}) == {"texture", "background"}
    assert set(read_attributes(data, found, "texture") or {}) == {"texture"}
    with pytest.raises(UnknownNameError, match="texture"):
        read_attributes(data, found, "textures")
    plain = Arrays(np.zeros((3, 4, 4, 3), np.uint8), [0, 1, 0])
    assert read_attributes(plain, scan(plain), None) is None
    with pytest.raises(SemconError, match="has no attributes"):
        read_attributes(plain, scan(plain), "sex")


def test_values_with_commas_stay_apart_together() -> None:
    (both,) = (one for one in split_by({"a": ["x, y", "x", "x"], "b": ["z", "y, z", "z"]}) if one.intersection)
    assert both.values == ['"x, y", z', 'x, "y, z"', "x, z"]


def test_of_three_attributes_every_two_and_all_are_intersections() -> None:
    names = [one.name for one in split_by({"a": ["x"], "b": ["y"], "c": ["z"]}) if one.intersection]
    assert names == ["a and b", "a and c", "b and c", "a and b and c"]
    assert [one.name for one in split_by({"a": ["x"]})] == ["a"]
