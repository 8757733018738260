"""`SampleTable`: one row per image, and one per image, perturbation, severity and draw. Polars, no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from semcon.core.errors import SemconError
from semcon.core.record import GaugeInfo


@dataclass(frozen=True)
class SampleTable:
    """`images`: what belongs to an image. `rows`: what belongs to a copy. `gauges`: the column families.

    Images: position, sample (id; equal for duplicates), title, label, prediction, confidence, gradient_norm,
    reference, others; per gauge G `G.spread`, `G.within`. Rows: position, perturbation, severity, draws (random,
    worst_change, worst_flip, critical), draw, method, prediction, confidence (of the class predicted on the untouched
    image), critical, censored_at; per gauge `G.change`, `G.nearer`.
    """

    images: pl.DataFrame
    rows: pl.DataFrame
    gauges: tuple[GaugeInfo, ...]

    def __post_init__(self) -> None:
        for frame, schema in ((self.images, self.image_schema(self.gauges)), (self.rows, self.row_schema(self.gauges))):
            different = [name for name, kind in schema.items() if frame.schema.get(name) != kind]
            if different:
                name = different[0]
                raise SemconError(f"column {name!r} of the table must be {schema[name]}, is {frame.schema.get(name)}")

    @staticmethod
    def image_schema(gauges: Sequence[GaugeInfo]) -> dict[str, pl.DataType | type[pl.DataType]]:
        """Column types of `images`."""
        spreads = {f"{gauge.name}.{part}": pl.Float32 for gauge in gauges for part in ("spread", "within")}
        return {
            "position": pl.Int64, "sample": pl.Int64, "title": pl.String, "label": pl.Int32, "prediction": pl.Int32,
            "confidence": pl.Float32, "gradient_norm": pl.Float32, "reference": pl.Boolean, "others": pl.Int32,
            **spreads,
        }  # fmt: skip

    @staticmethod
    def row_schema(gauges: Sequence[GaugeInfo]) -> dict[str, pl.DataType | type[pl.DataType]]:
        """Column types of `rows`."""
        schema: dict[str, pl.DataType | type[pl.DataType]] = {
            "position": pl.Int64, "perturbation": pl.String, "severity": pl.Float64, "draws": pl.String,
            "draw": pl.Int16, "method": pl.String, "prediction": pl.Int32, "confidence": pl.Float32,
            "critical": pl.Float64, "censored_at": pl.Float64,
        }  # fmt: skip
        for gauge in gauges:
            schema[f"{gauge.name}.change"] = pl.Float32
            schema[f"{gauge.name}.nearer"] = pl.Int32
        return schema

    @classmethod
    def concat(cls, parts: Sequence[SampleTable]) -> SampleTable:
        """Parts of one audit as a whole. Errors: `SemconError` where their gauges differ."""
        if any(part.gauges != parts[0].gauges for part in parts):
            raise SemconError("these parts of a table have different gauges")
        images = pl.concat([part.images for part in parts])
        return cls(images, pl.concat([part.rows for part in parts]), parts[0].gauges)

    def save(self, path: Path) -> None:
        """One Parquet file: the rows without a perturbation are the images; the gauges are in its metadata."""
        whole = pl.concat([self.images, self.rows], how="diagonal_relaxed")
        gauges = json.dumps([gauge.model_dump() for gauge in self.gauges])
        whole.write_parquet(path, compression="zstd", metadata={"semcon.gauges": gauges})

    @classmethod
    def load(cls, path: Path) -> SampleTable:
        """The table of a file. Errors: `SemconError` where it is no table of semcon's."""
        try:
            text = pl.read_parquet_metadata(path).get("semcon.gauges")
            whole = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise SemconError(f"cannot read the rows in {path}: {error}") from None
        if text is None:
            raise SemconError(f"{path} was not written by semcon: it names no gauges")
        gauges = tuple(GaugeInfo(**plain) for plain in json.loads(text))
        images = whole.filter(pl.col("perturbation").is_null()).select(list(cls.image_schema(gauges)))
        rows = whole.filter(pl.col("perturbation").is_not_null()).select(list(cls.row_schema(gauges)))
        return cls(images, rows, gauges)

    def joined(self) -> pl.DataFrame:
        """The rows with what belongs to their image beside them, clean columns named `clean_prediction` and so on."""
        images = self.images.rename({"prediction": "clean_prediction", "confidence": "clean_confidence"})
        return self.rows.join(images, on="position", how="left")
