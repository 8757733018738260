"""What the documents show works. Oracles: the programs themselves."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from semcon import demo
from semcon.cli.main import app
from semcon.core.record import Estimate, Finding, Record
from semcon.core.registry import KINDS
from semcon.report.meanings import MEANINGS
from semcon.torchvision_import import import_torchvision

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CONVENTIONS = (ROOT / "docs" / "conventions.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_the_readme_shows_the_example_that_runs() -> None:
    code = (ROOT / "examples" / "audit_a_model.py").read_text("utf-8").split('"""', 2)[2].strip()
    assert f"```python\n{code}\n```" in README


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each leaves the report that it speaks of, and the others say what they found."""
    if "lightning" in example.stem:
        import_torchvision()  # beside a torch of another build it fails to import, and torchmetrics imports it
        pytest.importorskip("pytorch_lightning")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    runpy.run_path(str(example), run_name="__main__")
    if "report.html" in example.read_text("utf-8"):
        assert "<!doctype html>" in (tmp_path / "report.html").read_text("utf-8").lower()
    else:
        assert re.search(r"loss|continuity", capsys.readouterr().out)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/gate.md", "docs/compare.md", "docs/training.md", "docs/evaluations.md"]
)
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


def test_the_readme_tells_one_accuracy_of_each_network_of_the_demo() -> None:
    """In the first lines, the opening sentence and the table. Oracle: the table's figures."""
    standard, continuous = re.findall(r"random draw, accuracy (0\.\d+)", README)
    (row,) = re.findall(
        r"^untouched +standard network +(0\.\d+).*\n +continuous network +(0\.\d+)", README, re.MULTILINE
    )
    (told,) = re.findall(r"from (0\.\d+)\s+to (0\.\d+); \d+ images better", README)
    assert (standard, continuous) == row == told


def test_the_readme_says_where_the_demo_writes() -> None:
    """Where the program writes without --out, and git leaves it alone."""
    (shown,) = re.findall(r"^\./scripts/demo .* writes (\S+)$", README, re.MULTILINE)
    assert Path(shown) == demo.FOLDER / "report.html"
    assert f"`{demo.FOLDER}-2`" in README
    assert {f"/{demo.FOLDER}/", f"/{demo.FOLDER}-*/"} <= set((ROOT / ".gitignore").read_text("utf-8").split())


def test_every_section_of_the_conventions_names_tests_that_exist() -> None:
    _, *sections = CONVENTIONS.split("\n## ")
    for section in sections:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", section.partition("\nTests: ")[2])
        assert named, section.partition("\n")[0]
        for path, name in named:
            assert f"\ndef {name}" in (ROOT / path).read_text("utf-8"), f"{path}::{name}"


def test_the_conventions_name_what_the_json_holds(make_record: Callable[[list[Estimate]], Record]) -> None:
    """Oracles: the words beside the report's figures, and the record's own fields."""
    quantities, json = (
        next(part for part in CONVENTIONS.split("\n## ") if part.startswith(name)) for name in ("Quantities", "JSON")
    )
    assert set(re.findall(r"^\| `(\w+)` \|", quantities, re.MULTILINE)) == {one.quantity for one in MEANINGS}
    named = set(re.findall(r"`(\w+)`", json))
    assert set(make_record([]).to_json()) - {"gallery"} <= named
    assert {*Estimate.model_fields, *Finding.model_fields} <= named


def test_the_page_of_figures_is_current() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_figures_page.py"))["page"]()
    assert (ROOT / "docs" / "figures.md").read_text("utf-8") == page, "run python docs/make_figures_page.py"


def test_the_readme_counts_no_open_folder() -> None:
    """A new file must not make it untrue. Oracle: the words for one to twenty beside a kind."""
    words = (
        "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty"
    )
    counted = rf"\b(?:{words}|\d+)\s+\[?(?:{'|'.join(KINDS)})\b"
    shown = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    assert re.findall(counted, shown, re.IGNORECASE) == []


@pytest.fixture(scope="module")
def contributed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the file that CONTRIBUTING shows, under the name it gives."""
    copy = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("src", "tests", "docs", "scripts", "examples", "benchmarks"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for file in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / file, copy)
    (path,) = re.findall(r"1\. Write `([^`]+)`", CONTRIBUTING)
    (code,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)
    (copy / path).write_text(textwrap.dedent("   " + code.lstrip()), "utf-8")
    return copy


def does(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`python ...` in a checkout, with its own semcon."""
    path = os.pathsep.join(filter(None, (str(checkout / "src"), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *words], cwd=checkout, env=environment, check=False, capture_output=True, text=True
    )


def test_the_perturbation_of_contributing_keeps_the_contract(contributed: Path) -> None:
    """Steps 1 and 3, as they are written."""
    (command,) = re.findall(r"3\. Run `(pytest [^`]+)`", CONTRIBUTING)
    done = does(contributed, "-m", *shlex.split(command), "-k", "fade", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\.{20}", done.stdout)


@pytest.mark.slow
def test_contributing_leaves_every_page_true(contributed: Path) -> None:
    """Step 2 as it is written; then all tests of documents, stubs and catalogue hold."""
    (line,) = re.findall(r"^2\. Run .*$", CONTRIBUTING, re.MULTILINE)
    for command in re.findall(r"`python ([^`]+)`", line):
        done = does(contributed, *shlex.split(command))
        assert done.returncode == 0, done.stderr
    pages = ("tests/test_docs.py", "tests/test_catalogue.py", "tests/architecture")
    done = does(contributed, "-m", "pytest", *pages, "-k", "not contributing", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
