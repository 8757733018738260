"""A repair from end to end: the judge is not seen, a kill changes nothing, what is judged is what was written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import repair_parts as parts
from semcon.core.errors import SemconError
from semcon.core.training_record import read_training
from semcon.datasets import Arrays
from semcon.loading import scan
from semcon.models import Run
from semcon.progress import Progress
from semcon.recipes import repair as recipes
from semcon.recipes.repair import repair
from semcon.repairing import axes, request
from semcon.repairing import run as repair_run
from semcon.repairing.splitting import split
from semcon.run_record import RunRecord

IMAGES = 320


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Ten steps, a checkpoint at each, three points on the way, audits of one perturbation, pages in no time."""
    settings = repair_run._settings

    def often(*arguments: Any) -> Any:
        return replace(settings(*arguments), checkpoint_seconds=0.0)

    patch.setattr(repair_run, "FEWEST_STEPS", 10)
    patch.setattr(repair_run, "FEW_EPOCHS", 0.1)
    patch.setattr("semcon.repairing.mend.PATH", (0, 0.25, 0.5, 0.75, 1))
    trials = recipes.parse_trials

    def few(texts: Any, budget: Any, limits: Any) -> Any:
        return [one for one in trials(texts, budget, limits) if one.name in ("gaussian_noise", "translation")]

    patch.setattr(recipes, "parse_trials", few)
    patch.setattr(repair_run, "_settings", often)
    patch.setattr("semcon.run_record.RunRecord.report", lambda self, out=None: self.folder / "report.html")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.checkpoint(tmp_path_factory.mktemp("user"))


def recipe(root: Path, **changes: Any) -> dict[str, Any]:
    own = {
        "model": f"file:{root}/model.py:build", "weights": str(root / "weights.safetensors"),
        "data": parts.corners(IMAGES), "wish": ("accuracy >= -1", "gaussian_noise:0.2 relative_change <= 0.01"),
        "batch_size": 16, "looks": 2, "device": "cpu", "mean": (0.4,), "std": (0.3,),
    }  # fmt: skip
    return own | changes


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> request.Repaired:
    """A finished repair, of a wish that ten steps cannot meet."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        return repair(recipe(root), out=tmp_path_factory.mktemp("repairs") / "whole")


def test_the_folder_holds_weights_audits_and_the_frontier(whole: request.Repaired) -> None:
    """Oracle: the documented contract; nothing of the growing is left."""
    names = {path.name for path in whole.folder.iterdir()}
    assert names == {
        "weights.safetensors", "repaired.safetensors", "training.json", "recipe.json", "metrics.jsonl", "before",
        "after", "repair.json",
    }  # fmt: skip
    plain = json.loads((whole.folder / "repair.json").read_text(), parse_constant=lambda text: pytest.fail(text))
    assert [point["where"] for point in plain["frontier"]] == [
        "original", "step 5", "step 10", *(f"{i}% of the way" for i in (25, 50, 75)),
    ]  # fmt: skip
    assert plain["images"] == {"fit": 114, "select": 100, "judge": 106}
    assert plain["met"] is whole.met is False
    assert "could not be met (" in whole.sentence
    assert whole.frontier


def test_the_judges_images_are_neither_fitted_to_nor_selected_by(
    root: Path, whole: request.Repaired, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Oracle: the split by hand; the ids of every image that a pool held and of every audit."""
    seen: set[int] = set()
    pool = repair_run.Pool

    def noting(*arguments: Any, **named: Any) -> Any:
        made = pool(*arguments, **named)
        seen.update(made.ids.tolist())
        return made

    monkeypatch.setattr(repair_run, "Pool", noting)
    with pytest.raises(KeyboardInterrupt):
        repair(recipe(root), out=tmp_path / "out", progress=parts.StoppingAt("training"))
    judged = set(RunRecord.load(whole.after).samples.images["sample"].to_list())
    ids = scan(parts.corners(IMAGES)).ids
    assert judged == set(ids[split(ids, 0, judge=True).judge].tolist())
    assert not seen & judged
    assert len(seen | judged) == IMAGES


def test_the_judge_sees_the_wishes_at_their_own_severity(root: Path, tmp_path: Path) -> None:
    """Oracle: the audit's own estimate and difference; 0.03 is on no rung of the ladder."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        wishes = ("accuracy >= -1", "gaussian_noise:0.03 flip <= 0.5")
        repaired = repair(recipe(root, wish=wishes), out=tmp_path / "run")
    plain = json.loads((repaired.folder / "repair.json").read_text())
    before, after = RunRecord.load(repaired.before), RunRecord.load(repaired.after)
    flip = after.table("flip", perturbation="gaussian_noise", subset="all").filter(pl.col("severity") == 0.03)
    right = [run.table("accuracy", subset="all").filter(pl.col("perturbation").is_null()) for run in (before, after)]
    gained = 100 * (right[1]["mean"].item() - right[0]["mean"].item())
    assert [one["wish"] for one in plain["judged"]] == list(wishes)
    assert plain["judged"][0]["value"] == pytest.approx(gained, abs=1e-9)
    assert plain["judged"][1]["value"] == flip["mean"].item()
    assert plain["judged"][1]["met"] is (flip["mean"].item() <= 0.5)
    assert "On the judge's 106 images accuracy >= -1:" in repaired.sentence


def test_what_is_judged_is_what_was_written(whole: request.Repaired, root: Path) -> None:
    """Oracle: predictions by hand of the network with the file's weights, before and after, on the judge's images."""
    data = parts.corners(IMAGES)
    scanned = scan(data)
    place = dict(zip(scanned.ids.tolist(), scanned.positions.tolist(), strict=True))
    for folder, path in ((whole.before, root / "weights.safetensors"), (whole.after, whole.weights)):
        network = parts.network()
        network.load_state_dict({k.removeprefix("module."): v for k, v in load_file(path).items()})
        network.eval()
        images = RunRecord.load(folder).samples.images
        x = torch.stack([torch.from_numpy(data.image(place[i])) for i in images["sample"]])
        with torch.no_grad():
            logits = network((x.permute(0, 3, 1, 2).float() / 255 - 0.4) / 0.3)
        assert logits.argmax(1).tolist() == images["prediction"].cast(int).to_list()
    with safe_open(whole.weights, "pt") as file:
        assert file.metadata() == {"made": "by hand"}
    assert set(load_file(whole.weights)) == set(load_file(root / "weights.safetensors"))


def test_the_audits_say_whose_weights_they_are_of(whole: request.Repaired, root: Path) -> None:
    """Oracle: the paths; the cost of the repair is in the record of the repaired alone."""
    before, after = (RunRecord.load(folder).record.subject for folder in (whole.before, whole.after))
    assert (before.name, after.name) == ("build (original)", "build (repaired)")
    assert before.weights == str(root / "weights.safetensors")
    assert after.weights == str(whole.weights)
    assert before.training is None
    assert after.training is not None
    assert after.training.steps == 10


STOPS: dict[str, Callable[[], Progress]] = {
    "as the training begins": lambda: parts.StoppingAt("training"),
    "after four steps": lambda: parts.StoppingAt("training", 4),
    "after the first look": lambda: parts.StoppingAt("training", 7),
    "among the points on the way": lambda: parts.StoppingAt("choosing", 2),
    "in the first audit": lambda: parts.StoppingAt("references", time=1),
    "in the second audit": lambda: parts.StoppingAt("references", time=2),
}


@pytest.mark.parametrize("stop", STOPS)
def test_a_repair_that_was_stopped_goes_on_as_if_it_had_not_been(
    stop: str, whole: request.Repaired, root: Path, tmp_path: Path
) -> None:
    """Oracle: the uninterrupted repair: weights byte for byte, every point, every prediction of the judge."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        repair(recipe(root), out=out, progress=STOPS[stop]())
    assert not out.exists()
    if stop == "as the training begins":
        assert list(tmp_path.iterdir()) == []
    else:
        with pytest.raises(SemconError, match="holds an unfinished repair: go on with --resume"):
            repair(recipe(root), out=out)
    again = repair(recipe(root), out=out, resume=True)
    assert list(tmp_path.iterdir()) == [out]
    for name in ("weights.safetensors", "repaired.safetensors", "metrics.jsonl"):
        assert (out / name).read_bytes() == (whole.folder / name).read_bytes()
    one, two = (json.loads((folder / "repair.json").read_text()) for folder in (whole.folder, out))
    assert one.pop("seconds") > 0
    assert two.pop("seconds") > 0
    assert one == two
    left, right = (RunRecord.load(one.after).samples.rows for one in (whole, again))
    assert left.equals(right)


def test_other_weights_or_images_are_not_resumed(root: Path, tmp_path: Path) -> None:
    """Oracle: the message names what differs, though no setting does."""
    user = parts.checkpoint(tmp_path)
    own, out = recipe(user), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        repair(own, out=out, progress=parts.StoppingAt("training", 4))
    with pytest.raises(SemconError, match=r"cannot resume .*images_hash was"):
        repair(own | {"data": parts.corners(IMAGES, seed=1)}, out=out, resume=True)
    torch.save(parts.network().state_dict(), user / "weights.pt")
    os.replace(user / "weights.pt", user / "weights.safetensors.pt")
    with pytest.raises(SemconError, match=r"cannot resume .*weights was"):
        repair(own | {"weights": str(user / "weights.safetensors.pt")}, out=out, resume=True)


def test_a_repaired_run_can_be_repaired_and_needs_not_its_origin(
    whole: request.Repaired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the second run's record is of the file, not of the first run; its model is in another folder at work."""
    monkeypatch.chdir(whole.folder.parent)
    own = {"data": parts.corners(IMAGES), "wish": "gaussian_noise:0.2 flip <= 0.99", "device": "cpu", "looks": 2}
    again = repair({"model": f"run:{whole.folder.name}", "batch_size": 16, **own}, out=tmp_path / "again")
    assert again.met
    assert again.weights.name == "weights.safetensors"
    assert read_training(again.folder).network.kind == "file"
    monkeypatch.chdir(tmp_path)
    assert Run("again").build().preprocessing is not None


def test_frozen_layers_and_their_statistics_stay(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the original's tensors, bit for bit, though batch norms may follow the images; the others move."""
    monkeypatch.setattr(repair_run, "SMALL", 0)
    monkeypatch.setattr("semcon.repairing.mend.Repairer.rank", lambda _, point: (point.where != "step 10", 0.0))
    own = recipe(root, model=f"file:{root}/model.py:frozen", wish="gaussian_noise:0.3 relative_change <= 0.001")
    done = repair(own, out=tmp_path / "out", resume=False)
    before, after = load_file(root / "weights.safetensors"), load_file(done.weights)
    same = {key for key in before if torch.equal(before[key], after[key])}
    assert same >= {key for key in before if key.startswith(("module.0.", "module.1."))}
    assert "module.5.weight" not in same


def test_a_model_in_training_mode_is_judged_in_evaluation_mode_and_given_back(root: Path, tmp_path: Path) -> None:
    """Oracle: predictions of the network in evaluation mode; the caller's mode afterwards; mended in place."""
    network = parts.network()
    network.load_state_dict(
        {k.removeprefix("module."): v for k, v in load_file(root / "weights.safetensors").items()}
    )  # fmt: skip
    network.train()
    own = recipe(root, model=network, weights=None, judge=parts.corners(60, seed=3))
    done = repair(own, out=tmp_path / "out")
    assert network.training
    kept = load_file(done.weights)
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    images = RunRecord.load(done.after).samples.images.sort("position")
    network.eval()
    data = parts.corners(60, seed=3)
    x = torch.stack([torch.from_numpy(data.image(i)) for i in range(60)]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        assert network((x - 0.4) / 0.3).argmax(1).tolist() == images["prediction"].cast(int).to_list()
    with pytest.raises(SemconError, match="was trained from a Sequential in memory"):
        Run(str(done.folder)).build()


def test_a_judge_that_overlaps_loses_what_is_seen(root: Path, tmp_path: Path) -> None:
    """Oracle: 40 of the judge's 80 images are those to repair on; with no other the repair is refused."""
    ours, others = parts.corners(IMAGES), parts.corners(40, seed=3)
    mixed = [ours.image(i) for i in range(40)] + [others.image(i) for i in range(40)]
    judge = Arrays(torch.stack([torch.from_numpy(one) for one in mixed]).numpy())
    heard = parts.Heard()
    done = repair(recipe(root, judge=judge), out=tmp_path / "out", progress=heard)
    assert any(line.startswith("40 of the judge's images are among") for line in heard.sentences)
    assert RunRecord.load(done.after).record.data.images == 40
    with pytest.raises(SemconError, match="the judge's images are those that the repair sees"):
        repair(recipe(root, judge=parts.corners(30)), out=tmp_path / "other")
    assert not (tmp_path / "other.partial").exists()


def test_without_labels_accuracy_is_agreement_with_the_original(root: Path, tmp_path: Path) -> None:
    """Oracle: the original agrees with itself: 1, and gains 0; the sentence says so."""
    heard = parts.Heard()
    own = recipe(root, data=parts.corners(IMAGES, labels=False), wish="accuracy >= -1", perturb="gaussian_noise:0.2")
    done = repair(own, out=tmp_path / "out", progress=heard)
    assert any("the original's own predictions (there are no labels)" in line for line in heard.sentences)
    plain = json.loads((done.folder / "repair.json").read_text())
    assert (plain["frontier"][0]["accuracy"], plain["frontier"][0]["values"]) == (1.0, [0.0])
    assert plain["axes"] == {"gaussian_noise": 0.2}
    assert done.met
    assert plain["chosen"]["values"][0] >= -1


def test_axes_are_looked_for_among_what_the_data_bear(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: none flips 5 % here; with a lower bar both are taken, and one alone where the data bear only that."""
    own = recipe(root, wish="accuracy >= -3")
    with pytest.raises(SemconError, match="no perturbation flips more than 5%"):
        repair(own, out=tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(axes, "BAD", -1.0)
    both = repair(own, out=tmp_path / "both")
    assert json.loads((both.folder / "repair.json").read_text())["axes"].keys() == {"gaussian_noise", "translation"}
    data: Any = parts.corners(IMAGES)
    data.severity_limits = {"translation": 0.0}
    done = repair(own | {"data": data}, out=tmp_path / "one")
    assert json.loads((done.folder / "repair.json").read_text())["axes"].keys() == {"gaussian_noise"}
    assert {one.name for one in RunRecord.load(done.after).record.settings.perturbations} == {"gaussian_noise"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": parts.corners(120)}, "120 different images are too few to split into fit, select and judge"),
        ({"model": "file:{root}/model.py:still"}, "no parameter that can be trained"),
        ({"model": lambda x: x[:, :1, 0, :4].flatten(1), "weights": None}, "has no gradient"),
        ({"perturb": "hue:0.1", "data": "grey"}, "hue up to 0.1 leaves these images as they are"),
        ({"wish": "gaussian_noise:0.2 within_class_change <= 0.2", "data": "unlabelled"}, "there are no labels"),
        ({"classes": "{root}/classes.txt"}, "2 class names for 4 outputs"),
    ],
)
def test_what_cannot_be_repaired_leaves_nothing_behind(
    root: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Oracle: the message; no folder, not even an unfinished one."""
    (root / "classes.txt").write_text("one\ntwo\n")
    own = {key: value.format(root=root) if isinstance(value, str) else value for key, value in changes.items()}
    if own.get("data") == "grey":
        images = parts.corners(IMAGES)
        own["data"] = Arrays(torch.stack([torch.from_numpy(images.image(i))[..., :1] for i in range(IMAGES)]).numpy())
    if own.get("data") == "unlabelled":
        own["data"] = parts.corners(IMAGES, labels=False)
    with pytest.raises(SemconError, match=message):
        repair(recipe(root) | own, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
