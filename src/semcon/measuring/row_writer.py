"""From tensors to rows: what was measured of one batch, in the table's schema."""

from __future__ import annotations

import polars as pl
import torch
from torch import Tensor

from semcon.core.record import GaugeInfo
from semcon.core.table import SampleTable, of_rows
from semcon.loading import Batch
from semcon.measuring.image_rows import not_finite, nullable


class RowWriter:
    """The rows of one batch: `add` copies and `critical` severities, then `frame`. Kept on the device, fetched once."""

    def __init__(self, infos: tuple[GaugeInfo, ...], batch: Batch, extras: tuple[str, ...] = ()) -> None:
        """`extras`: columns that only some evaluations have."""
        self.infos, self.batch, self.extras = infos, batch, extras
        self.facts: list[tuple[str, float, str, int, str | None]] = []
        self.values: list[Tensor] = []
        self.criticals: list[tuple[str, Tensor, float]] = []

    def add(self, name: str, severity: float, draws: str, draw: int, method: str | None, values: Tensor) -> None:
        """A copy of every image. `values` (2 + 2 gauges + extras, B).

        Prediction, confidence, change and nearer by gauge, then the extras, NaN where they are not measured.
        """
        self.facts.append((name, severity, draws, draw, method))
        self.values.append(values)

    def critical(self, name: str, severity: Tensor, censored_at: float) -> None:
        """The critical severity of every image, (B,), infinite where none was found up to `censored_at`."""
        self.criticals.append((name, severity, float(censored_at)))

    def frame(self) -> pl.DataFrame:
        """The rows of this batch, in the table's schema."""
        positions = self.batch.positions.tolist()
        labelled = self.batch.labels.numpy() >= 0
        frames: list[pl.DataFrame] = []
        fetched = torch.stack(self.values).cpu() if self.values else torch.zeros(0)
        for (name, severity, draws, draw, method), values in zip(self.facts, fetched, strict=True):
            columns: dict[str, object] = {"position": positions}
            columns["prediction"], columns["confidence"] = values[0].to(torch.int64).numpy(), values[1].numpy()
            for number, info in enumerate(self.infos):
                change = values[2 + 2 * number]
                if not bool(change.isfinite().all()):
                    when = f"under {name} at severity {severity:g}"
                    raise not_finite(self.batch, ~change.isfinite(), info.representation, when)
                columns[f"{info.name}.change"] = change.numpy()
                nearer = values[3 + 2 * number].to(torch.int64).numpy()
                columns[f"{info.name}.nearer"] = pl.Series(nearer).set(pl.Series(~labelled), None)
            for column, extra in zip(self.extras, values[2 + 2 * len(self.infos) :], strict=True):
                columns[column] = nullable(extra)
            frame = pl.DataFrame(columns).with_columns(
                perturbation=pl.lit(name), severity=pl.lit(float(severity)), draws=pl.lit(draws),
                draw=pl.lit(draw), method=pl.lit(method, dtype=pl.String),
            )  # fmt: skip
            frames.append(frame)
        for name, severity, censored_at in self.criticals:
            found = severity.double().cpu().numpy()
            column = pl.Series(found).set(pl.Series(found == float("inf")), None)
            frame = pl.DataFrame({"position": positions, "critical": column}).with_columns(
                perturbation=pl.lit(name), draws=pl.lit("critical"), draw=pl.lit(-1), censored_at=pl.lit(censored_at)
            )
            frames.append(frame)
        if not frames:
            return in_schema(pl.DataFrame(schema={"position": pl.Int64}), self.infos, self.extras)
        return in_schema(pl.concat(frames, how="diagonal"), self.infos, self.extras)


def in_schema(rows: pl.DataFrame, infos: tuple[GaugeInfo, ...], extras: tuple[str, ...] = ()) -> pl.DataFrame:
    """Rows with some of the table's columns as rows with all of them; the rest is null. `extras`: further ones."""
    schema = SampleTable.row_schema(infos) | of_rows(extras)
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in schema.items() if name not in rows.columns]
    return rows.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in schema.items())
