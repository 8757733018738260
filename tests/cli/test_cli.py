"""The command line as a user meets it: good input, bad input, gates, resuming; nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from semcon.cli.main import main
from semcon.comparing.compare import compare
from semcon.core.registry import available, load
from semcon.core.table import SampleTable
from semcon.measuring.sequences import SEQUENCES
from semcon.run_record import RunRecord

MODEL = """
import torch
from torch import nn


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 49, 3))


def wider():
    return nn.Sequential(nn.Conv2d(3, 9, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(9 * 49, 3))


def broken():
    raise ValueError("no such thing")


def nan():
    class Nan(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 3), float("nan"))
    return Nan()


def number():
    return 3


class Odd(nn.Module):
    def __init__(self, fault):
        super().__init__()
        self.network, self.fault = build(), fault

    def forward(self, x):
        return self.fault(self.network(x))


def key():
    return Odd(lambda z: {"a": z}["b"])


def huge():
    return Odd(lambda z: z * 1e30)


def leaving():
    raise SystemExit(0)


def leaving_late():
    return Odd(lambda z: leaving())


def talking():
    print("hello from the builder")
    return Odd(lambda z: print("hello from forward") or z)
"""


@dataclass
class Place:
    """A user's folder: model.py, weights, three class folders of twelve images each."""

    root: Path

    @property
    def model(self) -> str:
        return f"file:{self.root}/model.py:build"

    @property
    def data(self) -> str:
        return f"folder:{self.root}/images"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("user")
    (root / "model.py").write_text(MODEL)
    generator = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog", "<i>owl</i>")):
        for i in range(12):
            folder = root / "images" / name.replace("/", "_")
            folder.mkdir(parents=True, exist_ok=True)
            coarse = generator.integers(60 * number, 60 * number + 120, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(np.kron(coarse, np.ones((4, 4, 1), np.uint8))).save(folder / f"{i}.png")
    namespace: dict[str, Callable[[], torch.nn.Module]] = {}
    exec(MODEL, namespace)
    save_file(namespace["build"]().state_dict(), root / "model.safetensors")
    save_file(namespace["wider"]().state_dict(), root / "wider.safetensors")
    return Place(root)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`semcon ...` in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["semcon", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


QUICK = ("--perturb", "gaussian_noise:0.05/0.2,hue:0.1", "--mean", ".5", "--std", ".25")


@pytest.fixture(scope="session")
def folder(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run."""
    out = tmp_path_factory.mktemp("runs") / "one"
    command = [sys.executable, "-m", "semcon", "audit", place.model, place.data, *QUICK, "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def test_an_audit_leaves_a_record_rows_a_gallery_and_a_report(folder):
    record = RunRecord.load(folder)
    assert {path.name for path in folder.iterdir()} == {"record.json", "rows.parquet", "gallery", "report.html"}
    assert record.record.data.images == 36
    assert record.samples.rows.height == 36 * 3
    assert "<i>owl" not in (folder / "report.html").read_text()
    for entry in record.record.gallery:
        assert all((folder / name).is_file() for name in entry.files.values())


def test_json_is_the_contract(place, run, tmp_path):
    code, out, err = run("audit", place.model, place.data, *QUICK, "--out", tmp_path / "run", "--json")
    plain = json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} in the JSON"))
    assert code == 0
    assert plain["schema"] == 1
    assert {"subject", "data", "estimates", "findings"} <= set(plain)
    keys = ("perturbation", "severity", "draws", "representation", "distance", "quantity", "subset", "statistic")
    assert all(
        {*keys, "mean", "low", "high", "samples", "censored"} <= set(estimate) for estimate in plain["estimates"]
    )
    named = [tuple(estimate[key] for key in keys) for estimate in plain["estimates"]]
    assert len(set(named)) == len(named)
    assert {"code", "severity", "message", "remedy"} == set(plain["findings"][0])
    assert "copies" in err


def test_estimates_are_means_of_the_rows(folder):
    """Oracle: the flip rate by hand from rows.parquet."""
    record = RunRecord.load(folder)
    rows = record.rows().filter((pl.col("perturbation") == "gaussian_noise") & (pl.col("severity") == 0.2))
    by_hand = float((rows["prediction"] != rows["clean_prediction"]).mean())
    (estimate,) = [
        e
        for e in record.record.estimates
        if (e.perturbation, e.severity, e.quantity, e.subset) == ("gaussian_noise", 0.2, "flip", "all")
    ]
    assert estimate.mean == pytest.approx(by_hand)


def test_report_writes_the_page_again_without_torch(folder, tmp_path):
    """A fresh interpreter in which importing torch fails."""
    script = (
        "import sys; sys.modules['torch'] = None\n"
        f"from semcon.run_record import RunRecord; RunRecord.load({str(folder)!r}).report({str(tmp_path)!r})"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert (tmp_path / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_two_runs_side_by_side(place, folder, run, tmp_path):
    """The same weights twice differ by 0 everywhere; other seeds are refused by name."""
    weights = ("--weights", place.root / "model.safetensors")
    assert run("audit", place.model, place.data, *QUICK, *weights, "--out", tmp_path / "same")[0] == 0
    rule = ("--fail-if", "gaussian_noise:0.05 relative_change[logits.cosine] > 9", "--junit", tmp_path / "gate.xml")
    code, out, err = run("report", folder, tmp_path / "same", "--out", tmp_path / "page", "--json", *rule)
    assert code == 0
    told = "gaussian_noise:0.05 relative_change[logits.cosine] > 9"
    assert [f"gate: build ({number}): {told} does not hold" in err for number in (1, 2)] == [True, True]
    cases = [case.attrib for case in ElementTree.parse(tmp_path / "gate.xml").iter("testcase")]
    assert cases == [{"classname": f"build ({number})", "name": told} for number in (1, 2)]
    (comparison,) = json.loads(out)["differences"]
    assert comparison["estimates"]
    assert all(abs(one["difference"]) < 1e-6 for one in comparison["estimates"])
    assert all(one["low"] <= 1e-6 and one["high"] >= -1e-6 for one in comparison["estimates"])
    assert (tmp_path / "page" / "report.html").is_file()
    run("audit", place.model, place.data, *QUICK, "--seed", 1, "--out", tmp_path / "seed")
    code, _, err = run("report", folder, tmp_path / "seed")
    assert code == 2
    assert "seed is 0 and 1" in err
    run("audit", place.model, place.data, *QUICK, "--limit", 30, "--out", tmp_path / "few")
    code, _, err = run("report", folder, tmp_path / "few")
    assert code == 2
    assert "36 and 30, 30 in common" in err


def test_gates_have_three_states_and_junit(place, folder, run, tmp_path):
    flips = [e for e in RunRecord.load(folder).record.estimates if e.quantity == "flip" and e.subset == "all"]
    noisy = next(e for e in flips if e.perturbation == "gaussian_noise" and e.severity == 0.2)
    assert noisy.low is not None
    assert noisy.low > 0.01
    middle = f"gaussian_noise:0.2 flip > {noisy.mean + 0.001}"
    assert run("report", folder, "--fail-if", "gaussian_noise:0.2 flip > 0.01")[0] == 1
    code, _, err = run("report", folder, "--fail-if", middle, "--junit", tmp_path / "gate.xml")
    assert code == 3
    assert "images would settle it" in err
    assert "<error" in (tmp_path / "gate.xml").read_text()
    assert run("report", folder, "--fail-if", "gaussian_noise:0.2 flip > 0.9999")[0] in (0, 3)
    assert run("report", folder, "--fail-if", "gaussian_noise flip < 0")[0] == 0
    assert run("report", folder, "--fail-on", "few-images")[0] == 1
    assert run("report", folder, "--fail-on", "few_images")[0] == 1
    assert run("report", folder, "--fail-on", "check-failed")[0] == 0
    assert run("report", folder, "--fail-on", "duplicates")[0] == 0
    assert run("report", folder, "--fail-if", "gaussian_noise flop > 1")[0] == 2


BAD = [
    (["--perturb", "gausian_noise"], "Did you mean gaussian_noise"),
    (["--perturb", "gaussian_noise:-1"], "at least 0"),
    (["--perturb", "gaussian_noise:nan"], "at least 0"),
    (["--perturb", "gaussian_noise:x"], "must be a number"),
    (["--perturb", "gaussian_noise:"], "must be a number as in gaussian_noise:0.1/0.2, got ''"),
    (["--perturb", "salt_and_pepper:101"], "severity of salt_and_pepper must"),
    (["--perturb", "posterize:2.5"], "whole number"),
    (["--perturb", "linf:0.03"], "severity of linf is 0.03, but the unit is 1/255"),
    (["--perturb", "hue", "--perturb", "hue:0.1"], "given twice"),
    (["--perturb", "hue:0"], "untouched image"),
    (["--layers", "layer9"], "unknown layer 'layer9'"),
    (["--gauges", "logits.jensen_shannon"], "the distance jensen_shannon wants probabilities"),
    (["--gauges", "logits.l3"], "unknown distance 'l3'"),
    (["--mean", ".5,.5"], "one or three"),
    (["--mean", "a"], "expects numbers"),
    (["--std", "0"], "must be positive"),
    (["--size", "2"], "size"),
    (["--draws", "0"], "draws"),
    (["--limit", "0"], "limit"),
    (["--limit", "6.9"], "expected a whole number, got '6.9'"),
    (["--seed", "1e3"], "expected a whole number, got '1e3'"),
    (["--mean", "127,127,127"], "divide by 255: 0.498,0.498,0.498"),
    (["--std", "58"], "divide by 255: 0.2275"),
    (["--perturb", "gaussian_noise:inf"], "a finite number"),
    (["--junit", "/proc/none/gate.xml"], "cannot write /proc/none/gate.xml: No such file"),
    (["--device", "cuda:7"], "cannot be used"),
    (["--budget", "huge"], "budget"),
    (["--worst", "maybe"], "worst"),
    (["--weights", "missing.safetensors"], "no such weights file"),
    (["--classes", "missing.txt"], "cannot read the class file"),
    (["--fail-if", "hue flip"], "cannot read the rule"),
    (["--fail-on", "nonsense"], "unknown finding code 'nonsense'"),
    (["--perturb", "hue", "--fail-if", "gamma flip > 1"], "in this run there is no"),
    (["--perturb", "hue:0.1", "--fail-if", "hue:0.2 flip > 1"], "hue is measured at 0.1"),
    (["--perturb", "hue", "--fail-if", "hue worst flip > 1"], "it has no worst cases (--worst search"),
    (["--perturb", "hue", "--fail-if", "hue critical_severity < 1"], "no critical severities (--budget standard"),
    (["--perturb", "hue", "--fail-if", "hue relative_change[layer9.l2] > 1"], "unknown gauge in the rule"),
    (["--perturb", "hue", "--fail-if", "flip > 0.2"], "name a perturbation, such as 'hue flip > 0.2'"),
    (["--no-such-flag"], "no-such-flag"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(case[0]) for case in BAD])
def test_bad_settings_say_what_was_expected_and_write_nothing(place, run, tmp_path, monkeypatch, arguments, words):
    """And measure nothing."""
    monkeypatch.setattr("semcon.evaluations.continuity.Continuity.run", lambda *_, **__: pytest.fail("measured"))
    code, out, err = run("audit", place.model, place.data, *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert words in err
    assert out == ""
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


SOURCES = [
    ("file:{root}/model.py:bild", "Did you mean build"),
    ("file:{root}/nothing.py:build", "no such model file"),
    ("file:{root}/model.py:broken", "no such thing"),
    ("file:{root}/model.py:number", "gave int"),
    ("{root}/model.py", "names no builder"),
    ("tim:resnet18", "unknown model source"),
    ("file:{root}/model.py:nan", "NaN or infinite"),
    ("file:{root}/model.py:huge", "NaN or infinite for 36 images"),
    ("file:{root}/model.py:key", "the model key fails on a batch (2, 3, 16 x 16): KeyError: 'b'"),
    ("file:{root}/model.py:leaving", "leaving() in {root}/model.py failed: SystemExit: 0"),
    ("file:{root}/model.py:leaving_late", "the model leaving_late fails on a batch (2, 3, 16 x 16): SystemExit: 0"),
]


@pytest.mark.parametrize(("model", "words"), SOURCES)
def test_bad_models_say_why(place, run, tmp_path, model, words):
    code, _, err = run("audit", model.format(root=place.root), place.data, *QUICK, "--out", tmp_path / "run")
    assert code == 2
    assert words.format(root=place.root) in err
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_name_the_keys(place, run, tmp_path):
    weights = place.root / "wider.safetensors"
    code, _, err = run("audit", place.model, place.data, *QUICK, "--weights", weights, "--out", tmp_path / "run")
    assert code == 2
    assert "of another shape" in err
    assert "0.weight" in err


def test_a_pickle_with_code_is_refused(place, run, tmp_path):
    class Model:
        pass

    torch.save({"model": Path("x")}, tmp_path / "bad.pt")
    arguments = ("--weights", tmp_path / "bad.pt", "--out", tmp_path / "run")
    code, _, err = run("audit", place.model, place.data, *QUICK, *arguments)
    assert code == 2
    assert "does not run code" in err


def test_bad_images_are_named_or_counted(place, run, tmp_path):
    data = tmp_path / "data" / "cat"
    data.mkdir(parents=True)
    good = (place.root / "images" / "cat").iterdir()
    for path in good:
        (data / path.name).write_bytes(path.read_bytes())
    (data / "zz.png").write_bytes((data / "0.png").read_bytes()[:60])
    source = f"folder:{tmp_path / 'data'}"
    classes = tmp_path / "classes.txt"
    classes.write_text("cat\ndog\nowl\n")
    arguments = (*QUICK, "--classes", classes, "--out", tmp_path / "run")
    code, _, err = run("audit", place.model, source, *arguments)
    assert code == 2
    assert "zz.png" in err
    assert "--skip-bad" in err
    assert not (tmp_path / "run").exists()
    code, _, _ = run("audit", place.model, source, *arguments, "--skip-bad")
    assert code == 0
    record = RunRecord.load(tmp_path / "run").record
    assert record.data.skipped == ("cat/zz.png",)
    assert {"skipped-images", "single-class"} <= {finding.code for finding in record.findings}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("folder:{root}/nowhere", "no such folder"),
        ("folder:{empty}", "has no images"),
        ("parquet:{root}/no.parquet", "no such Parquet file"),
        ("builtin:mnist", "Did you mean mnist5k"),
        ("images", "unknown data"),
    ],
)
def test_bad_data_say_why(place, run, tmp_path, data, words):
    (tmp_path / "empty").mkdir()
    source = data.format(root=place.root, empty=tmp_path / "empty")
    code, _, err = run("audit", place.model, source, *QUICK, "--out", tmp_path / "run")
    assert code == 2
    assert words in err


def test_a_parquet_file_without_labels_says_how_to_go_on(place, run, tmp_path):
    images = [path.read_bytes() for path in sorted((place.root / "images" / "cat").iterdir())]
    pl.DataFrame({"image": images}).write_parquet(tmp_path / "x.parquet")
    code, _, err = run("audit", place.model, f"parquet:{tmp_path}/x.parquet", *QUICK, "--out", tmp_path / "run")
    assert code == 2
    assert "label=none" in err
    source = f"parquet:{tmp_path}/x.parquet?label=none"
    assert run("audit", place.model, source, *QUICK, "--out", tmp_path / "run")[0] == 0
    estimates = RunRecord.load(tmp_path / "run").record.estimates
    assert {e.quantity for e in estimates} == {
        "change", "relative_change", "flip", "confidence_drop", "local_lipschitz", "gradient_norm"
    }  # fmt: skip


def test_an_existing_run_is_never_touched(place, folder, run):
    before = (folder / "record.json").read_bytes()
    code, _, err = run("audit", place.model, place.data, *QUICK, "--out", folder)
    assert code == 2
    assert "exists already" in err
    assert (folder / "record.json").read_bytes() == before


def test_an_interrupted_audit_goes_on_and_ends_as_if_it_had_not_been(place, folder, run, tmp_path, monkeypatch):
    """Ctrl-C after the second part: no run under the final name; --resume gives the uninterrupted rows."""
    from semcon.measuring import two_passes
    from semcon.partial import TableParts

    monkeypatch.setattr(two_passes, "KEEP_EVERY", 0.0)
    add, parts = TableParts.add, []

    def interrupted(self, part):
        if len(parts) == 2:
            raise KeyboardInterrupt
        parts.append(part)
        add(self, part)

    monkeypatch.setattr(TableParts, "add", interrupted)
    arguments = ("audit", place.model, place.data, *QUICK, "--batch-size", 8, "--out", tmp_path / "run")
    code, _, err = run(*arguments)
    assert code == 130
    assert "--resume" in err
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(TableParts, "add", add)
    code, _, err = run(*arguments)
    assert code == 2
    assert "unfinished" in err
    code, _, err = run(*arguments[:-2], "--seed", 5, "--out", tmp_path / "run", "--resume")
    assert code == 2
    assert "seed was 0, is 5" in err
    code, _, err = run(*arguments, "--precision", "bf16", "--resume")
    assert code == 2
    assert "precision was '32', is 'bf16'" in err
    code, _, err = run(*arguments, "--resume")
    assert code == 0
    assert "16 of them measured before" in err
    assert not list(tmp_path.glob("*.partial"))
    left, right = (
        RunRecord.load(path).samples.rows.sort("position", "perturbation", "severity")
        for path in (folder, tmp_path / "run")
    )
    assert left["prediction"].equals(right["prediction"])
    np.testing.assert_allclose(left["logits.l2.change"], right["logits.l2.change"], rtol=1e-4)


def test_a_full_disk_keeps_what_was_measured(place, run, tmp_path, monkeypatch):
    from semcon.core.table import SampleTable

    save = SampleTable.save

    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SampleTable, "save", full)
    arguments = ("audit", place.model, place.data, *QUICK, "--out", tmp_path / "run")
    code, _, err = run(*arguments)
    assert code == 2
    assert "No space left on device" in err
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(SampleTable, "save", save)
    assert run(*arguments, "--resume")[0] == 0


def test_every_demo_gets_a_folder_of_its_own(run, folder, tmp_path, monkeypatch):
    """demo, then demo-2, past a folder and an unfinished run; --out as given. The training is left out here."""
    from semcon import demo
    from semcon.comparing.compare import side_by_side

    asked = []

    def shown(out, progress):
        asked.append(out)
        shutil.copytree(folder, out)
        return demo.Demonstration(out, side_by_side([folder, folder]))

    monkeypatch.setattr(demo, "run", shown)
    monkeypatch.chdir(tmp_path)
    for wanted in ((), (), ("--out", "mine")):
        assert run("demo", *wanted)[0] == 0
    (tmp_path / "demo-3.partial").mkdir()
    code, _, err = run("demo")
    assert code == 0
    assert asked == [Path("demo"), Path("demo-2"), Path("mine"), Path("demo-4")]
    assert "report: demo-4/report.html" in err


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """The kernel refuses to let any file grow beyond this size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("owner", "name"), [(SampleTable, "part-000000000.tmp"), (Image.Image, ".png"), (SampleTable, "rows.parquet")],
    ids=["parts", "pictures", "rows"],
)  # fmt: skip
def test_a_full_disk_is_a_sentence_wherever_it_strikes(place, run, tmp_path, monkeypatch, owner, name):
    """Errors as polars and Pillow make them of a refused write; what was measured before is kept."""
    save = owner.save

    def full(self, path, **options):
        with small_files(20) if str(path).endswith(name) else nullcontext():
            return save(self, path, **options)

    monkeypatch.setattr(owner, "save", full)
    arguments = ("audit", place.model, place.data, *QUICK, "--out", tmp_path / "run")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert f"cannot write to {tmp_path}/run.partial" in err
    assert "make room and use --resume" in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == (
        [] if owner is SampleTable and "part" in name else ["run.partial"]
    )
    monkeypatch.setattr(owner, "save", save)
    assert run(*arguments, "--resume")[0] == 0


def test_what_nobody_foresaw_is_a_sentence_and_no_failed_gate(place, run, tmp_path, monkeypatch):
    from semcon.recipes import audit as recipes

    def fault(*_: object, **__: object) -> None:
        raise LookupError("first line\nsecond line")

    monkeypatch.setattr(recipes, "audit", fault)
    code, _, err = run("audit", place.model, place.data)
    assert code == 2
    assert "unexpected LookupError: first line second line. " in err
    assert "report it" in err
    assert "Traceback" not in err
    monkeypatch.setenv("SEMCON_TRACEBACK", "1")
    assert "Traceback" in run("audit", place.model, place.data)[2]


@pytest.mark.parametrize("name", ["x" * 300, "x" * 250], ids=["name", "name and .partial"])
def test_a_run_folder_with_too_long_a_name(place, run, tmp_path, name):
    code, _, err = run("audit", place.model, place.data, *QUICK, "--out", tmp_path / name)
    assert code == 2
    assert "cannot be a run folder: File name too long. Choose another --out" in err


def test_what_a_model_prints_is_no_data(place, run, tmp_path):
    model = f"file:{place.root}/model.py:talking"
    code, out, err = run("audit", model, place.data, *QUICK, "--out", tmp_path / "run", "--json")
    assert code == 0
    assert json.loads(out)["subject"]["name"] == "talking"
    assert "hello from the builder" in err
    assert "hello from forward" in err


@pytest.mark.parametrize("command", ["list", "list perturbations", "report {folder}", "report {folder} --json"])
def test_standard_output_that_is_closed_or_full(folder, command):
    """As a shell sees it: quiet where nobody reads (128 + SIGPIPE), a sentence where the disk is full; never 1."""
    called = f"{sys.executable} -m semcon {command.format(folder=folder)}"
    done = subprocess.run(
        ["bash", "-c", f"{called} | true; exit ${{PIPESTATUS[0]}}"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (141, "")
    done = subprocess.run(["bash", "-c", f"{called} > /dev/full"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "semcon: cannot write to standard output: No space left on device\n"


def test_a_final_name_that_was_taken_meanwhile_costs_no_run(place, run, tmp_path, monkeypatch):
    """The finished run stays beside it, whole, and says so."""
    from semcon.partial import PartialRun

    finish = PartialRun.finish

    def taken(self):
        (self.final / "other").mkdir(parents=True)
        return finish(self)

    monkeypatch.setattr(PartialRun, "finish", taken)
    code, _, err = run("audit", place.model, place.data, *QUICK, "--out", tmp_path / "run")
    assert code == 2
    assert f"it is in {tmp_path / 'run.partial'}; rename it" in err
    assert RunRecord.load(tmp_path / "run.partial").record.data.images == 36


def test_settings_are_on_the_disk_before_they_get_their_name(tmp_path, monkeypatch):
    """A crash leaves a whole file or none. Oracle: the order of the system's calls."""
    from semcon.partial import PartialRun

    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))[1])
    PartialRun(tmp_path / "run", {"seed": 0}, resume=False)
    assert calls == ["fsync", "replace"]


def test_list_names_everything(run):
    code, out, _ = run("list")
    assert code == 0
    for kind in ("perturbations", "distances"):
        assert all(name in out for name in available(kind))
    assert all(load("checks", name).code in out for name in available("checks"))
    code, out, _ = run("list", "perturbations")
    assert "ladder" in out
    _, out, _ = run("list", "checks")
    assert [line.split()[0] for line in out.splitlines()] == [load("checks", name).code for name in available("checks")]
    assert run("list", "check")[1] == out
    code, _, err = run("list", "foo")
    assert code == 2
    assert "unknown kind 'foo'" in err


def test_help_needs_no_torch():
    """A fresh interpreter in which importing torch fails."""
    script = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['semcon', '--help']\n"
        "import semcon; from semcon.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert "audit" in done.stdout


def test_report_of_what_is_no_run(run, tmp_path):
    code, _, err = run("report", tmp_path)
    assert code == 2
    assert "no run folder" in err
    (tmp_path / "record.json").write_text("{")
    assert "damaged" in run("report", tmp_path)[2]
    (tmp_path / "record.json").write_text('{"schema": 99}')
    assert "schema 99" in run("report", tmp_path)[2]


EVALUATED = ("--perturb", "gaussian_noise:0.05/0.2", "--mean", ".5", "--std", ".25")


@pytest.fixture(scope="session")
def evaluated(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two evaluations."""
    out = tmp_path_factory.mktemp("evaluated") / "both"
    command = [sys.executable, "-m", "semcon", "audit", place.model, place.data, *EVALUATED, "--out", str(out)]
    subprocess.run([*command, "--evaluate", "corruption,continuity"], check=True, capture_output=True)
    return out


def test_every_evaluation_keeps_rows_and_estimates_of_its_own(place, run, evaluated, tmp_path):
    """Continuity's are byte for byte what they are alone."""
    record = RunRecord.load(evaluated)
    assert record.evaluations == ("continuity", "corruption")
    assert record.of("corruption").samples.rows.height == 36 * 15 * 3
    alone = tmp_path / "alone"
    assert run("audit", place.model, place.data, *EVALUATED, "--out", alone)[0] == 0
    assert record.samples.rows.equals(RunRecord.load(alone).samples.rows)
    assert record.record.estimates == RunRecord.load(alone).record.estimates
    assert "Common corruptions" in (evaluated / "report.html").read_text()


def test_an_evaluation_without_continuity(place, run, tmp_path):
    """No profile and no gallery, but accuracy, a gate on its own figures, and a table for people."""
    code, out, err = run(
        "audit", place.model, place.data, "--evaluate", "corruption", "--out", tmp_path / "run",
        "--fail-if", "fog:3 accuracy < 0", "--fail-if", "accuracy < 0",
    )  # fmt: skip
    assert code == 0
    assert "Common corruptions" in out
    assert "continuity profile" not in out
    assert err.count("does not hold") == 2
    assert not (tmp_path / "run" / "rows.parquet").exists()
    record = RunRecord.load(tmp_path / "run").record
    assert record.profile == ()
    assert [e.quantity for e in record.estimates if e.subset == "all"] == ["accuracy"]


def test_evaluations_are_one_list_or_several_flags(place, run, tmp_path):
    for name, asked in (("one", ("--evaluate", "shortcut,frequency")),
                        ("two", ("--evaluate", "shortcut", "--evaluate", "frequency"))):  # fmt: skip
        code, _, err = run("audit", place.model, place.data, *asked, "--limit", 6, "--out", tmp_path / name)
        assert code == 0, err
        assert RunRecord.load(tmp_path / name).evaluations == ("shortcut", "frequency")


@pytest.mark.parametrize(("names", "told"), [
    ("corrupton", "Did you mean corruption"), ("corruption,corruption", "given twice"), ("none", "at least one"),
])  # fmt: skip
def test_evaluations_that_do_not_exist_are_refused(place, run, tmp_path, names, told):
    code, _, err = run("audit", place.model, place.data, "--evaluate", names, "--out", tmp_path / "run")
    assert code == 2
    assert told in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("flags", "told"), [
    (("--eps", "0.03"), "the unit is 1/255: did you mean 8"), (("--eps", "2,x"), "such as 1,2,8"),
    (("--eps", "0"), "above 0"), (("--eps", "-1"), "between 0"),
])  # fmt: skip
def test_sizes_of_attacks_are_in_255ths(place, run, tmp_path, flags, told):
    code, _, err = run("audit", place.model, place.data, "--evaluate", "adversarial", *flags, "--out", tmp_path / "run")
    assert (code, told in err) == (2, True), err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("evaluations", "flag", "value", "needed"), [
    ("continuity", "--eps", "2", "adversarial"), ("frequency", "--perturb", "hue", "continuity"),
    ("adversarial", "--draws", "3", "continuity"), ("shortcut", "--worst", "search", "continuity"),
    ("shortcut", "--layers", "0", "continuity"),
])  # fmt: skip
def test_a_flag_that_no_evaluation_reads_is_refused(place, run, tmp_path, evaluations, flag, value, needed):
    asked = ("--evaluate", evaluations, flag, value)
    code, _, err = run("audit", place.model, place.data, *asked, "--out", tmp_path / "run")
    assert (code, f"{flag} belongs to the evaluation {needed}" in err) == (2, True), err
    assert list(tmp_path.iterdir()) == []


def test_attacks_at_the_sizes_that_were_asked_for(place, run, tmp_path):
    code, out, err = run(
        "audit", place.model, place.data, "--evaluate", "adversarial", "--eps", "1,4", "--out", tmp_path / "run",
        "--fail-if", "pgd_linf:4 worst accuracy > 1", "--fail-on", "gradient-masking-random-model",
    )  # fmt: skip
    assert (code, "Adversarial examples" in out) == (0, True), err
    used = {one.name: one.severities for one in RunRecord.load(tmp_path / "run").record.evaluations[0].perturbations}
    assert used["pgd_linf"] == (1.0, 4.0)


@pytest.mark.parametrize(("evaluations", "rule", "told"), [
    ("smoothness", "brightness straightness[pixels.l2] > 2", None),
    ("smoothness", "brightness straightness[layer4.l2] > 2", "layer4.l2"),
    ("continuity,shortcut", "brightness worst flip > 0.5", "no worst cases"),
    ("continuity,shortcut", "brightness critical_severity < 0.1", "no critical severities"),
    ("corruption", "fog flip_probability > 0", "told along sequences of frames: none"),
    ("smoothness", "brightness critical_severity < 0.1", "no critical severities"),
    ("axis_meaning", "hue accuracy < 0.1", "under hue it has factor_lift, factor_changed, factor_fall"),
    ("adversarial", "pgd_linf worst accuracy < 0", None), ("shortcut", "brightness flip > 0.5", "unknown perturbation"),
])  # fmt: skip
def test_rules_on_what_no_evaluation_measures_are_refused_beforehand(place, run, tmp_path, evaluations, rule, told):
    asked = ("--evaluate", evaluations, "--limit", 6, "--fail-if", rule, "--out", tmp_path / "run")
    code, _, err = run("audit", place.model, place.data, *asked)
    assert code in ((0, 3) if told is None else (2,)), err
    assert told is None or told in err
    assert (tmp_path / "run").exists() is (told is None)


def test_one_evaluation_that_differs_does_not_spoil_the_others(place, run, tmp_path):
    for name, eps in (("one", "1"), ("two", "2")):
        asked = ("--evaluate", "shortcut,adversarial", "--eps", eps, "--limit", 6, "--out", tmp_path / name)
        assert run("audit", place.model, place.data, *asked)[0] == 0
    code, out, err = run("compare", tmp_path / "one", tmp_path / "two", "--json", "--out", tmp_path / "page")
    assert code == 0, err
    (pair,) = json.loads(out)["differences"]
    assert (pair["evaluation"], pair["others"]) == ("shortcut", [])
    assert any("ladder of fgsm_linf is 1 and 2" in left for left in pair["left_out"]), pair["left_out"]


def test_a_kill_between_evaluations_costs_neither(place, evaluated, run, tmp_path, monkeypatch):
    """The second evaluation stops at once: --resume measures it alone, and the run is the uninterrupted one."""
    from semcon.evaluations.corruption import Corruption

    own = Corruption.run
    monkeypatch.setattr(Corruption, "run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    arguments = ("audit", place.model, place.data, *EVALUATED, "--evaluate", "continuity,corruption")
    assert run(*arguments, "--out", tmp_path / "run")[0] == 130
    monkeypatch.setattr(Corruption, "run", own)
    parts = sorted((tmp_path / "run.partial" / "parts").rglob("*.parquet"))
    before = [part.stat().st_mtime_ns for part in parts]
    assert {part.parent.name for part in parts} == {"continuity"}
    code, _, err = run(*arguments[:-1], "continuity", "--out", tmp_path / "run", "--resume")
    assert (code, "corruption" in err) == (2, True)
    assert [part.stat().st_mtime_ns for part in parts] == before
    assert run(*arguments, "--out", tmp_path / "run", "--resume")[0] == 0
    whole, resumed = RunRecord.load(evaluated), RunRecord.load(tmp_path / "run")
    for name in ("continuity", "corruption"):
        assert resumed.of(name).samples.rows.equals(whole.of(name).samples.rows)


def test_evaluations_are_compared_too(place, evaluated, run, tmp_path):
    """Equal weights: mCE exactly 1; a rule on a corruption; other levels are refused by name."""
    weights = ("--weights", place.root / "model.safetensors", "--name", "same", "--evaluate", "continuity,corruption")
    assert run("audit", place.model, place.data, *EVALUATED, *weights, "--out", tmp_path / "same")[0] == 0
    rules = ("--fail-if", "fog:3 accuracy < -0.5", "--fail-if", "mean_corruption_error > 1.3")
    code, out, err = run("compare", evaluated, tmp_path / "same", *rules, "--json", "--out", tmp_path / "page")
    assert code == 0, err
    assert err.count("does not hold") == 2
    (pair,) = json.loads(out)["differences"]
    (corruption,) = pair["others"]
    assert corruption["evaluation"] == "corruption"
    assert corruption["overall"][0]["quantity"] == "mean_corruption_error"
    assert corruption["overall"][0]["second"] == 1
    assert "Common corruptions" in (tmp_path / "page" / "report.html").read_text()
    levels = ("--evaluate", "corruption", "--budget", "standard", "--limit", 6, "--mean", ".5", "--std", ".25",
              "--fail-if", "translation flip_probability > 1")  # fmt: skip
    assert run("audit", place.model, place.data, *levels, "--out", tmp_path / "other")[0] == 0
    itself = compare(tmp_path / "other", tmp_path / "other").differences
    assert {one.perturbation for one in itself if one.quantity == "flip_probability"} == {one.name for one in SEQUENCES}
    code, _, err = run("compare", evaluated, tmp_path / "other")
    assert code == 2
    assert "ladder of" in err
