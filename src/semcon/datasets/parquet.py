"""Parquet: images with labels as on the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from semcon.core.errors import SemconError, UnknownNameError, UnreadableImageError
from semcon.decoding import Pixels, from_bytes
from semcon.keyed import sample_id

IMAGES, LABELS = ("image", "img", "jpg", "png", "webp"), ("label", "labels", "fine_label", "target", "cls", "class")


class Parquet:
    """One or more files; the image column holds bytes or {bytes, path}, the label column whole numbers or names.

    Names (strings, categories) are numbered in sorted order, those of an enumeration in its own; false is 0, true is 1.

    Columns are found by their usual names, or named: `image_column`, `label_column` ("none" for no labels). `rows`: a
    range over all files together.
    """

    form = "parquet:FILE[,FILE]"

    def __init__(
        self, paths: list[Path], *, image_column: str | None = None, label_column: str | None = None,
        rows: tuple[int | None, int | None] = (None, None), limit: int | None = None,
    ) -> None:  # fmt: skip
        missing = [path for path in paths if not path.is_file()]
        if missing or not paths:
            raise SemconError(f"no such Parquet file: {missing[0] if missing else '(none given)'}")
        self.name, self.source = paths[0].stem, "parquet:" + ",".join(str(path) for path in paths)
        start, stop = rows
        if stop is not None and stop < (start or 0):
            raise SemconError(f"rows [{start}:{stop}] end before they begin: expected [a:b] with a below b")
        schema = _schema(paths[0])
        self._image_column = _column(schema, image_column, IMAGES, "image", paths[0])
        self._label_column = None if label_column == "none" else _label(schema, label_column, paths[0])
        columns = [self._image_column, *([self._label_column] if self._label_column else [])]
        _check_bytes(schema, self._image_column, paths[0])
        for path in paths[1:]:
            _check_alike(schema, columns, paths[0], path)
        length = None if stop is None else stop - (start or 0)
        if limit is not None:
            length = limit if length is None else min(limit, length)
        self._paths, self._slice = paths, (start or 0, length)
        self._asked = start or 0, None if stop is None else stop - (start or 0)
        self._frame = self._read(columns)
        if not len(self._frame):
            raise SemconError(f"{self.source} has no rows in the range asked for")
        self.classes, self._labels = self._read_labels(paths[0])
        self._start = start or 0

    @classmethod
    def parse(cls, text: str, *, limit: int | None = None) -> Parquet:
        """`FILE[,FILE][?image=COLUMN&label=COLUMN][[a:b]]`."""
        rows: tuple[int | None, int | None] = (None, None)
        ranged = re.fullmatch(r"(.*)\[(\d*):(\d*)\]", text)
        if ranged:
            text = ranged[1]
            rows = (int(ranged[2]) if ranged[2] else None, int(ranged[3]) if ranged[3] else None)
        files, _, query = text.partition("?")
        named = dict(part.split("=", 1) for part in query.split("&") if "=" in part)
        unknown = [key for key in named if key not in ("image", "label")]
        if unknown:
            raise UnknownNameError("option of parquet:", unknown[0], ("image", "label"))
        return cls(
            [Path(part) for part in files.split(",") if part], image_column=named.get("image"),
            label_column=named.get("label"), rows=rows, limit=limit,
        )  # fmt: skip

    def _read(self, columns: list[str]) -> pl.DataFrame:
        try:
            whole = pl.concat([pl.scan_parquet(path).select(columns) for path in self._paths])
            return whole.slice(*self._slice).collect()
        except pl.exceptions.PolarsError as error:
            raise SemconError(f"cannot read {self.source}: {_first_line(error)}") from None

    def column(self, name: str) -> list[str | None]:
        """Another column of every row, as text. Errors: `UnknownNameError`; `SemconError` for nested or binary data."""
        schema = _schema(self._paths[0])
        if name not in schema:
            raise UnknownNameError(f"column of {self._paths[0].name}", name, schema)
        if schema[name].is_nested() or schema[name] == pl.Binary:
            raise SemconError(
                f"column {name!r} of {self._paths[0].name} is {schema[name]}: expected one value an image"
            )
        for path in self._paths[1:]:
            _check_alike(schema, [name], self._paths[0], path)
        return self._read([name])[name].cast(pl.String).to_list()

    def __len__(self) -> int:
        return len(self._frame)

    def label(self, index: int) -> int | None:
        """The class of row `index`."""
        return None if self._labels is None else self._labels[index]

    def title(self, index: int) -> str:
        """`row 7`, or the path that the file gives it."""
        value = self._frame[self._image_column][index]
        path = value.get("path") if isinstance(value, dict) else None
        return str(path) if path else f"row {self._start + index}"

    def titles(self) -> list[str]:
        """Of all rows asked for, those too that the limit left out; no image is read."""
        kind = self._frame.schema[self._image_column]
        named = isinstance(kind, pl.Struct) and "path" in kind.to_schema()
        path = pl.col(self._image_column).struct.field("path").cast(pl.String)
        told = path if named else pl.repeat(None, pl.len(), dtype=pl.String).alias("path")
        paths = pl.concat([pl.scan_parquet(one).select(told) for one in self._paths]).slice(*self._asked).collect()
        return [own or f"row {self._start + row}" for row, own in enumerate(paths["path"].to_list())]

    def identity(self, index: int) -> int:
        """Hash of the encoded bytes."""
        return sample_id(self._bytes(index))

    def image(self, index: int) -> Pixels:
        """(H, W, C)."""
        return from_bytes(self._bytes(index), self.title(index))

    def _bytes(self, index: int) -> bytes:
        value: Any = self._frame[self._image_column][index]
        content = value.get("bytes") if isinstance(value, dict) else value
        if not content:
            raise UnreadableImageError(self.title(index), "the row holds no bytes (a path alone is not enough)")
        return content

    def _read_labels(self, path: Path) -> tuple[tuple[str, ...] | None, list[int | None] | None]:
        if self._label_column is None:
            return None, None
        column = self._frame[self._label_column]
        if column.dtype == pl.Boolean:
            column = column.cast(pl.Int64)
        if isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum):
            own = column.dtype.categories.to_list() if isinstance(column.dtype, pl.Enum) else None
            column = column.cast(pl.String)
            names = tuple(own or sorted(column.drop_nulls().unique().to_list()))
            place = {name: number for number, name in enumerate(names)}
            return names, [place.get(value) for value in column.to_list()]
        if not column.dtype.is_integer():
            raise SemconError(f"label column {self._label_column!r} is {column.dtype}: expected whole numbers or names")
        return _class_names(path, self._label_column), column.to_list()


def _schema(path: Path) -> dict[str, Any]:
    try:
        return dict(pl.read_parquet_schema(path))
    except pl.exceptions.PolarsError as error:
        raise SemconError(f"cannot read {path} as Parquet: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]  # polars adds its query plan


def _check_bytes(schema: dict[str, Any], column: str, path: Path) -> None:
    kind = schema[column]
    content = kind.to_schema().get("bytes") if isinstance(kind, pl.Struct) else kind
    if not isinstance(content, pl.Binary | pl.Null):
        raise SemconError(
            f"image column {column!r} of {path.name} is {kind}: expected the bytes of image files, or {{bytes, path}}"
        )


def _check_alike(schema: dict[str, Any], columns: list[str], first: Path, path: Path) -> None:
    other = _schema(path)
    for column in columns:
        if other.get(column) != schema[column]:
            kind = other.get(column, "missing")
            raise SemconError(f"column {column!r} is {kind} in {path}, but {schema[column]} in {first}")


def _column(schema: Any, wanted: str | None, usual: tuple[str, ...], what: str, path: Path) -> str:
    if wanted is not None:
        if wanted not in schema:
            raise UnknownNameError(f"{what} column of {path.name}", wanted, schema)
        return wanted
    found = next((name for name in usual if name in schema), None)
    if found is None:
        listed = ", ".join(schema)
        raise SemconError(f"no {what} column in {path.name} (columns: {listed}): name it, parquet:FILE?{what}=COLUMN")
    return found


def _label(schema: Any, wanted: str | None, path: Path) -> str:
    try:
        return _column(schema, wanted, LABELS, "label", path)
    except UnknownNameError:
        raise
    except SemconError as error:
        raise SemconError(f"{error}, or parquet:FILE?label=none for images without labels") from None


def _class_names(path: Path, column: str) -> tuple[str, ...] | None:
    """Class names that the Hugging Face metadata of the file give this column, if any."""
    try:
        info = json.loads(pl.read_parquet_metadata(path).get("huggingface", "{}"))
        return tuple(info["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError):
        return None
