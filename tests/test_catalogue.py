"""The page of perturbations says what the code says, and its pictures are there. Oracle: the classes themselves."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from semcon.core.registry import available, load

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def catalogue() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_catalogue", DOCS / "make_catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(catalogue: ModuleType) -> None:
    assert (DOCS / "catalogue.md").read_text("utf-8") == catalogue.page(), "run python docs/make_catalogue.py"


def test_every_perturbation_has_its_row(catalogue: ModuleType) -> None:
    """Name, family, unit and ladder, read back from the Markdown."""
    page = (DOCS / "catalogue.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    by_name = {row[0].strip("`"): row for row in rows}
    assert set(by_name) == set(available("perturbations"))
    for name, row in by_name.items():
        kind = load("perturbations", name)
        assert row[1:3] == [kind.family, kind.unit]
        assert tuple(float(rung) for rung in row[6].split(", ")) == kind.ladder


def test_every_family_has_its_sheet(catalogue: ModuleType) -> None:
    """Each is small, belongs to the page, and shows what the code draws now, coded alike."""
    pytest.importorskip("sklearn")
    page, total = (DOCS / "catalogue.md").read_text("utf-8"), 0
    for family in {load("perturbations", name).family for name in available("perturbations")}:
        path = DOCS / f"catalogue_{family}.jpg"
        total += path.stat().st_size
        assert f"]({path.name})" in page
        files = path, io.BytesIO(catalogue.coded(catalogue.sheet(family)))
        stored, drawn = (np.asarray(Image.open(file), dtype=float) for file in files)
        assert stored.shape == drawn.shape
        rows, columns = (side // 48 for side in stored.shape[:2])
        blocks = np.abs(stored - drawn)[: rows * 48, : columns * 48].reshape(rows, 48, columns, 48, 3)
        assert blocks.mean((1, 3, 4)).max() < 5, "run python docs/make_catalogue.py (other Pillows differ by less)"
    assert total < 900_000
