"""Attributes of images: from the data set itself, from columns of a Parquet file, from a CSV beside the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
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
    dataset: Dataset, scan: Scan, groups: str | None, *, whole: bool = True
) -> Attributes | None:  # fmt: skip
    """What `--groups` asks for: names of attributes or columns, or a CSV file; by default all that the data set has.

    None where nothing was asked for and the data set has none. `whole`: whether `dataset` has all of the images, and
    not the first of them. Errors: `SemconError` for images that the file does not know or knows without a value, rows
    of unknown images, several rows of one, attributes of more than 50 values; `UnknownNameError`.
    """
    places = scan.positions.tolist()
    if groups is None:
        found = _own(dataset, places)
        return {name: values for name, values in found.items() if len(set(values)) <= MOST} or None
    if Path(groups).suffix.lower() == ".csv":
        every = {dataset.title(place) for place in range(len(dataset))} if whole else None
        found = _of_file(Path(groups), [dataset.title(place) for place in places], every)
    else:
        names = [name.strip() for name in groups.split(",") if name.strip()]
        found = {name: _column(dataset, name, places) for name in names}
    if not found:
        raise SemconError(f"--groups expects names of attributes or a CSV file, got {groups!r}")
    for name, values in found.items():
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
    lacking = [place for place, value in zip(places, values, strict=True) if value is None or not str(value).strip()]
    if lacking:
        raise SemconError(
            f"the attribute {name} is missing for {counted(len(lacking), 'image')}, such as "
            f"{dataset.title(lacking[0])}: give every image a value ('unknown' is one)"
        )
    return tuple(str(value) for value in values)


def _of_file(path: Path, titles: Sequence[str], every: Collection[str] | None) -> dict[str, tuple[str, ...]]:
    """The first column names the image, by its whole title or by its file's name; `every`: the titles there are."""
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SemconError(f"cannot read the attributes in {path}: {str(error).partition(chr(10))[0]}") from None
    if len(frame.columns) < 2:
        raise SemconError(f"{path} has {counted(len(frame.columns), 'column')}: expected the image, then attributes")
    keys = [key or "" for key in frame[frame.columns[0]].to_list()]
    by_title = bool(set(keys) & set(titles))
    own = list(titles) if by_title else [Path(title).name for title in titles]
    for what, names in (("image", own), ("row", keys)):
        alike = next((name for name, count in Counter(names).items() if count > 1 and name in set(keys)), None)
        if alike is not None:
            raise SemconError(f"{path} names {alike!r}, and several {what}s have that name: expected one row an image")
    rows = {key: row for row, key in enumerate(keys)}
    missing = [title for title, name in zip(titles, own, strict=True) if name not in rows]
    if missing:
        raise SemconError(
            f"{path} has no row for {counted(len(missing), 'image')}, such as {missing[0]}: its first column, "
            f"{frame.columns[0]!r}, must name every image (found {', '.join(keys[:3])}, ...)"
        )
    known = set(keys if every is None else every if by_title else (Path(title).name for title in every))
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise SemconError(f"{path} names {counted(len(unknown), 'image')} that the data do not have: {unknown[0]}")
    found: dict[str, tuple[str, ...]] = {}
    for name in frame.columns[1:]:
        values = frame[name].to_list()
        chosen = [values[rows[key]] for key in own]
        lacking = [title for title, value in zip(titles, chosen, strict=True) if value is None or not value.strip()]
        if lacking:
            raise SemconError(
                f"{path} gives {counted(len(lacking), 'image')} no {name}, such as {lacking[0]}: give every image a "
                "value ('unknown' is one)"
            )
        found[name] = tuple(chosen)
    return found
