"""Checkpoints: whole or not at all; metrics without doubles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from semcon.core.errors import SemconError
from semcon.core.files import write_whole
from semcon.training.checkpoint import Checkpoint, Metrics


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    """Oracle: identity, on tensors, numbers and nested plain values; none before the first."""
    one = Checkpoint(tmp_path / "c.pt")
    assert one.read() is None
    state = {"step": 7, "x": torch.rand(3, dtype=torch.float64), "log": (2, {"loss": torch.tensor(1.5)}), "none": None}
    one.write(state)
    other = Checkpoint(tmp_path / "c.pt")
    found = other.read()
    assert found is not None
    assert other.step == one.step == 7
    assert torch.equal(found["x"], state["x"])
    assert found["log"] == (2, {"loss": torch.tensor(1.5)})
    assert not list(tmp_path.glob("*.tmp"))


def test_a_write_that_fails_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the bytes from before, whichever call the disk refuses; the message says what to do."""
    path = tmp_path / "c.pt"
    Checkpoint(path).write({"step": 1})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(SemconError, match=r"cannot write .*c.pt: No space left on device. Make room"):
                Checkpoint(path).write({"step": 2})
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["c.pt"]


def test_a_file_is_under_its_name_only_when_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the order of the system's calls: file synced, renamed, folder synced."""
    calls: list[str] = []
    for call in ("fsync", "replace"):
        own = getattr(os, call)
        monkeypatch.setattr(os, call, lambda *a, own=own, call=call: (calls.append(call), own(*a))[1])
    write_whole(tmp_path / "f", b"content")
    assert calls == ["fsync", "replace", "fsync"]
    assert (tmp_path / "f").read_bytes() == b"content"


def test_metrics_are_cut_to_what_a_checkpoint_knows(tmp_path: Path) -> None:
    """Oracle: the lines before; numbers that are not finite become null; a size beyond the file (a power cut took the
    rest) leaves whole lines only.
    """
    metrics = Metrics(tmp_path / "m.jsonl")
    metrics.write({"step": 1, "loss": float("nan"), "weights": {"a": float("inf"), "b": 2.0}})
    size = metrics.size
    metrics.write({"step": 2})
    assert metrics.size == (tmp_path / "m.jsonl").stat().st_size
    again = Metrics(tmp_path / "m.jsonl")
    again.cut(size)
    text = '{"step": 1, "loss": null, "weights": {"a": null, "b": 2.0}}\n'
    assert (tmp_path / "m.jsonl").read_text() == text
    again.write({"step": 2})
    assert (tmp_path / "m.jsonl").read_text() == text + '{"step": 2}\n'
    os.truncate(tmp_path / "m.jsonl", len(text) + 5)
    again.cut(size + 1000)
    assert (tmp_path / "m.jsonl").read_text() == text
    assert again.size == size
    missing = Metrics(tmp_path / "none.jsonl")
    missing.cut(5)
    assert missing.size == 0
