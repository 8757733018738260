"""A finished run, read again without torch. Oracle: the record it was saved from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from report.page import Page
from report.synthetic import HOSTILE, record, run
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.record import read_record
from semcon.core.table import SampleTable
from semcon.run_record import RunRecord


def test_a_run_is_what_was_saved(plain_run: Path) -> None:
    made = RunRecord.load(str(plain_run))
    assert made.record == read_record(plain_run)
    assert made.folder == plain_run


def test_the_table_holds_every_estimate(plain_run: Path) -> None:
    made = RunRecord.load(plain_run)
    assert made.table().to_dicts() == [estimate.model_dump() for estimate in made.record.estimates]
    some = made.table("flip", perturbation="gaussian_noise", subset="all", draws="worst")
    expected = [
        e.mean for e in made.record.estimates
        if (e.quantity, e.perturbation, e.subset, e.draws) == ("flip", "gaussian_noise", "all", "worst")
    ]  # fmt: skip
    assert some["mean"].to_list() == expected
    assert len(expected) == 5


def test_an_unknown_name_gets_the_nearest(plain_run: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean relative_change"):
        RunRecord.load(plain_run).table("relativ_change")


def test_the_json_contract(plain_run: Path) -> None:
    plain = json.loads(json.dumps(RunRecord.load(plain_run).to_json(), allow_nan=False))
    assert plain["schema"] == 1
    assert {"subject", "data", "estimates", "findings", "profile", "verdict", "settings"} <= set(plain)
    assert "gallery" not in plain
    keys = {
        "perturbation", "severity", "draws", "representation", "distance", "quantity", "subset", "statistic", "mean",
        "low", "high", "samples", "censored",
    }  # fmt: skip
    assert all(keys <= set(estimate) <= keys | {"reason"} for estimate in plain["estimates"])
    assert set(plain["findings"][0]) == {"code", "severity", "message", "remedy"}


def test_the_report_goes_where_it_is_wanted(tmp_path: Path) -> None:
    made = RunRecord.load(run(tmp_path / "run"))
    places = (made.report(), made.report(tmp_path / "new" / "folder"), made.report(tmp_path / "own.html"))
    assert places == (tmp_path / "run/report.html", tmp_path / "new/folder/report.html", tmp_path / "own.html")
    assert len({path.read_bytes() for path in places}) == 1
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_report_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    made = RunRecord.load(run(tmp_path / "run"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SemconError, match=r"cannot write the report .*: .*\. Choose another --out"):
        made.report(tmp_path / "file" / "report.html")


def _frame(schema: dict[str, Any], **columns: list[Any]) -> pl.DataFrame:
    """A frame of this schema; what is not given is null."""
    count = len(columns["position"])
    return pl.DataFrame({name: columns.get(name, [None] * count) for name in schema}, schema=schema)


def test_the_rows_are_read_when_wanted(tmp_path: Path) -> None:
    made = RunRecord.load(run(tmp_path))
    gauges = made.record.settings.gauges[:1]
    images = _frame(
        SampleTable.image_schema(gauges), position=[0, 1], sample=[7, 8], title=["a", "b"], label=[0, 1],
        prediction=[0, 0], confidence=[0.9, 0.6],
    )  # fmt: skip
    rows = _frame(
        SampleTable.row_schema(gauges), position=[1], perturbation=["hue"], severity=[0.1], draws=["random"],
        prediction=[1],
    )  # fmt: skip
    SampleTable(images, rows, gauges).save(tmp_path / "rows.parquet")
    (row,) = made.rows().to_dicts()
    assert (row["title"], row["clean_prediction"], row["prediction"], row["sample"]) == ("b", 0, 1, 8)


def test_show_prints_the_profile(plain_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunRecord.load(plain_run).show()
    text = capsys.readouterr().out
    assert "continuity profile" in text
    assert "ResNet-20 on cifar10/test" in text


def test_notebooks_get_an_escaped_table(hostile_run: Path) -> None:
    text = RunRecord.load(hostile_run)._repr_html_()
    assert text.startswith("<table>")
    assert HOSTILE[3] in Page(text).all("caption")[0].text
    assert "<img" not in text


def test_two_runs_with_equal_names_keep_their_own_records(tmp_path: Path) -> None:
    first, second = (RunRecord.load(run(tmp_path / name, sensitivity=s)) for name, s in (("a", 1.0), ("b", 0.5)))
    assert first != second
    assert first == RunRecord.load(tmp_path / "a")
    assert first.record.estimates != second.record.estimates


def test_reading_showing_and_reporting_need_no_torch(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    program = (
        "import sys; sys.modules['torch'] = None\n"  # importing torch raises ImportError
        "from semcon.run_record import RunRecord\n"
        f"made = RunRecord.load({str(folder)!r})\n"
        "made.show(); print(made.report()); made.to_json(); made.table('flip')\n"
        "heavy = {'torch', 'timm', 'torchvision', 'matplotlib'} & {name.partition('.')[0] for name in sys.modules}\n"
        "assert heavy == {'torch'}, heavy"
    )
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert str(folder / "report.html") in done.stdout
    assert (folder / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_a_record_of_the_future_is_refused(tmp_path: Path) -> None:
    folder = run(tmp_path)
    plain = record().to_json()
    (folder / "record.json").write_text(json.dumps({**plain, "schema": 99}))
    with pytest.raises(SemconError, match="schema 99"):
        RunRecord.load(folder)
