"""`semcon.train` end to end: a folder of images to a run folder that is a model source; and what bad recipes get."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from semcon.built import build_subject
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.training_record import read_training
from semcon.models.run import Run
from semcon.networks import build
from semcon.recipes.keys import read_recipe
from semcon.recipes.objectives import make_objective
from semcon.recipes.sources import parse_data, parse_model
from semcon.recipes.train import train, train_recipe
from semcon.training.student import Student
from training_parts import Pressing

RECIPE: dict[str, Any] = {
    "model": "network:digits", "perturb": ["gaussian_noise:0.2", "brightness"], "steps": 6, "batch_size": 8,
    "mean": (0.4,), "std": (0.3,), "device": "cpu", "alpha": 2.0, "share": 0.5,
}  # fmt: skip
PLAIN = {key: value for key, value in RECIPE.items() if key != "share"}  # what every objective but one reads


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve grey images each of two classes, dark and bright, 12 pixels wide."""
    root, generator = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, base in (("bright", 130), ("dark", 20)):
        (root / name).mkdir()
        for i in range(12):
            pixels = generator.integers(base, base + 100, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return f"folder:{root}"


def subject_of(source: Any) -> Any:
    return build_subject(
        source.build(), mean=None, std=None, size=None, classes=None, device="cpu", precision="32",
        common_size=None, name=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return train(RECIPE | {"data": data}, out=tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_folder_holds_weights_record_recipe_and_metrics(whole: Path, data: str) -> None:
    """Oracle: the documented contract: no checkpoint or partial folder is left; cost is steps, images and passes."""
    assert sorted(path.name for path in whole.iterdir()) == [
        "metrics.jsonl", "recipe.json", "training.json", "weights.safetensors",
    ]  # fmt: skip
    assert not whole.with_name("whole.partial").exists()
    record = read_training(whole)
    assert (record.training.steps, record.training.images) == (6, 48)
    assert record.training.passes == 48 * (3 + 0.5 * 3)
    assert record.training.objective == "continuity"
    assert record.classes == ("bright", "dark")
    assert json.loads((whole / "recipe.json").read_text())["data"] == data
    assert record.recipe["alpha"] == 2.0
    assert json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 6


def test_a_run_is_a_model_source_with_the_trained_students_logits(whole: Path, data: str) -> None:
    """Oracle: the network built by hand, given the file's weights, on luminance normalised by hand; and the student."""
    subject = subject_of(parse_model(f"run:{whole}", None))
    x = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    network = build("digits", 2)
    network.load_state_dict(load_file(whole / "weights.safetensors"))
    network.eval()
    grey = (x * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True) / (0.2989 + 0.587 + 0.114)
    with torch.no_grad():
        expected = network((grey - 0.4) / 0.3)
        torch.testing.assert_close(subject(x), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(Student.of(subject)(x), subject(x), rtol=1e-4, atol=1e-5)
    assert subject.classes == ("bright", "dark")
    assert (subject.canvas.height, subject.canvas.width) == (12, 12)
    start = build("digits", 2, 0).state_dict()
    assert not torch.equal(start["0.0.weight"], network.state_dict()["0.0.weight"])
    assert len(parse_data(data, None)) == 24


@pytest.mark.parametrize("objective", ["cross_entropy", "augmentation", "stability_training", "augmix", "trades"])
def test_every_objective_trains_by_its_name(data: str, tmp_path: Path, objective: str) -> None:
    """Oracle: the record; weights are finite and new."""
    own = {"data": data, "objective": objective, "steps": 2, "perturb": "linf:4", "alpha": None}
    run = train(PLAIN | own | ({"search_steps": 2} if objective == "trades" else {}), out=tmp_path / "run")
    assert read_training(run).training.objective == objective.replace("_", " ")
    assert all(bool(value.isfinite().all()) for value in load_file(run / "weights.safetensors").values())


def test_an_interrupted_run_goes_on_with_resume(data: str, tmp_path: Path, whole: Path) -> None:
    """Oracle: the uninterrupted run's file of weights, byte for byte."""
    out = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE | {"data": data}, out=out, progress=Pressing(24 + 4))
    assert out.with_name("part.partial").is_dir()
    assert not out.exists()
    with pytest.raises(SemconError, match="unfinished training: go on with --resume"):
        train(RECIPE | {"data": data}, out=out)
    for change, message in (
        ({"alpha": 3.0}, r"alpha was 2\.0, is 3\.0"),
        ({"model": "network:resnet20"}, "model was 'network:digits', is 'network:resnet20'"),
    ):
        with pytest.raises(SemconError, match=f"cannot resume .*{message}.*same recipe"):
            train(RECIPE | change | {"data": data}, out=out, resume=True)
    with pytest.raises(SemconError, match=r"part.partial beside it is unfinished: train again with --resume"):
        Run(str(out)).build()
    assert train(RECIPE | {"data": data}, out=out, resume=True) == out
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_does_not_go_on_with_other_images(data: str, tmp_path: Path) -> None:
    """Oracle: the message, though the recipe is the same: one image of the folder is another."""
    own = Path(shutil.copytree(data.removeprefix("folder:"), tmp_path / "images"))
    recipe = RECIPE | {"data": f"folder:{own}"}
    with pytest.raises(KeyboardInterrupt):
        train(recipe, out=tmp_path / "run", progress=Pressing(24 + 4))
    first, second, *_ = sorted(own.rglob("*.png"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(SemconError, match=r"cannot resume .*images was"):
        train(recipe, out=tmp_path / "run", resume=True)


def test_an_objective_refuses_settings_that_it_does_not_read() -> None:
    """Oracle: the message names the setting and who reads it."""
    for own, message in (
        ({"objective": "augmentation", "alpha": 3}, "augmentation does not read alpha.*continuity, .*trades"),
        ({"objective": "augmix", "search_steps": 3}, r"augmix does not read search_steps.*\(it is of trades\)"),
        ({"objective": "stability_training", "worst_of": 1}, r"does not read worst_of.*\(it is of continuity\)"),
    ):
        with pytest.raises(SemconError, match=message):
            make_objective(train_recipe({"model": "m", "data": "d", "perturb": "linf:4"} | own), 1)
    assert make_objective(train_recipe({"model": "m", "data": "d", "objective": "cross_entropy", "perturb": "hue"}), 1)


def test_a_taken_folder_is_left_alone(data: str, whole: Path) -> None:
    """Oracle: the message."""
    with pytest.raises(SemconError, match="exists already: choose another --out"):
        train(RECIPE | {"data": data}, out=whole)


def test_a_toml_recipe_is_the_same_run(data: str, tmp_path: Path, whole: Path) -> None:
    """Oracle: the run of the dictionary, byte for byte."""
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'model = "network:digits"\ndata = "{data}"\nperturb = ["gaussian_noise:0.2", "brightness"]\nsteps = 6\n'
        'batch_size = 8\nmean = [0.4]\nstd = [0.3]\ndevice = "cpu"\nalpha = 2\nshare = 0.5\n'
    )
    run = train(path, out=tmp_path / "run")
    assert (run / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "unknown setting 'epoch'. Did you mean epochs"),
        ({"perturbation": "hue"}, "Did you mean perturb"),
        ({"epochs": "many"}, "epochs: .*number.*got 'many'"),
        ({"batch_size": 1}, "batch-size: .*greater than or equal to 2"),
        ({"share": 0}, "share: .*greater than 0"),
        ({"optimizer": "sdg"}, "optimizer: .*'sgd' or 'adam'"),
    ],
)
def test_wrong_keys_and_values_are_said(settings: dict[str, Any], message: str) -> None:
    """Oracle: the message names the key, what was expected and what came."""
    with pytest.raises(SemconError, match=message):
        train_recipe({"model": "network:digits", "data": "builtin:mnist5k"} | settings)


def test_a_recipe_needs_model_and_data() -> None:
    """Oracle: the message names what is missing."""
    with pytest.raises(SemconError, match="names no data"):
        train_recipe({"model": "network:digits"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"perturb": []}, "the objective continuity needs perturbations"),
        ({"objective": "trades", "alpha": None}, "trades does not read share.*of augmentation, continuity"),
        ({"objective": "continuty"}, "Did you mean continuity"),
        ({"perturb": "gausian_noise"}, "Did you mean gaussian_noise"),
        ({"perturb": "gaussian_noise:much"}, "limit of gaussian_noise must be a number"),
        ({"perturb": "gaussian_noise:-1"}, "at least 0"),
        ({"perturb": "linf:0.03"}, "did you mean 8"),
        ({"distance": "jensen_shannon"}, "wants probabilities"),
        ({"worst_of": 2, "ascent_steps": 2}, "give one of them"),
        ({"steps": 5, "epochs": 5}, "--steps or --epochs, not both"),
        ({"model": "network:resnet21"}, "Did you mean .*resnet20"),
        ({"model": "network:digits/ten"}, "NAME/CLASSES"),
        ({"limit": 1}, "a batch of 1 of 1 images is too small: expected at least 2"),
    ],
)
def test_recipes_that_cannot_be_trained_are_refused_before_training(
    data: str, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    """Oracle: the message; no run folder appears."""
    with pytest.raises(SemconError, match=message):
        train({"data": data} | RECIPE | settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_start_that_fails_leaves_no_folder(data: str, tmp_path: Path) -> None:
    """Oracle: the message, and a folder as empty as before: the next command can have the name."""
    names = tmp_path / "names.txt"
    names.write_text("only\none\nmore")
    for own, message in (
        ({"learning_rate": 1e30, "steps": 8}, "not finite.*There is no checkpoint yet"),
        ({"classes": str(names)}, "3 class names for"),
        ({"objective": "distillation"}, "what `semcon repair` minimises: expected one of cross_entropy"),
        ({"std": None}, "give --mean and --std, or neither"),
        ({"train": {"model": "x"}}, "train"),
    ):
        with pytest.raises(SemconError, match=message):
            train(RECIPE | {"data": data} | own, out=tmp_path / "run")
        assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]


def test_a_damaged_recipe_is_said_on_resume(data: str, tmp_path: Path) -> None:
    """Oracle: the message names the file."""
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE | {"data": data}, out=tmp_path / "run", progress=Pressing(24 + 4))
    (tmp_path / "run.partial" / "recipe.json").write_text("{")
    with pytest.raises(SemconError, match=r"recipe\.json is damaged"):
        train(RECIPE | {"data": data}, out=tmp_path / "run", resume=True)


def test_recipe_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    """Oracle: the message names the file."""
    with pytest.raises(SemconError, match=r"cannot read the recipe .*missing.toml"):
        read_recipe(tmp_path / "missing.toml")
    (tmp_path / "broken.toml").write_text("steps = = 3")
    with pytest.raises(SemconError, match=r"broken.toml is no TOML file"):
        read_recipe(tmp_path / "broken.toml")


def test_a_recipes_knobs_reach_the_objective() -> None:
    """Oracle: the settings, one by one."""
    own = {"data": "x", "worst_of": 3, "ramp": 0.25, "strength": 0.5, "representation": "penultimate"}
    made: Any = make_objective(train_recipe(RECIPE | own), steps=200)
    constraint = made.constraint
    assert made.weights() == {"continuity": 2.0}
    assert (constraint.options.worst_of, constraint.options.share, constraint.options.ramp) == (3, 0.5, 50)
    assert constraint.neighbourhood.limits == pytest.approx((0.1, 0.15))
    assert constraint.layers == ("penultimate",)
    trades: Any = make_objective(train_recipe(PLAIN | {"data": "x", "objective": "trades", "search_steps": 3}), 1)
    assert (trades.beta, trades.steps) == (2.0, 3)


def test_unknown_settings_carry_their_kind() -> None:
    """Oracle: the error's type, so that the command line says it as it says other names."""
    with pytest.raises(UnknownNameError):
        train_recipe({"model": "x", "data": "y", "stepz": 1})
