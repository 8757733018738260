"""Smoothness end to end on models whose figures are known. Oracles: lines, scale, the plan, the model asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.core.record import Finding
from semcon.core.summary import summarise
from semcon.core.table import SampleTable
from semcon.datasets import Arrays
from semcon.evaluating import Setting
from semcon.evaluations import Smoothness
from semcon.keyed import Keys
from semcon.loading import Batch, batches, scan
from semcon.measuring.references import Index
from semcon.measuring.slopes import Margin
from semcon.measuring.surface import sign_directions
from semcon.progress import Silent
from semcon.subject import Subject

N, SIZE = 12, 8
IMAGES = np.random.default_rng(0).integers(90, 165, (N, SIZE, SIZE, 3), dtype=np.uint8)  # far from 0 and 255
FAST = Smoothness.planned(Setting("fast", SIZE, SIZE))
SHORT = replace(FAST, paths=(("brightness", 0.2), ("gaussian_noise", 0.02)), steps=4)


def network(bent: bool = True, scale: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 16), nn.Tanh() if bent else nn.Identity(), nn.Linear(16, 4)]
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    last.weight.data *= scale
    last.bias.data *= scale
    return nn.Sequential(*layers)


def subject(model: Any, **options: Any) -> Subject:
    return Subject(model, name="net", canvas=Canvas(SIZE, SIZE), **options)


def probe(model: Subject, order: list[int] | None = None) -> Batch:
    data = Arrays(IMAGES, [i % 4 for i in range(N)])
    return Batch.concat(list(batches(data, model.canvas, scan(data), order or range(N), batch_size=5)))


def measured(model: Subject, evaluation: Smoothness = SHORT, batch_size: int = 5) -> SampleTable:
    data = Arrays(IMAGES, [i % 4 for i in range(N)])
    found, kept = scan(data), []
    evaluation.settled(model, probe(model)).run(
        model, Index(found.ids, found.labels),
        lambda rows: batches(data, model.canvas, found, rows, batch_size=batch_size),
        skip=set(), keep=kept.append, progress=Silent(),
    )  # fmt: skip
    return SampleTable.concat(kept)


def test_a_linear_model_answers_a_straight_path_with_one():
    """Brightness and unclipped noise move the image evenly along a line; nothing bends the output or the gradient."""
    table = measured(subject(network(bent=False)))
    paths = table.rows.filter(pl.col("draws") == "random")
    for what in ("logits", "pixels"):
        np.testing.assert_allclose(paths[f"{what}.straightness"], 1, atol=1e-3)
        np.testing.assert_allclose(paths[f"{what}.path_curvature"], 0, atol=0.05)
    slopes = table.images["gradient_norm"].to_numpy()
    assert (table.images["input_curvature"].to_numpy() < 1e-2 * slopes).all()


def test_a_bent_model_is_bent():
    """A tanh between the layers: the same paths, whose pixels stay straight."""
    table = measured(subject(network(scale=3.0)), replace(SHORT, paths=(("brightness", 0.3), ("rotation", 30.0))))
    bright, turned = (table.rows.filter(pl.col("perturbation") == name) for name in ("brightness", "rotation"))
    assert bright["logits.path_curvature"].median() > 0.05  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
    assert bright["pixels.path_curvature"].max() < 0.01  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
    assert turned["pixels.straightness"].median() < 0.95  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
    assert (table.images["input_curvature"] > 0).all()


def test_scaling_the_logits_changes_no_figure():
    """Ten times the logits, the same predictions: every estimate but those of confidence."""
    plain, scaled = (summarise(measured(subject(network(scale=scale)))) for scale in (1.0, 10.0))
    compared = 0
    for one, other in zip(plain, scaled, strict=True):
        assert one.key == other.key
        if one.quantity != "confidence_drop":
            assert other.mean == pytest.approx(one.mean, rel=2e-2, abs=2e-3)
            compared += 1
    assert {one.quantity for one in plain} >= {
        "gradient_norm", "input_curvature", "lipschitz", "straightness", "path_curvature"
    }  # fmt: skip
    assert compared > 20


def test_the_steepest_chord_is_at_least_the_gradient_allows():
    """As the ball shrinks the largest chord tends to the Jacobian's norm, which is at least |gradient| / sqrt 2."""
    table = measured(subject(network()), replace(SHORT, steps=20, restarts=2))
    rows = table.rows.filter(pl.col("draws") == "worst_slope").pivot("severity", index="position", values="lipschitz")
    rows = rows.join(table.images, on="position")
    assert (rows["32.0"] >= 0.97 * rows["gradient_norm"] / 2**0.5).all()
    assert (rows["128.0"] >= rows["32.0"] * (1 - 1e-3)).all()


def test_rows_do_not_depend_on_the_batches():
    one, other = (measured(subject(network()), batch_size=size) for size in (1, 12))
    for name in ("images", "rows"):
        left, right = (getattr(table, name).sort(pl.all().exclude(pl.Float32)) for table in (one, other))
        for column, kind in left.schema.items():
            if kind == pl.Float32:
                np.testing.assert_allclose(left[column].cast(float), right[column].cast(float), rtol=2e-2, atol=3e-2)
            else:
                assert left[column].equals(right[column], null_equal=True)


def test_without_gradients_only_paths_are_measured():
    net = network()
    blind = subject(lambda x: net(x).detach())
    settled = SHORT.settled(blind, probe(blind))
    assert [one.name for one in settled.attempts()] == ["brightness", "gaussian_noise"]
    table = measured(blind)
    assert set(table.rows["draws"]) == {"random"}
    assert table.images["gradient_norm"].null_count() == table.images["input_curvature"].null_count() == N
    np.testing.assert_allclose(
        table.rows.filter(pl.col("perturbation") == "brightness")["logits.straightness"],
        measured(subject(net)).rows.filter(pl.col("perturbation") == "brightness")["logits.straightness"], rtol=1e-4,
    )  # fmt: skip
    conclusion = settled.conclude(blind, table, probe(blind))
    assert [one.code for one in conclusion.findings] == ["smoothness-without-gradients"]
    assert len(conclusion.verdict) == 1
    assert "random sign" in conclusion.maps[0].x_label


def test_the_conclusion_pictures_keyed_images_and_one_that_flips():
    model = subject(network(scale=3.0))
    table = measured(model)
    conclusion = SHORT.conclude(model, table, probe(model))
    assert conclusion.findings == ()
    assert len(conclusion.maps) == 4
    for one in conclusion.maps:
        assert (len(one.values), len(one.values[0])) == (21, 21)
        assert one.values[10][10] == pytest.approx(1, abs=1e-3)
        assert one.values[10][20] < 1  # pyright: ignore[reportOptionalOperand]
    batch = probe(model)
    margin = Margin.at(model, batch.x)
    _, upward = sign_directions(margin, Keys(batch.ids, SHORT.seed, 0, "surface"), tuple(batch.x.shape[1:]))
    for one in conclusion.maps:
        row = batch.positions.tolist().index(int(one.name.partition("_")[2]))
        logits = model((batch.x[row] + one.y[0] / 255 * upward[row]).clamp(0, 1)[None])[0]
        top = int(margin.top[row])
        others = torch.cat((logits[:top], logits[top + 1 :])).max()
        assert one.values[0][10] == pytest.approx(float((logits[top] - others) / margin.value[row]), abs=1e-3)
    shuffled = SHORT.conclude(model, table, probe(model, list(reversed(range(N)))))
    assert [one.name for one in shuffled.maps] == [one.name for one in conclusion.maps]
    norm = table.images["gradient_norm"].quantile(0.5, "lower")
    assert norm is not None
    assert f"an L2 distance of {255 / norm:.0f}/255" in conclusion.verdict[0]


@pytest.mark.parametrize("reach", [1.0, 60.0])
def test_an_image_that_flips_is_pictured_where_there_is_one(reach: float):
    """And one that stays, where there is one: the right end of the middle row is the sign step itself."""
    evaluation, model = replace(SHORT, reach=reach), subject(network(scale=3.0))
    x = probe(model).x
    margin_ends = [one.values[10][20] for one in evaluation.conclude(model, measured(model), probe(model)).maps]
    source = x.clone().requires_grad_()
    top = model(source).topk(2, dim=1)
    (gradient,) = torch.autograd.grad((top.values[:, 0] - top.values[:, 1]).sum(), source)
    with torch.no_grad():
        copies = (x - gradient.sign() * reach / 255).clamp(0, 1)
        flips = set((model(copies).argmax(1) != top.indices[:, 0]).tolist())
    assert {end < 0 for end in margin_ends} == flips  # pyright: ignore[reportOptionalOperand]


def test_budgets_grow_and_limits_bound_the_paths():
    model = subject(network())
    fast, standard, full = (Smoothness.planned(Setting(name, SIZE, SIZE)) for name in ("fast", "standard", "full"))
    assert fast.passes(model) < standard.passes(model) < full.passes(model)
    digits = Smoothness.planned(Setting("fast", SIZE, SIZE, limits={"rotation": 10.0, "gaussian_blur": 0.0}))
    assert dict(digits.paths)["rotation"] == 10.0
    assert "gaussian_blur" not in dict(digits.paths)


def test_half_precision_is_said():
    model = subject(network(), precision="bf16")
    found: tuple[Finding, ...] = SHORT.conclude(model, measured(model), probe(model)).findings
    assert [one.code for one in found] == ["smoothness-in-half-precision"]


def test_an_output_that_is_not_finite_names_its_image():
    class Broken(nn.Module):
        def __init__(self, inner: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            logits = self.inner(x)
            dark = x.mean((1, 2, 3)) < 0.44
            return torch.where(dark[:, None], torch.nan, logits)

    model = subject(Broken(network()))
    with pytest.raises(Exception, match=r"NaN or infinite for .*under brightness up to severity 0\.2"):
        measured(model)
