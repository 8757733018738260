"""From a batch to the table's image rows: what belongs to an image, whatever was done to its copies."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from torch import Tensor

from semcon.core.errors import SemconError
from semcon.core.record import GaugeInfo
from semcon.core.table import SampleTable, of_images
from semcon.loading import Batch
from semcon.report.numbers import counted


def image_frame(
    batch: Batch, prediction: Tensor, confidence: Tensor, columns: Mapping[str, object],
    infos: tuple[GaugeInfo, ...] = (),
) -> pl.DataFrame:  # fmt: skip
    """The images in the table's schema; `prediction`, `confidence` (B,); `columns`: the others, null where missing.

    Without references the column `reference` is false. Errors: `SemconError` naming the images for which the model's
    output, and so its confidence, is not finite.
    """
    if not bool(confidence.isfinite().all()):
        raise not_finite(batch, ~confidence.isfinite(), "logits", "untouched")
    schema = SampleTable.image_schema(infos) | of_images(list(columns))
    given: dict[str, object] = {
        "position": batch.positions.tolist(),
        "sample": batch.ids.tolist(),
        "title": list(batch.titles),
        "label": [label if label >= 0 else None for label in batch.labels.tolist()],
        "prediction": prediction.cpu().numpy(),
        "confidence": confidence.float().cpu().numpy(),
        "reference": [False] * len(batch.x),
    }
    whole = {name: columns.get(name, given.get(name)) for name in schema}
    return pl.DataFrame(whole, schema_overrides=schema, strict=False)


def nullable(values: Tensor) -> pl.Series:
    """(B,) as a column, NaN as null."""
    return pl.Series(values.float().cpu().numpy()).fill_nan(None)


def not_finite(batch: Batch, bad: Tensor, representation: str, when: str) -> SemconError:
    """The error that names the images of a batch for which a representation is not finite: (B,) bool."""
    titles = [title for title, wrong in zip(batch.titles, bad.tolist(), strict=True) if wrong]
    shown = ", ".join(titles[:5]) + (f" and {len(titles) - 5} more" if len(titles) > 5 else "")
    what = "the model's output" if representation in ("logits", "probabilities") else f"the layer {representation!r}"
    return SemconError(
        f"{what} is NaN or infinite for {counted(len(titles), 'image')} {when}: {shown}. "
        "Expected finite numbers; look at these images, the weights and the normalisation (--mean --std), "
        "or choose other --layers."
    )
