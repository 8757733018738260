"""`SampleTable`: one row per image, and one per image, perturbation, severity and draw. Polars, no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.explained import OF_COPIES, OF_MAPS, explained
from semcon.core.record import GaugeInfo

Schema = dict[str, pl.DataType | type[pl.DataType]]
OF_IMAGES: Schema = {"input_curvature": pl.Float32, "groups": pl.String}
"""Columns of images that only some evaluations have."""
OF_ROWS: Schema = {
    "lipschitz": pl.Float32, "logits.straightness": pl.Float32, "logits.path_curvature": pl.Float32,
    "pixels.straightness": pl.Float32, "pixels.path_curvature": pl.Float32,
    "donor": pl.Int32, "donor_position": pl.Int64,
}  # fmt: skip
"""Columns of rows that only some evaluations have; besides those, of explanations, `core.explained.OF_COPIES`."""


@dataclass(frozen=True)
class SampleTable:
    """`images`: what belongs to an image. `rows`: what belongs to a copy. `gauges`: the column families.

    Images: position, sample (id; equal for duplicates), title, label, prediction, confidence, gradient_norm, reference,
    others; per gauge G `G.spread`, `G.within`. Rows: position, perturbation, severity, draws (random, worst_change,
    worst_flip, worst_slope, critical, sequence), draw (of a sequence the frame), method, prediction, confidence,
    critical, censored_at; per gauge `G.change` and `G.nearer`. Besides, those of `OF_IMAGES` and `OF_ROWS` that an
    evaluation measures, and `METHOD.QUANTITY` of explanations (`core.explained`).
    """

    images: pl.DataFrame
    rows: pl.DataFrame
    gauges: tuple[GaugeInfo, ...]

    def __post_init__(self) -> None:
        for frame, schema in zip((self.images, self.rows), self.schemas, strict=True):
            different = [name for name, kind in schema.items() if frame.schema.get(name) != kind]
            if different:
                name = different[0]
                raise SemconError(f"column {name!r} of the table must be {schema[name]}, is {frame.schema.get(name)}")
        positions = np.sort(self.images["position"].to_numpy())
        if bool((positions[1:] == positions[:-1]).any()):
            raise SemconError("the table has two images at the same position: parts of different audits?")

    @staticmethod
    def image_schema(gauges: Sequence[GaugeInfo]) -> Schema:
        """Column types of `images`."""
        spreads = {f"{gauge.name}.{part}": pl.Float32 for gauge in gauges for part in ("spread", "within")}
        return {
            "position": pl.Int64, "sample": pl.Int64, "title": pl.String, "label": pl.Int32, "prediction": pl.Int32,
            "confidence": pl.Float32, "gradient_norm": pl.Float32, "reference": pl.Boolean, "others": pl.Int32,
            **spreads,
        }  # fmt: skip

    @staticmethod
    def row_schema(gauges: Sequence[GaugeInfo]) -> Schema:
        """Column types of `rows`."""
        schema: Schema = {
            "position": pl.Int64, "perturbation": pl.String, "severity": pl.Float64, "draws": pl.String,
            "draw": pl.Int16, "method": pl.String, "prediction": pl.Int32, "confidence": pl.Float32,
            "critical": pl.Float64, "censored_at": pl.Float64,
        }  # fmt: skip
        for gauge in gauges:
            schema[f"{gauge.name}.change"] = pl.Float32
            schema[f"{gauge.name}.nearer"] = pl.Int32
        return schema

    @property
    def schemas(self) -> tuple[Schema, Schema]:
        """Column types of `images` and `rows`, with those of the additional columns that are there."""
        images, rows = self.image_schema(self.gauges), self.row_schema(self.gauges)
        return images | of_images(self.images.columns), rows | of_rows(self.rows.columns)

    @property
    def perturbations(self) -> list[str]:
        """The names of the perturbations, as they first appear."""
        return self.rows["perturbation"].unique(maintain_order=True).to_list()

    @property
    def different(self) -> int:
        """How many different images there are; copies of one count once."""
        return len(np.unique(self.images["sample"].to_numpy()))

    @property
    def labelled(self) -> bool:
        """Whether any image has a label."""
        return self.images["label"].null_count() < len(self.images)

    def gauge(self, name: str) -> GaugeInfo:
        """The gauge of a name. Errors: `UnknownNameError`."""
        found = {gauge.name: gauge for gauge in self.gauges}
        if name not in found:
            raise UnknownNameError("gauge", name, found)
        return found[name]

    @classmethod
    def concat(cls, parts: Sequence[SampleTable]) -> SampleTable:
        """Parts of one audit as a whole. Errors: `SemconError` for none, other gauges or columns, equal positions."""
        if not parts:
            raise SemconError("a table needs at least one part, got none")
        if any(part.gauges != parts[0].gauges for part in parts):
            raise SemconError("these parts of a table have different gauges: they come from different audits")
        if any(part.schemas != parts[0].schemas for part in parts):
            raise SemconError("these parts of a table have different columns: they come from different audits")
        images = pl.concat([part.images for part in parts])
        return cls(images, pl.concat([part.rows for part in parts]), parts[0].gauges)

    def save(self, path: Path) -> None:
        """One Parquet file: the rows without a perturbation are the images; the gauges are in its metadata.

        Errors: `OSError` where it cannot be written (polars has an error of its own for that).
        """
        whole = pl.concat([self.images.lazy(), self.rows.lazy()], how="diagonal")
        gauges = json.dumps([gauge.model_dump() for gauge in self.gauges])
        try:
            whole.sink_parquet(path, compression="zstd", metadata={"semcon.gauges": gauges})
        except pl.exceptions.PolarsError as error:
            raise OSError(str(error).partition("\n")[0]) from error

    @classmethod
    def load(cls, *paths: Path) -> SampleTable:
        """The table of a file, or of the files of its parts in their order. Errors: `SemconError` for other files."""
        gauges = {_gauges(path): path for path in paths}
        if len(gauges) != 1:
            raise SemconError(f"one table has one set of gauges, found {len(gauges)}: parts of different audits?")
        own = next(iter(gauges))
        try:
            whole = pl.scan_parquet(list(paths))
            known = whole.collect_schema().names()
            image_columns = [*cls.image_schema(own), *of_images(known)]
            row_columns = [*cls.row_schema(own), *of_rows(known)]
            images = whole.filter(pl.col("perturbation").is_null()).select(image_columns)
            rows = whole.filter(pl.col("perturbation").is_not_null()).select(row_columns)
            return cls(images.collect(), rows.collect(), own)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise _unreadable(paths[0], error) from None

    def joined(self) -> pl.DataFrame:
        """The rows with what belongs to their image beside them, clean columns named `clean_prediction` and so on."""
        images = self.images.rename({"prediction": "clean_prediction", "confidence": "clean_confidence"})
        return self.rows.join(images, on="position", how="left")


def of_images(columns: Sequence[str]) -> Schema:
    """The types of those columns of images that only some evaluations have."""
    return _present(OF_IMAGES, OF_MAPS, columns)


def of_rows(columns: Sequence[str]) -> Schema:
    """The same of rows."""
    return _present(OF_ROWS, OF_COPIES, columns)


def _present(schema: Schema, quantities: tuple[str, ...], columns: Sequence[str]) -> Schema:
    known = {name: kind for name, kind in schema.items() if name in columns}
    return known | dict.fromkeys(explained(columns, quantities), pl.Float32)


def _gauges(path: Path) -> tuple[GaugeInfo, ...]:
    try:
        text = pl.read_parquet_metadata(path).get("semcon.gauges")
        if text is None:
            raise SemconError(f"{path} was not written by semcon: it names no gauges")
        return tuple(GaugeInfo(**plain) for plain in json.loads(text))
    except (OSError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> SemconError:
    return SemconError(f"cannot read the rows in {path}: {error}. Audit again")
