"""Shared fixtures: one thread per worker, the shared real data where they exist."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
DATA = Path(os.environ.get("SEMCON_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images and networks; tests that ask for it are marked `data`."""
    return DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by name, what this machine lacks."""
    for item in items:
        if "data" in item.keywords and not DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason="the shared real data are not here (SEMCON_DATA)"))
        if "slow" in item.keywords and not os.environ.get("SEMCON_SLOW"):
            item.add_marker(pytest.mark.skip(reason="slow: SEMCON_SLOW=1 runs it"))
