"""`RunRecord`: a finished run, to show, tabulate, report and read again; without torch, without the model."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal

import polars as pl
from rich.console import Console

from semcon.core.errors import MissingPackageError, SemconError, UnknownNameError
from semcon.core.record import Record, read_record
from semcon.core.table import SampleTable
from semcon.report.html import render
from semcon.report.numbers import interval, number
from semcon.report.reading import FAMILIES, Reading, readings
from semcon.report.text import show

_NAMED = ("quantity", "perturbation", "subset", "draws")


@dataclass(frozen=True)
class RunRecord:
    """The record of a run and the folder it lies in: `record.json`, `rows.parquet`, `gallery/`, `report.html`.

    `evaluation`: which one this is the record of; each has a table of its own. `keeper`: what must live as long as the
    record (a temporary folder).
    """

    record: Record = field(repr=False)
    folder: Path
    evaluation: str = "continuity"
    keeper: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, folder: str | Path) -> RunRecord:
        """A run from its folder. Errors: `SemconError` where it is none, is damaged, or newer than this version."""
        return cls(read_record(Path(folder)), Path(folder))

    @cached_property
    def samples(self) -> SampleTable:
        """The rows as they were measured, read when first wanted."""
        return SampleTable.load(self.folder / table_file(self.evaluation))

    @property
    def evaluations(self) -> tuple[str, ...]:
        """The names of what was evaluated, continuity first."""
        own = (self.evaluation,) if self.record.settings.perturbations else ()
        return (*own, *(one.name for one in self.record.evaluations))

    def of(self, evaluation: str) -> RunRecord:
        """This run as if it had made one evaluation alone: its estimates, rows, perturbations.

        Errors: `UnknownNameError` for one that was not made.
        """
        if evaluation == self.evaluation and (evaluation != "continuity" or evaluation in self.evaluations):
            return self
        if evaluation not in self._parts:
            self._parts[evaluation] = replace(self, record=self.record.evaluation(evaluation), evaluation=evaluation)
        return self._parts[evaluation]

    @cached_property
    def _parts(self) -> dict[str, RunRecord]:
        """Its evaluations asked for so far, so that each table is read once."""
        return {}

    def limited(self, evaluations: Collection[str]) -> RunRecord:
        """This run as if it had made only these evaluations."""
        return replace(self, record=self.record.limited(evaluations, continuity=self.evaluation in evaluations))

    def rows(self) -> pl.DataFrame:
        """One row per image, perturbation, severity and draw, with what belongs to the image beside it."""
        return self.samples.joined()

    def table(
        self,
        quantity: str | None = None,
        *,
        perturbation: str | None = None,
        subset: str | None = None,
        draws: str | None = None,
    ) -> pl.DataFrame:
        """The estimates, one a row, with 95 % intervals; those of one quantity, perturbation, subset or kind of draw.

        Errors: `UnknownNameError` for a name that this record does not hold.
        """
        frame = pl.DataFrame([estimate.model_dump() for estimate in self.record.estimates], infer_schema_length=None)
        for name, wanted in zip(_NAMED, (quantity, perturbation, subset, draws), strict=True):
            if wanted is None:
                continue
            known = frame[name].drop_nulls().unique().to_list()
            if wanted not in known:
                raise UnknownNameError(f"{name} in the evaluation {self.evaluation}{self._elsewhere}", wanted, known)
            frame = frame.filter(pl.col(name) == wanted)
        return frame

    @property
    def _elsewhere(self) -> str:
        others = [one.name for one in self.record.evaluations]
        return f" (record.of({others[0]!r}) has its own)" if others else ""

    def metric_frame(self, quantity: Literal["accuracy", "flip"] = "accuracy") -> Any:
        """The images by their groups as a fairlearn `MetricFrame`, of the evaluation `group_gap`.

        `flip`: of all copies. Errors: `MissingPackageError` without fairlearn; `SemconError` for a run without groups.
        """
        images = self.samples.images
        if "groups" not in images.columns:
            raise SemconError(f"the evaluation {self.evaluation} knows no groups: record.of('group_gap')")
        try:
            from fairlearn.metrics import MetricFrame
        except ImportError:
            raise MissingPackageError("fairlearn", "fairness", "metric_frame") from None
        rows = images if quantity == "accuracy" else self.rows().filter(pl.col("perturbation").is_not_null())
        first, second = ("label", "prediction") if quantity == "accuracy" else ("clean_prediction", "prediction")
        groups = [json.loads(text) for text in rows["groups"].to_list()]
        features = {name: [row[name] for row in groups] for name in groups[0]}
        wanted = (rows[first] == rows[second]) if quantity == "accuracy" else (rows[first] != rows[second])
        return MetricFrame(
            metrics={quantity: lambda y_true, y_pred: float(y_pred.mean())}, y_true=wanted.to_numpy(),
            y_pred=wanted.to_numpy(), sensitive_features=features,
        )  # fmt: skip

    def show(self) -> None:
        """Print the profile, what suffers most, the findings and the verdict."""
        show(Console(), self.reading())

    def reading(self) -> list[Reading]:
        """This run as the reports read it."""
        return readings([(self.record, self.folder)])

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, one self-contained page, and say where.

        `path`: a folder, or a file ending in .html; the run's own folder by default. Errors: `SemconError` where it
        cannot be written.
        """
        return write_page(render(self.reading()), _page_path(path or self.folder))

    def to_json(self) -> dict[str, Any]:
        """The contract of `--json`: schema, subject, data, estimates, findings, and with them all but the gallery."""
        plain = self.record.to_json()
        del plain["gallery"]
        return plain

    def _repr_html_(self) -> str:
        """A small table for notebooks: the profile."""
        (run,) = self.reading()
        quantities = ("relative_change", "flip", "accuracy")
        if not run.families:
            told = "".join(f"<p>{escape(part)}</p>" for one in self.record.evaluations for part in one.verdict)
            return f"<p><b>{escape(run.label)} on {escape(self.record.data.name)}</b></p>{told}"
        rows = "".join(
            f"<tr><th>{escape(FAMILIES.get(family, family))}</th>"
            + "".join(f"<td>{_brief(run, family, quantity)}</td>" for quantity in quantities)
            + "</tr>"
            for family in run.families
        )
        head = "<tr><th></th><th>relative change</th><th>flips</th><th>accuracy</th></tr>"
        caption = f"{escape(run.label)} on {escape(self.record.data.name)}"
        return f"<table><caption>{caption}</caption>{head}{rows}</table>"


def table_file(evaluation: str) -> str:
    """Where a run folder keeps the rows of an evaluation."""
    return "rows.parquet" if evaluation == "continuity" else f"{evaluation}.parquet"


def write_page(page: str, path: Path) -> Path:
    """A page under its name, whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(page.encode("utf-8", "replace"))
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise SemconError(f"cannot write the report {path}: {error.strerror}. Choose another --out") from None
    return path


def _page_path(path: str | Path) -> Path:
    target = Path(path)
    return target if target.suffix in (".html", ".htm") else target / "report.html"


def _brief(run: Reading, family: str, quantity: str) -> str:
    found = run.family(family, quantity)
    if found is None or found.mean is None:
        return "–"
    return f"{number(found.mean)} {interval(found.low, found.high, found.mean)}"
