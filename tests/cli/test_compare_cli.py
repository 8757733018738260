"""`semcon compare` as a user meets it: exit codes, data on stdout, the page, and no torch anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from pairs import CHANGES, FLIPS, OTHER, WRONG, N, finished, pictured
from semcon.cli.main import main
from semcon.core.record import TrainingRecord


@pytest.fixture
def runs(make):
    """Folders a and b: 20 and 60 flips of 200 images, no and 8 mistakes."""
    many = {key: np.arange(N)[:, None] < 60 for key in CHANGES}
    one, two = make("a", flips=FLIPS), make("b", OTHER, flips=many, wrong=WRONG)
    return pictured(one, [1, 40]).folder, finished(two).folder


@pytest.fixture
def run(monkeypatch, capsys):
    """`semcon compare ...` in this process: exit code, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["semcon", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([], 0),
        (["gaussian_noise:0.05 flip > 0.4", "accuracy < -0.2"], 0),
        (["gaussian_noise:0.05 flip > 0"], 1),
        (["gaussian_noise:0.05 flip > 0.2"], 3),
        (["noise flip > 0.2", "accuracy < 0"], 1),
        (["gaussian_noise flop > 0"], 2),
        (["hue flip > 0"], 2),
    ],
)
def test_exit_codes(run, runs, tmp_path, rules, code):
    options = [part for rule in rules for part in ("--fail-if", rule)]
    found, out, err = run(*runs, *options, "--out", tmp_path / "page", "--junit", tmp_path / "gate.xml")
    assert found == code
    if code == 2:
        assert out == ""
        assert not (tmp_path / "page").exists()
        return
    assert err.count("gate: b minus a:") == len(rules)
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()[0]
    assert suite.attrib["tests"] == str(len(rules))
    assert (int(suite.attrib["failures"]) > 0) == (code == 1)
    assert (int(suite.attrib["errors"]) > 0) == (code == 3 or "noise flip > 0.2" in rules)
    assert (tmp_path / "page" / "report.html").is_file()


def test_wrong_use(run, runs, tmp_path):
    assert run(runs[0])[0] == run()[0] == 2
    code, _, err = run(runs[0], tmp_path / "nothing")
    assert (code, "is no run folder" in err) == (2, True)
    code, _, err = run(f"{runs[0]},{runs[0]}", runs[1])
    assert (code, "are the same network" in err) == (2, True)


def test_a_run_folder_keeps_its_own_page(run, runs):
    """Oracle: the message; the run's files are what they were."""
    before = {path.name: path.stat().st_mtime_ns for path in runs[0].iterdir()}
    code, out, err = run(*runs, "--out", runs[0])
    assert (code, out) == (2, "")
    assert "is a run folder (it holds record.json)" in err
    assert {path.name: path.stat().st_mtime_ns for path in runs[0].iterdir()} == before


def test_json_on_stdout_and_the_opening_in_the_terminal(run, runs, tmp_path, monkeypatch):
    code, out, err = run(*runs, "--json", "--out", tmp_path / "page")
    plain = json.loads(out)
    assert code == 0
    assert plain.keys() >= {"schema", "sides", "differences", "cost", "opening"}
    assert "report:" in err
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = run(*runs, "--out", tmp_path / "page")
    assert plain["opening"][0] in out
    assert "time of the audit" in out
    assert "better" in out


def test_report_of_two_runs_is_the_same_page(run, runs, tmp_path, monkeypatch):
    run(*runs, "--out", tmp_path / "one")
    monkeypatch.setattr(sys, "argv", ["semcon", "report", *map(str, runs), "--out", str(tmp_path / "two")])
    with pytest.raises(SystemExit):
        main()
    pages = [(tmp_path / name / "report.html").read_text("utf-8") for name in ("one", "two")]
    assert pages[0] == pages[1]


def test_several_seeds_on_a_side_and_what_their_training_cost(run, make, tmp_path):
    folders = {}
    for side, count, passes in (("base", 40, 1e6), ("new", 20, 2e6)):
        for seed in range(2):
            training = TrainingRecord(objective=side, seed=seed, steps=600, images=76_800, passes=passes, seconds=61,
                                      parameters=1, hardware="a processor")  # fmt: skip
            flips = {key: np.arange(N)[:, None] < count + seed for key in CHANGES}
            made = finished(make(f"{side}-{seed}", flips=flips, subject={"training": training}))
            folders.setdefault(side, []).append(str(made.folder))
    code, out, _ = run(",".join(folders["base"]), ",".join(folders["new"]), "--json", "--out", tmp_path / "page")
    plain = json.loads(out)
    assert code == 0
    assert [side["seeds"] for side in plain["sides"]] == [[0, 1], [0, 1]]
    assert [one["training"]["passes"] for one in plain["cost"][1]["runs"]] == [2e6, 2e6]
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    assert "2,000,000 (2.00 times)" in page
    assert "base (2 runs)" in page


def test_it_needs_no_torch(runs, tmp_path):
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from semcon.cli.main import main\n"
        f"sys.argv = ['semcon', 'compare', {str(runs[0])!r}, {str(runs[1])!r}, '--out', {str(tmp_path / 'page')!r}, "
        "'--fail-if', 'gaussian_noise:0.05 flip > 0.4']\n"
        "main()\n"
    )
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page" / "report.html").is_file()
