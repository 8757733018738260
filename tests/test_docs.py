"""What the documents show works. Oracles: the programs themselves."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch

from semcon.cli import app
from semcon.core.registry import KINDS, available

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_the_readme_shows_the_example_that_runs() -> None:
    code = (ROOT / "examples" / "audit_a_model.py").read_text("utf-8").split('"""', 2)[2].strip()
    assert f"```python\n{code}\n```" in README


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leaves the report it promises."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    runpy.run_path(str(example), run_name="__main__")
    assert "<!doctype html>" in (tmp_path / "report.html").read_text("utf-8").lower()


@pytest.mark.parametrize("page", ["README.md", "docs/gate.md", "docs/compare.md"])
def test_every_command_shown_is_understood(page: str) -> None:
    """Parsed as the program parses it; nothing is run."""
    text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
    commands = [line.strip() for line in text.splitlines() if line.strip().startswith("semcon ")]
    assert commands
    for command in commands:
        words = shlex.split(command.split(" || ")[0])[1:]
        app.parse_args(words, exit_on_error=False, print_error=False)


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_of_figures_is_current() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_figures_page.py"))["page"]()
    assert (ROOT / "docs" / "figures.md").read_text("utf-8") == page, "run python docs/make_figures_page.py"


def test_counts_in_the_readme_are_true() -> None:
    words = {"nineteen": "perturbations", "Sixteen": "checks"}
    numbers = {"nineteen": 19, "Sixteen": 16}
    for word, kind in words.items():
        assert re.search(rf"{word}[ \n\[]+{kind}", README)
        assert len(available(kind)) == numbers[word]
    assert set(words.values()) <= set(KINDS)
