"""Weights go back into the form they came in: keys, dtypes, nesting, metadata and other entries."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from semcon.core.errors import SemconError
from semcon.weights import load_weights, save_like


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def same(one: nn.Module, two: nn.Module, tolerance: float = 0.0) -> bool:
    state = two.state_dict()
    return all(
        torch.allclose(value, state[key], rtol=tolerance, atol=tolerance) for key, value in one.state_dict().items()
    )


def there_and_back(original: Path, target: Path, mended: nn.Module, tolerance: float = 0.0) -> None:
    """Oracle: loading what was saved gives the network."""
    load_weights(network(5), str(original))
    save_like(mended, original, target)
    again = network(6)
    load_weights(again, str(target))
    assert same(mended, again, tolerance)


def test_safetensors_keep_prefix_metadata_and_dtype(tmp_path: Path) -> None:
    """Oracle: the original file's keys, dtypes and metadata."""
    state = {f"module.{k}": v.half() if v.is_floating_point() else v for k, v in network(0).state_dict().items()}
    save_file(state, tmp_path / "a.safetensors", {"format": "pt", "note": "mine"})
    there_and_back(tmp_path / "a.safetensors", tmp_path / "b.safetensors", network(1), 1e-3)
    written = load_file(tmp_path / "b.safetensors")
    assert {k: v.dtype for k, v in written.items()} == {k: v.dtype for k, v in state.items()}
    with safe_open(tmp_path / "b.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "mine"}


def test_a_pickle_keeps_its_nesting_its_other_entries_and_its_versions(tmp_path: Path) -> None:
    """Oracle: the original content with other tensors; `_metadata` is what `load_state_dict` reads versions from."""
    state = network(0).state_dict()
    content: dict[str, Any] = {"epoch": 7, "state_dict": state, "optimizer": {"lr": [0.1], "m": torch.ones(2)}}
    torch.save(content, tmp_path / "a.pth.tar")
    mended = network(1)
    there_and_back(tmp_path / "a.pth.tar", tmp_path / "b.tar", mended)
    written = torch.load(tmp_path / "b.tar", weights_only=True)
    assert list(written) == ["epoch", "state_dict", "optimizer"]
    assert written["epoch"] == 7
    assert torch.equal(written["optimizer"]["m"], torch.ones(2))
    assert isinstance(written["state_dict"], OrderedDict)
    assert written["state_dict"]._metadata == state._metadata  # type: ignore[attr-defined]
    assert list(written["state_dict"]) == list(state)


def test_older_files_without_counters_stay_without(tmp_path: Path) -> None:
    """Oracle: the keys."""
    state = {k: v for k, v in network(0).state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save({"net": {"model": state}}, tmp_path / "a.pt")
    there_and_back(tmp_path / "a.pt", tmp_path / "b.pt", network(1))
    assert list(torch.load(tmp_path / "b.pt")["net"]["model"]) == list(state)


def test_what_the_dtype_cannot_hold_is_refused(tmp_path: Path) -> None:
    """Oracle: the message; no file."""
    torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in network(0).state_dict().items()}, tmp_path / "a.pt"
    )
    mended = network(1)
    with torch.no_grad():
        mended[3].bias[0] = 1e6
    with pytest.raises(SemconError, match=r"3.bias holds numbers too large for float16"):
        save_like(mended, tmp_path / "a.pt", tmp_path / "b.pt")
    assert not (tmp_path / "b.pt").exists()


def test_the_network_is_not_shared_with_what_was_written(tmp_path: Path) -> None:
    """Oracle: the original file is untouched, and so is the network."""
    torch.save(network(0).state_dict(), tmp_path / "a.pt")
    before, mended = (tmp_path / "a.pt").read_bytes(), network(1)
    save_like(mended, tmp_path / "a.pt", tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == before
    assert same(mended, network(1))
