"""`semcon repair` as a user meets it: exit codes, data on stdout, the rest on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import repair_parts as parts
from semcon.cli.main import main
from semcon.repairing import run as repair_run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.py, weights.safetensors and 300 images in four folders."""
    root, data = parts.checkpoint(tmp_path_factory.mktemp("user")), parts.corners(300)
    for i in range(300):
        folder = root / "images" / str(i % 4)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.image(i)).save(folder / f"{i}.png")
    return root


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path) -> Run:
    """`semcon repair ...` in this process, in the user's folder: exit code, stdout, stderr."""
    monkeypatch.setattr(repair_run, "FEWEST_STEPS", 6)
    monkeypatch.setattr("semcon.repairing.mend.PATH", (0, 0.5, 1))
    monkeypatch.setattr("semcon.recipes.trials.available", lambda _: ["gaussian_noise"])
    monkeypatch.chdir(root)

    def call(*arguments: object) -> tuple[int, str, str]:
        common = ("folder:images", "--epochs", "0.1", "--batch-size", "16", "--set", "looks=2", "--device", "cpu")
        model, *rest = arguments
        monkeypatch.setattr(sys, "argv", ["semcon", "repair", *map(str, (model, *common, *rest))])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


NOISE = ("--wish", "gaussian_noise:0.2 relative_change <= 0.9", "--mean", ".4", "--std", ".3")


def test_json_alone_is_on_stdout_and_paths_may_be_relative(run: Run, root: Path, tmp_path: Path) -> None:
    """Oracle: strict JSON with the outcome and the comparison; what the model prints is on stderr; the exit code."""
    code, out, err = run(
        "file:model.py:talking", "--weights", "weights.safetensors", *NOISE, "--json", "--out", tmp_path / "out"
    )
    plain = json.loads(out, parse_constant=lambda text: pytest.fail(text))
    assert code == (0 if plain["met"] else 1)
    assert plain["wishes"][0]["text"] == NOISE[1]
    assert plain["comparison"]["differences"]
    assert "hello from the builder" in err
    assert (tmp_path / "out" / "report.html").is_file()
    assert (tmp_path / "out" / "repaired.safetensors").is_file()


def test_a_wish_that_cannot_be_met_exits_1_and_tells_the_frontier(run: Run, root: Path, tmp_path: Path) -> None:
    """Oracle: the sentence, on stdout; the frontier's lines on stderr; weights nested in a pickle come back so."""
    state = parts.network().state_dict()
    torch.save({"epoch": 3, "state_dict": state}, root / "nested.pth")
    wish = "gaussian_noise:0.2 relative_change <= 0"
    code, out, err = run(
        "file:model.py:build", "--weights", "nested.pth", "--wish", wish, "--wish", "accuracy >= 0", "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert code == 1
    assert "Traceback" not in err
    assert f"The wish could not be met ({wish} got to" in out.replace("\n", " ")
    assert "the frontier reached, by change:\n  " in err
    written = torch.load(tmp_path / "out" / "repaired.pth", weights_only=True)
    assert written["epoch"] == 3
    assert set(written["state_dict"]) == set(state)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--wish", "accuracy >= 1"), "asks for more accuracy"),
        (("--wish", "rm -rf /"), "cannot read the wish"),
        (("--wish", "[bold]x[/] >= 1"), "cannot read the wish '[bold]x[/] >= 1'"),
        (("--set", "alpha"), "expected KEY=VALUE"),
        (("--set", "copys=1"), "Did you mean copies"),
        (("--perturb", "gaussian_noise:0"), "untouched image"),
        (("--weights", "missing.pt"), "no such weights file"),
        (("--judge", "folder:nowhere"), "no such folder"),
    ],
)
def test_bad_settings_exit_2_and_leave_nothing(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """Oracle: the message; stdout is empty; no folder."""
    code, out, err = run("file:model.py:build", *arguments, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
