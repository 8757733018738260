"""Every open folder's stub lists exactly the classes that load from it. Oracle: the registry."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from semcon.core.registry import KINDS, PACKAGE, class_name

SCRIPT = Path(__file__).parents[2] / "scripts" / "stubs.py"


@pytest.fixture(scope="module")
def stubs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stubs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_stub_is_current(stubs: ModuleType) -> None:
    assert not stubs.outdated(), "run python scripts/stubs.py"


@pytest.mark.parametrize("kind", KINDS)
def test_a_stub_names_every_file_of_its_folder(kind: str) -> None:
    tree = ast.parse((PACKAGE / kind / "__init__.pyi").read_text("utf-8"))
    exported = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    files = {path.stem for path in (PACKAGE / kind).glob("*.py") if not path.stem.startswith("_")}
    assert exported == {class_name(stem) for stem in files}


def test_a_file_without_its_class_is_refused(stubs: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "sepia.py").write_text("class Sepio: ...\n")
    with pytest.raises(SystemExit, match="must define the class Sepia"):
        stubs.stub(tmp_path)
