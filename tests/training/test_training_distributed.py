"""A whole training by two processes, as a user starts it: by `devices`, and by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys
from semcon.recipes.train import train
train({"model": "network:digits", "data": "builtin:mnist5k", "perturb": "gaussian_noise:0.2", "steps": 25,
       "batch_size": 32, "share": 0.25, "device": "cpu", "devices": 2, "limit": 200}, out=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("start", [[], ["-m", "torch.distributed.run", "--nproc-per-node", "2"]])
def test_two_processes_make_one_run(tmp_path: Path, start: list[str]) -> None:
    """Oracle: the documented contract: one folder, every line of metrics once, finite weights that learned."""
    pytest.importorskip("mlxtend")
    (tmp_path / "go.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, *start, str(tmp_path / "go.py"), str(tmp_path / "run")], cwd=tmp_path, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in told] == [20, 25]
    assert not (tmp_path / "run.partial").exists()
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
