"""Attributes of images: from the data set itself, from columns of a Parquet file, from a CSV beside the images."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import polars as pl

from semcon.core.concepts import Dataset
from semcon.core.errors import SemconError, UnknownNameError
from semcon.loading import Part, Scan, attribute_reader
from semcon.report.numbers import counted

MOST = 50  # values of an attribute: more are no groups
Attributes = Mapping[str, tuple[str, ...]]
"""By name the value of every image of a scan, in its order."""


def read_attributes(
    dataset: Dataset, scan: Scan, groups: str | None, *, whole: Callable[[], Dataset] | None = None
) -> Attributes | None:
    """What `--groups` asks for: names of attributes or columns, or a CSV file; by default all that the data set has.

    `whole`: the data set without the limit that cut it, read when a file has rows of images that are not in `dataset`.
    None where nothing was asked for and the data set has none. Errors: `SemconError` for images that the file does not
    know, knows twice or without a value, rows of unknown images, columns of one name, attributes of more than 50
    values; `UnknownNameError`.
    """
    places = scan.positions.tolist()
    if groups is None:
        found = _own(dataset, places)
        return {name: values for name, values in found.items() if len(set(values)) <= MOST} or None
    if Path(groups).suffix.lower() == ".csv":
        titles = [dataset.title(place) for place in places]
        found = _of_file(Path(groups), titles, lambda: _all_titles(dataset, whole))
    else:
        names = [name.strip() for name in groups.split(",") if name.strip()]
        found = {name: _column(dataset, name, places) for name in names}
    if not found:
        raise SemconError(f"--groups expects names of attributes or a CSV file, got {groups!r}")
    together = {" and ".join(names) for count in (2, len(found)) for names in combinations(found, count) if count > 1}
    for name, values in found.items():
        if "=" in name:
            raise SemconError(f"the attribute {name!r} has = in its name, as groups have (sex=f): rename it")
        if name in together:
            raise SemconError(f"the attribute {name!r} is called as groups of several attributes are: rename it")
        many = len(set(values))
        if many > MOST:
            raise SemconError(
                f"the attribute {name} has {many} values, such as {values[0]!r}: expected at most {MOST}; put them "
                "into fewer groups (a range of ages, not each age)"
            )
    return found


def _own(dataset: Dataset, places: Sequence[int]) -> dict[str, tuple[str, ...]]:
    read = attribute_reader(dataset)
    if read is None:
        return {}
    rows = [read(place) for place in places]
    return {name: _known(name, [row.get(name) for row in rows], dataset, places) for name in (rows[0] if rows else ())}


def _column(dataset: Dataset, name: str, places: Sequence[int]) -> tuple[str, ...]:
    """An attribute of the data set, else a column of it."""
    read = attribute_reader(dataset)
    if read is not None:
        first = read(places[0])
        if name not in first:
            raise UnknownNameError("attribute of the data", name, first)
        return _known(name, [read(place).get(name) for place in places], dataset, places)
    whole, rows = (
        (dataset.whole, [dataset.indices[p] for p in places]) if isinstance(dataset, Part) else (dataset, places)
    )
    column = getattr(whole, "column", None)
    if column is None:
        raise SemconError(
            f"{dataset.source} has no attributes: give a CSV file with one row an image, --groups FILE.csv"
        )
    values: Sequence[str | None] = column(name)
    return _known(name, [values[row] for row in rows], dataset, places)


def _known(name: str, values: Sequence[str | None], dataset: Dataset, places: Sequence[int]) -> tuple[str, ...]:
    lacking = [place for place, value in zip(places, values, strict=True) if _no_value(value)]
    if lacking:
        raise SemconError(
            f"the attribute {name} is missing for {counted(len(lacking), 'image')}, such as "
            f"{dataset.title(lacking[0])}: give every image a value ('unknown' is one)"
        )
    return tuple(str(value).strip() for value in values)


def _no_value(value: object) -> bool:
    """None, nothing but blanks, and NaN, as columns of numbers have it."""
    return value is None or str(value).strip().lower() in ("", "nan")


def _all_titles(dataset: Dataset, whole: Callable[[], Dataset] | None) -> Iterable[str] | None:
    """Of all images that there are, whatever was left out by a limit; None where that is not known."""
    if isinstance(dataset, Part):
        return _all_titles(dataset.whole, whole)
    told = getattr(dataset, "titles", None)
    if told is not None:
        return told()
    every = dataset if whole is None else whole()
    return (every.title(place) for place in range(len(every)))


def _of_file(
    path: Path, titles: Sequence[str], all_titles: Callable[[], Iterable[str] | None]
) -> dict[str, tuple[str, ...]]:
    """The first column names the image, by its whole title or by its file's name."""
    names, frame = _frame(path)
    keys = [(key or "").strip() for key in frame.to_series().to_list()]
    by_title = bool(set(keys) & set(titles))
    own = list(titles) if by_title else [Path(title).name for title in titles]
    rows = {key: row for row, key in enumerate(keys)}
    missing = [title for title, name in zip(titles, own, strict=True) if name not in rows]
    if missing:
        raise SemconError(
            f"{path} has no row for {counted(len(missing), 'image')}, such as {missing[0]}: its first column, "
            f"{names[0]!r}, must name every image (found {', '.join(keys[:3])}, ...)"
        )
    unknown = set(rows) - set(own)
    every = None if by_title and not unknown else all_titles()
    there = Counter(own if every is None else every if by_title else (Path(title).name for title in every))
    _check_keys(path, keys, own, titles, there)
    if every is not None:
        unknown = [key for key in rows if key not in there]
        if unknown:
            raise SemconError(
                f"{path} has rows of {counted(len(unknown), 'image')} that the data do not have, such as "
                f"{unknown[0]!r}: correct its name or take it out"
            )
    found: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(names[1:], start=1):
        values = frame.to_series(place).to_list()
        chosen = [(values[rows[key]] or "").strip() for key in own]
        lacking = [title for title, value in zip(titles, chosen, strict=True) if _no_value(value)]
        if lacking:
            raise SemconError(
                f"{path} gives {counted(len(lacking), 'image')} no {name}, such as {lacking[0]}: give every image a "
                "value ('unknown' is one)"
            )
        found[name] = tuple(chosen)
    return found


def _frame(path: Path) -> tuple[list[str], pl.DataFrame]:
    """The names of the columns, and the rows as text."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            names = [name.strip() for name in next(csv.reader(lines), [])]
        frame = pl.read_csv(path, infer_schema=False) if len(names) > 1 else pl.DataFrame()
        if len(names) > 1:  # blank lines are no rows
            frame = frame.filter(pl.any_horizontal(pl.all().str.strip_chars().fill_null("") != ""))
    except (OSError, UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as error:
        raise SemconError(f"cannot read the attributes in {path}: {str(error).partition(chr(10))[0]}") from None
    if len(names) < 2:
        raise SemconError(
            f"{path} has {counted(len(names), 'column')}: expected the image, then attributes, separated by commas"
            + (f" (its first line is {names[0]!r})" if names else "")
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SemconError(f"{path} has the column {twice[0]!r} more than once: expected one name a column")
    return names, frame


def _check_keys(
    path: Path, keys: Sequence[str], own: Sequence[str], titles: Sequence[str], names: Counter[str]
) -> None:  # fmt: skip
    """Errors: `SemconError` for an image with two rows, and for a name that several images have.

    `own`: what the file calls the images of these `titles`; `names`: of all images, how many have each.
    """
    alike = [(title, name) for title, name in zip(titles, own, strict=True) if names[name] > 1]
    if alike:
        title, name = alike[0]
        named = "names images by their files" if name != title else "names images"
        remedy = f"name them by their paths, such as {title}" if name != title else "give the data names of their own"
        raise SemconError(f"{path} {named}, and {names[name]} are called {name}: {remedy}")
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise SemconError(f"{path} has more than one row for {twice[0]!r}: expected one row an image")
