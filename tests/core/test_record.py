"""The record: there and back, no NaN, and what a wrong folder gets."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from semcon.core.errors import SemconError
from semcon.core.record import SCHEMA, Estimate, ProfileRow, read_record, write_record

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
ESTIMATES = st.builds(
    Estimate, perturbation=st.none() | st.text(), severity=NUMBERS, draws=st.sampled_from(["random", "worst"]),
    representation=st.none() | st.text(), distance=st.none() | st.text(), quantity=st.text(), subset=st.text(),
    statistic=st.sampled_from(["mean", "ratio", "median"]), mean=NUMBERS, low=NUMBERS, high=NUMBERS,
    samples=st.integers(0, 10**9), censored=NUMBERS, reason=st.none() | st.text(),
)  # fmt: skip
PLAIN = {
    "perturbation": "noise", "severity": 1.0, "draws": "random", "representation": None, "distance": None,
    "quantity": "flip", "subset": "all", "statistic": "mean", "mean": 0.5, "low": 0.4, "high": 0.6, "samples": 3,
}  # fmt: skip


@given(ESTIMATES)
def test_an_estimate_survives_json(estimate):
    """Invariant: every float, every text."""
    text = json.dumps(estimate.model_dump(mode="json"), allow_nan=False)
    assert Estimate.model_validate(json.loads(text)) == estimate


def test_a_record_survives_its_folder(tmp_path, make_record):
    record = make_record([Estimate(**PLAIN), Estimate(**{**PLAIN, "mean": None, "reason": "Ñandú 鳥"})])
    assert write_record(record, tmp_path) == tmp_path / "record.json"
    assert read_record(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_the_json_has_the_contracts_keys(make_record):
    """The issue's contract: keys of the record and of an estimate."""
    plain = make_record([Estimate(**PLAIN)]).to_json()
    assert plain["schema"] == SCHEMA == 1
    assert {"subject", "data", "estimates", "findings"} <= set(plain)
    assert set(plain["estimates"][0]) == {*PLAIN, "censored", "reason"}
    assert set(plain["findings"][0]) == {"code", "severity", "message", "remedy"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValidationError):
        Estimate(**{**PLAIN, "mean": value})
    with pytest.raises(ValidationError):
        ProfileRow(family="noise", quantity="flip", mean=0.1, low=value, high=0.2, samples=1, perturbations=("noise",))


def test_wrong_folders_are_told_apart(tmp_path, make_record):
    """No run; an unfinished run beside it; a newer schema; damage, with its place."""
    with pytest.raises(SemconError, match=r"is no run folder: it has no record\.json"):
        read_record(tmp_path / "run")
    (tmp_path / "run.partial").mkdir()
    with pytest.raises(SemconError, match="--resume"):
        read_record(tmp_path / "run")
    run = tmp_path / "run"
    run.mkdir()
    path = write_record(make_record([Estimate(**PLAIN)]), run)
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"schema": SCHEMA + 1}))
    with pytest.raises(SemconError, match=f"schema {SCHEMA + 1}"):
        read_record(run)
    for text in ("", "[]", '"run"', "{}", path.read_text()[:-20]):
        path.write_text(text)
        with pytest.raises(SemconError, match="damaged"):
            read_record(run)
    whole["estimates"][0]["samples"] = "many"
    path.write_text(json.dumps(whole))
    with pytest.raises(SemconError, match=r"damaged at estimates\.0\.samples"):
        read_record(run)


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path, make_record, monkeypatch):
    """Invariant: whole or not at all. The disk fails while the new one is written."""
    old = make_record([Estimate(**PLAIN)])
    write_record(old, tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(SemconError, match="No space left"):
        write_record(make_record([]), tmp_path)
    monkeypatch.undo()
    assert read_record(tmp_path) == old
