"""Wishes from text, recipes of a repair, and training towards a wish."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import repair_parts as parts
from semcon.core.errors import SemconError
from semcon.core.training_record import read_training
from semcon.loading import scan
from semcon.recipes.repair import repair, repair_recipe
from semcon.recipes.train import train
from semcon.recipes.wish import parse_wish
from semcon.repairing.splitting import held_out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy >= -1", ("accuracy", None, None, ">=", -1.0)),
        ("  accuracy>-0.5 ", ("accuracy", None, None, ">", -0.5)),
        ("gaussian_noise:0.05 relative_change <= 0.2", ("relative_change", "gaussian_noise", 0.05, "<=", 0.2)),
        ("linf:2 accuracy >= 0.8", ("accuracy", "linf", 2.0, ">=", 0.8)),
        ("hue:0.1 random flip < 1e-2", ("flip", "hue", 0.1, "<", 0.01)),
    ],
)
def test_wishes_are_read(text: str, expected: tuple[Any, ...]) -> None:
    """Oracle: the parts by hand."""
    wish = parse_wish(text)
    assert (wish.quantity, wish.perturbation, wish.severity, wish.operator, wish.threshold) == expected
    assert wish.text == text.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read the wish '': a wish says what shall hold"),
        ("accuracy", "cannot read the wish"),
        ("accuracy >= -1%", "cannot read the wish"),
        ("accuracy >= nan", "cannot read the wish"),
        ("accuracy == 1", "cannot read the wish"),
        ("accuracy >= -1; accuracy >= -2", "cannot read the wish"),
        ("accuracy >= 1", "more accuracy than the original"),
        ("accuracy >= -100", "always met"),
        ("accuracy <= -1", "worse network"),
        ("gaussian_noise:0.1 flip >= 0.2", "worse network"),
        ("gaussian_noise:0.1 flip <= 20", "share of the images, expected a number from 0 to 1"),
        ("gaussian_noise:0.1 accuracy >= -1", "share of the images"),
        ("gaussian_noise:0.1 relative_change <= -0.1", "never be met"),
        ("gaussian_noise flip <= 0.1", "names no severity"),
        ("gaussian_noise:0 flip <= 0.1", "untouched image"),
        ("gaussian_noise:inf flip <= 0.1", "a finite number"),
        ("gaussian_noise:nan flip <= 0.1", "at least 0"),
        ("flip <= 0.1", "names no perturbation"),
        ("gausian_noise:0.1 flip <= 0.1", "Did you mean gaussian_noise"),
        ("gaussian_noise:0.1 flop <= 0.1", "Did you mean flip"),
        ("gaussian_noise:0.1 worst flip <= 0.1", "cannot wish for"),
        ("gaussian_noise:0.1 relative_change[logits.l2] <= 0.1", "cannot wish for"),
        ("accuracy[sex=f] >= -1", "cannot wish for"),
        ("gaussian_noise:0.1 critical_severity > 0.1", "cannot wish for"),
        ("linf:0.03 flip <= 0.1", "did you mean 8"),
        ("posterize:2.5 flip <= 0.1", "whole number"),
        ("accuracy >= -1\n[red]x", "cannot read the wish"),
    ],
)
def test_wishes_that_say_nothing_are_refused(text: str, message: str, tmp_path: Path) -> None:
    """Oracle: the message, before any image is read; nothing is written."""
    with pytest.raises(SemconError, match=message):
        repair({"model": "network:digits", "data": "folder:nowhere", "wish": text}, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wishes": "accuracy >= -1"}, "Did you mean wish"),
        ({"alpha": 0}, "alpha: .*greater than 0"),
        ({"budget": "huge"}, "budget"),
        ({"looks": 0}, "looks: .*greater than or equal to 1"),
        ({"clip": -1}, "clip: .*greater than 0"),
    ],
)
def test_wrong_settings_are_said(settings: dict[str, Any], message: str) -> None:
    """Oracle: the message names the key."""
    with pytest.raises(SemconError, match=message):
        repair_recipe({"model": "network:digits", "data": "x"} | settings)


def test_a_taken_folder_is_left_alone_before_anything_is_read(tmp_path: Path) -> None:
    """Oracle: the message, though the data do not exist."""
    own = {"model": "network:digits", "data": "folder:nowhere"}
    (tmp_path / "out").mkdir()
    with pytest.raises(SemconError, match="exists already: choose another --out"):
        repair(own, out=tmp_path / "out")
    with pytest.raises(SemconError, match="nothing is wished"):
        repair(own | {"wish": ()}, out=tmp_path / "other")
    with pytest.raises(SemconError, match="cannot be a run folder: File name too long"):
        repair(own, out=tmp_path / ("x" * 300))


TRAINING: dict[str, Any] = {
    "model": "network:digits", "data": parts.corners(300), "perturb": "gaussian_noise:0.2", "steps": 20, "select": 0.4,
    "batch_size": 16, "looks": 4, "device": "cpu", "mean": 0.4, "std": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def wished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(
        TRAINING | {"wish": "gaussian_noise:0.2 relative_change <= 0.001"},
        out=tmp_path_factory.mktemp("wished") / "run",
    )


def test_training_towards_a_bounded_change_raises_alpha(wished: Path) -> None:
    """Oracle: by hand: looks at 5, 10, 15 and 20; missed by more than its threshold, lambda goes 4, 8, 12, 16 between
    30 % and 80 % of the run; images held out are not trained on; the outcome is kept.
    """
    lines = [json.loads(line) for line in (wished / "metrics.jsonl").read_text().splitlines()]
    looks = [line for line in lines if line["kind"] == "look"]
    assert [line["step"] for line in looks] == [5, 10, 15, 20]
    assert [line["alpha"] for line in looks] == pytest.approx([4, 8, 12, 12])
    outcome = json.loads((wished / "wish.json").read_text())
    assert outcome["met"] is False
    assert [point["where"] for point in outcome["points"]] == ["step 5", "step 10", "step 15", "step 20", "trained"]
    assert outcome["points"][-1]["values"] == outcome["points"][-2]["values"]
    assert read_training(wished).recipe["wish"] == ["gaussian_noise:0.2 relative_change <= 0.001"]
    kept, held = held_out(scan(TRAINING["data"]).ids, 0, 0.4)
    assert (len(kept), len(held)) == (180, 120)


def test_training_that_was_stopped_keeps_its_multiplier(
    wished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the uninterrupted run's weights, metrics and outcome, byte for byte."""
    clock = itertools.count(0, 40)  # a checkpoint after every step
    monkeypatch.setattr("semcon.training.loop.time.perf_counter", lambda: next(clock))
    own, out = TRAINING | {"wish": "gaussian_noise:0.2 relative_change <= 0.001"}, tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(own, out=out, progress=parts.StoppingAt("training", 13))
    train(own, out=out, resume=True)
    for name in ("weights.safetensors", "metrics.jsonl", "wish.json"):
        assert (out / name).read_bytes() == (wished / name).read_bytes()


@pytest.mark.parametrize("change", [{}, {"select": 0.35}, {"select": 0.4, "seed": 1}, {"select": 0.4, "limit": 299}])
def test_a_baseline_that_has_seen_the_images_held_out_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    """Oracle: the message; the one of the same data, seed and share held out is taken."""
    plain = {key: value for key, value in TRAINING.items() if key not in ("select", "looks", "perturb")}
    flattered = train(plain | {"objective": "cross_entropy", "steps": 1} | change, out=tmp_path / "flattered")
    wish = TRAINING | {"wish": "accuracy >= -0.5", "steps": 1}
    with pytest.raises(SemconError, match=r"flattered: train it on the same data with --select 0.4 --seed 0"):
        train(wish | {"baseline": str(flattered)}, out=tmp_path / "run")
    assert not list(tmp_path.glob("run*"))


def test_select_without_a_wish_holds_images_out_for_a_baseline(tmp_path: Path) -> None:
    """Oracle: 180 of 300 images fill 11 batches of 16 an epoch; the wish against it is measured."""
    plain = {key: value for key, value in TRAINING.items() if key not in ("looks", "perturb", "steps")}
    fair = train(plain | {"objective": "cross_entropy", "epochs": 1}, out=tmp_path / "fair")
    assert read_training(fair).training.steps == 11
    run = train(TRAINING | {"wish": "accuracy >= -99", "steps": 2, "baseline": str(fair)}, out=tmp_path / "run")
    assert json.loads((run / "wish.json").read_text())["met"]


def test_accuracy_is_wished_for_against_a_baseline(wished: Path, tmp_path: Path) -> None:
    """Oracle: the same network as its own baseline gains 0 points at the end of the same run."""
    with pytest.raises(SemconError, match="name its run with --baseline RUN"):
        train(TRAINING | {"wish": "accuracy >= -0.5"}, out=tmp_path / "none")
    own = TRAINING | {"wish": "accuracy >= -0.5", "baseline": str(wished)}
    run = train(own, out=tmp_path / "out")
    outcome = json.loads((run / "wish.json").read_text())
    first = json.loads((wished / "wish.json").read_text())["points"][-1]["accuracy"]
    last = outcome["points"][-1]
    assert last["values"][0] == pytest.approx(100 * (last["accuracy"] - first))
    assert outcome["met"] is (last["values"][0] >= -0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "augmentation"}, "expected --objective continuity, got augmentation"),
        ({"select": 0.1}, "30 of 300 images are too few to look at: expected 100 or more"),
        ({"baseline": "x"}, "there is no such wish"),
        ({"alpha": 0}, "expected one above 0, or none"),
        ({"wish": "accuracy >= -1", "baseline": "nowhere"}, "nowhere holds no trained network"),
    ],
)
def test_wishes_that_training_cannot_serve_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Oracle: the message; no run folder."""
    with pytest.raises(SemconError, match=message):
        train(TRAINING | {"wish": "gaussian_noise:0.2 flip <= 0.1"} | settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
