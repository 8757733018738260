"""The adversarial evaluation end to end on a small network: rows, what is refused, black boxes, no labels."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from semcon.attacking.eps import eps_ladder
from semcon.canvas import Canvas
from semcon.core.errors import MissingPackageError, SemconError
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.datasets import Arrays
from semcon.evaluating import Conclusion, Setting
from semcon.evaluations import Adversarial
from semcon.loading import Batch, batches, scan
from semcon.measuring.references import Index
from semcon.progress import Silent
from semcon.subject import Subject

N, SIDE = 24, 8
IMAGES = np.random.default_rng(1).integers(40, 216, (N, SIDE, SIDE, 3), dtype=np.uint8)
FEW = {"linf": (1.0, 4.0, 16.0), "l2": (32.0, 128.0), "rotation_translation": (5.0, 30.0), "steps": 5, "samples": 3}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(54, 3))


def measured(
    model: Any, labels: Sequence[int] | None, images: Any = IMAGES, **settings: Any
) -> tuple[SampleTable, Conclusion]:
    subject = Subject(model, name="net", canvas=Canvas(SIDE, SIDE))
    evaluation = Adversarial(gradients=subject.differentiable, **(FEW | settings))
    data = Arrays(images, labels)
    found = scan(data, workers=1)

    def read(rows: Sequence[int]) -> Any:
        return batches(data, subject.canvas, found, rows, batch_size=8, workers=1)

    kept: list[SampleTable] = []
    index = Index(found.ids, found.labels)
    evaluation.run(subject, index, read, skip=set(), keep=kept.append, progress=Silent())
    table = SampleTable.concat(kept)
    return table, evaluation.conclude(subject, table, Batch.concat(list(read(range(len(images))))))


def test_robust_accuracy_is_that_of_the_smallest_sizes() -> None:
    """The estimates of the summary follow from each image's critical size; images wrong at first fall at 0."""
    labels = [i % 3 for i in range(N)]
    table, _ = measured(network(), labels)
    wrong = table.images.filter(pl.col("label") != pl.col("prediction"))["position"].to_list()
    found = {
        (one.perturbation, one.severity): one.mean
        for one in summarise(table)
        if (one.quantity, one.draws, one.subset) == ("accuracy", "worst", "all")
    }
    for name in ("pgd_linf", "pgd_l2", "rotation_translation_attack"):
        rows = table.rows.filter((pl.col("perturbation") == name) & (pl.col("draws") == "critical"))
        critical = rows["critical"].fill_null(float("inf")).to_numpy()
        assert sorted(rows.filter(pl.col("critical") == 0)["position"].to_list()) == sorted(wrong)
        severities = [severity for (row, severity) in found if row == name and severity is not None]
        assert severities
        for severity in severities:
            assert found[name, severity] == pytest.approx((critical > severity).mean())
    for eps in (1.0, 4.0, 16.0):
        assert found["pgd_linf", eps] <= found["fgsm_linf", eps]  # type: ignore[operator]


def test_the_worst_case_is_never_milder_than_random_draws() -> None:
    table, _ = measured(network(), None)
    rows = table.rows.filter(pl.col("perturbation") == "rotation_translation_attack").join(
        table.images.select("position", clean="prediction"), on="position"
    )
    flips = rows.group_by("draws", "severity", "position").agg(flip=(pl.col("prediction") != pl.col("clean")).any())
    both = flips.pivot(on="draws", index=["severity", "position"], values="flip")
    assert not both.filter(pl.col("random") & ~pl.col("worst_flip")).height


def test_copies_of_an_image_make_nothing_surer() -> None:
    """Oracle: the sentence on robust accuracy says the same of every image four times."""
    labels = [i % 3 for i in range(6)]
    _, once = measured(network(), labels, IMAGES[:6])
    _, often = measured(network(), labels * 4, np.concatenate([IMAGES[:6]] * 4))
    assert once.verdict == often.verdict


def test_without_labels_the_untouched_class_is_attacked() -> None:
    table, conclusion = measured(network(), None)
    assert table.rows.filter(pl.col("critical") == 0).height == 0
    assert any("class of the untouched image" in sentence for sentence in conclusion.verdict)


def test_a_black_box_is_attacked_by_its_scores_and_told_so() -> None:
    inner = network().eval()

    def box(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return inner(x)

    table, conclusion = measured(box, None, queries=60)
    assert set(table.perturbations) == {"square_linf", "rotation_translation_attack"}
    by_gradient, _ = measured(inner, None)
    sizes = [
        one.rows.filter((pl.col("perturbation") == name) & (pl.col("draws") == "critical")).sort("position")["critical"]
        for one, name in ((table, "square_linf"), (by_gradient, "pgd_linf"))
    ]
    fell = sizes[0].is_not_null()
    assert fell.any()
    assert bool((sizes[0].filter(fell) >= 0.9 * sizes[1].filter(fell)).all()), "scores alone know less than gradients"
    assert [finding.code for finding in conclusion.findings] == ["adversarial-without-gradients"]


def test_an_output_that_is_not_finite_under_attack_names_its_image() -> None:
    class Brittle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rough = (x * 255 - (x * 255).round()).abs().amax((1, 2, 3)) > 0.01  # off the grid of bytes
            return self.body(x) + torch.where(rough, torch.nan, 0.0)[:, None]

    with pytest.raises(SemconError, match=r"NaN or infinite for .* under"):
        measured(Brittle(), None)


def test_probabilities_are_attacked_through_their_logarithm() -> None:
    """The sizes are those of the network before its softmax, which only moves scores by a constant."""
    plain, _ = measured(network(), None)
    table, conclusion = measured(nn.Sequential(network(), nn.Softmax(1)), None)
    assert any("probabilities" in sentence for sentence in conclusion.verdict)
    sizes = [
        one.rows.filter((pl.col("perturbation") == "pgd_linf") & (pl.col("draws") == "critical"))["critical"]
        for one in (plain, table)
    ]
    difference = (sizes[0].fill_null(99.0) - sizes[1].fill_null(99.0)).abs()
    assert float(difference.median() or 0) < 0.2  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "meant"), [(8 / 255, "did you mean 8"), (0.01, "did you mean 3"), (0, "untouched")])
def test_shares_of_1_are_refused(given: float, meant: str) -> None:
    with pytest.raises(SemconError, match=meant) as caught:
        eps_ladder((given,))
    assert caught.value.exit_code == 2
    with pytest.raises(SemconError, match=meant):
        Adversarial(linf=(given,))


def test_sizes_are_sorted_and_come_once() -> None:
    assert eps_ladder((8, 2, 2.0, 0.5)) == (0.5, 2.0, 8.0)
    assert eps_ladder((), "l2") == ()


def test_autoattack_that_is_missing_is_told_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'semcon\[attacks\]'"):
        Adversarial(autoattack=(2.0,)).settled(None, None)  # type: ignore[arg-type]
    assert Adversarial.planned(Setting("full", SIDE, SIDE)).autoattack == ()


@pytest.mark.slow
def test_autoattack_agrees_on_a_small_network() -> None:
    """Never above our own attack by more than an image, nor the reverse; the global random state stays."""
    pytest.importorskip("pyautoattack")
    state = torch.get_rng_state()
    table, _ = measured(network(), None, autoattack=(4.0,), steps=20, restarts=3)
    assert torch.equal(torch.get_rng_state(), state)
    own = table.images.select("position", clean="prediction")
    rows = table.rows.filter((pl.col("severity") == 4) & (pl.col("draws") == "worst_flip")).join(own, on="position")
    standing = {
        name: rows.filter((pl.col("perturbation") == name) & (pl.col("prediction") == pl.col("clean"))).height
        for name in ("pgd_linf", "autoattack_linf")
    }
    assert abs(standing["pgd_linf"] - standing["autoattack_linf"]) <= 1
