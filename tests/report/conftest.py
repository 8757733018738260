"""Run folders made up for the tests of what people read."""

from __future__ import annotations

from pathlib import Path

import pytest

from report.synthetic import HOSTILE, run


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three perturbations, ten classes, random and worst."""
    return run(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with names that try to break the page."""
    return run(tmp_path_factory.mktemp("hostile"), classes=HOSTILE, name=HOSTILE[3])
