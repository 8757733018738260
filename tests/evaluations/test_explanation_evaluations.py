"""The evaluations of explanations end to end: rows, estimates, the page, gates, comparisons, resuming, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

import semcon
from semcon.comparing.compare import side_by_side
from semcon.core.errors import SemconError
from semcon.datasets import Shapes
from semcon.gate import judge
from semcon.rules import parse_rule
from semcon.run_record import RunRecord

EVERY = "explanation_stability,explanation_faithfulness,explanation_focus"
N, SIZE = 12, 16


class Centre(nn.Module):
    """Class 1 is how much red there is in the middle: it looks at one patch and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        red = x[:, 0, 6:10, 6:10].mean((1, 2)) * self.scale
        return torch.stack([1 - red, red], 1)


class Masked:
    """Images whose object is the patch in the middle."""

    name, source, classes = "masked", "python:Masked", ("0", "1")

    def __init__(self) -> None:
        self.pixels = np.random.default_rng(0).integers(40, 200, (N, SIZE, SIZE, 3), dtype=np.uint8)

    def __len__(self) -> int:
        return N

    def label(self, index: int) -> int:
        return index % 2

    def title(self, index: int) -> str:
        return f"image {index}"

    def identity(self, index: int) -> int:
        return 1000 + index

    def image(self, index: int) -> np.ndarray:
        return self.pixels[index]

    def mask(self, index: int) -> np.ndarray:
        where = np.zeros((SIZE, SIZE), bool)
        where[6:10, 6:10] = True
        return where


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.AvgPool2d(4), nn.Flatten(),
            nn.Linear(6 * 16, 5),
        )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """All three on shapes, which have masks."""
    out = tmp_path_factory.mktemp("explained") / "run"
    return semcon.audit(network(), Shapes(limit=N, size=SIZE), mean=0.5, std=0.25, evaluate=EVERY, out=out)


def estimates(run: RunRecord, evaluation: str, quantity: str) -> dict[str | None, float | None]:
    found = next(one for one in run.record.evaluations if one.name == evaluation).estimates
    return {e.representation: e.mean for e in found if e.quantity == quantity and e.subset == "all"}


def test_a_model_that_looks_at_one_patch_has_all_its_focus_there(tmp_path: Path) -> None:
    """Mass 1, pointing 1 for what is exact; what a map earns that knows nothing is the patch's share."""
    record = semcon.audit(
        Centre(), Masked(), mean=0.0, std=1.0, evaluate="explanation_focus", out=tmp_path / "run",
        explanations="gradient,integrated_gradients,input_x_gradient",
    )  # fmt: skip
    inside, pointing = (estimates(record, "explanation_focus", one) for one in ("mass_inside", "pointing_game"))
    for name in ("gradient", "integrated_gradients", "input_x_gradient"):
        assert inside[name] is None or inside[name] == pytest.approx(1)
        assert pointing[name] is None or pointing[name] == pytest.approx(1)
    assert inside["gradient"] == pytest.approx(1)
    assert inside["chance"] == pytest.approx(16 / SIZE**2)


def test_rows_and_estimates(run: RunRecord) -> None:
    """A likeness a row and method, means over the rows; `moved` only where the prediction stays."""
    table = run.of("explanation_stability").samples
    rows = table.joined()
    column = "integrated_gradients.rank_correlation"
    noisy = rows.filter(pl.col("perturbation") == "gaussian_noise")
    mean = estimates(run, "explanation_stability", "rank_correlation")
    assert set(mean) == {"grad_cam", "integrated_gradients"}
    found = [
        e.mean for one in run.record.evaluations for e in one.estimates
        if (e.perturbation, e.representation, e.quantity, e.subset)
        == ("gaussian_noise", "integrated_gradients", "rank_correlation", "all")
    ]  # fmt: skip
    assert found == [pytest.approx(noisy[column].mean())]
    flipped = rows.filter(pl.col("prediction") != pl.col("clean_prediction"))
    assert flipped["integrated_gradients.moved"].null_count() == len(flipped)
    kept = rows.filter((pl.col("prediction") == pl.col("clean_prediction")) & pl.col(column).is_not_null())
    assert kept["integrated_gradients.moved"].to_list() == (kept["integrated_gradients.top_overlap"] < 0.5).to_list()
    faithful = run.of("explanation_faithfulness").samples
    assert len(faithful.rows) == 0
    areas = estimates(run, "explanation_faithfulness", "deletion_blur")
    assert areas["grad_cam"] == pytest.approx(faithful.images["grad_cam.deletion_blur"].mean())


def test_the_page_shows_a_gallery_and_tables(run: RunRecord) -> None:
    page = (run.folder / "report.html").read_text("utf-8")
    for text in ("Do explanations stay?", "map of x′", "knowing nothing", "area under deletion curves"):
        assert text.lower() in page.lower(), text
    entries = next(one for one in run.record.evaluations if one.name == "explanation_stability").explained
    assert entries
    assert all((run.folder / name).is_file() for one in entries for name in one.files.values())
    assert {*entries[0].files} == {"image", "copy", "map", "copy_map", "difference"}


def test_gates_speak_of_methods(run: RunRecord) -> None:
    """All methods, or one by name."""
    two, single = (judge(run.record, [parse_rule(f"mass_inside{name} < 0")]) for name in ("", "[grad_cam]"))
    assert [one.name for one in two] == ["mass_inside[grad_cam] < 0", "mass_inside[integrated_gradients] < 0"]
    assert len(single) == 1
    (found,) = judge(run.record, [parse_rule("rotation rank_correlation[integrated_gradients] > 1")])
    assert found.state == "passed"
    with pytest.raises(SemconError, match="rise"):
        judge(run.record, [parse_rule("rotation rank_correlation[rise] > 1")])


def test_what_knows_nothing_is_judged_by_name_alone(run: RunRecord) -> None:
    (chance,) = judge(run.record, [parse_rule("mass_inside[chance] < 0")])
    assert chance.state == "passed"


def test_two_runs_are_paired(run: RunRecord) -> None:
    """A run against itself: every difference of an explanation is 0."""
    plain = semcon.compare(run.folder, run.folder).to_json()
    parts = {one["evaluation"]: one["estimates"] for one in (plain, *plain["others"])}
    found = [one for name in EVERY.split(",") for one in parts[name] if one["representation"] == "grad_cam"]
    assert {"ssim", "moved", "deletion_mean", "infidelity", "gini"} <= {one["quantity"] for one in found}
    assert all(one["difference"] == 0 for one in found)


def test_a_black_box_has_the_explanations_that_need_no_gradient(tmp_path: Path) -> None:
    net = network().eval()

    def box(x: Tensor) -> Tensor:
        return net(x).detach()

    data = torch.rand(6, 3, SIZE, SIZE), torch.arange(6) % 5
    record = semcon.audit(
        box, data, mean=0.0, std=1.0, evaluate="explanation_focus", explanations="occlusion", out=tmp_path / "run"
    )
    assert set(estimates(record, "explanation_focus", "gini")) == {"occlusion"}
    with pytest.raises(SemconError, match="grad_cam needs gradients"):
        semcon.audit(box, data, mean=0.0, std=1.0, evaluate=EVERY, explanations="grad_cam")


def test_what_is_wrong_is_told_before_anything_is_measured() -> None:
    data = torch.rand(4, 3, SIZE, SIZE), torch.arange(4)
    with pytest.raises(SemconError, match=r"unknown layer '2x'.*[Dd]id you mean"):
        semcon.audit(network(), data, mean=0.0, std=1.0, evaluate=EVERY, explanations="grad_cam:2x")
    with pytest.raises(SemconError, match="--explanations belongs to the evaluation explanation_stability"):
        semcon.audit(network(), data, mean=0.0, std=1.0, explanations="grad_cam")


class Bright(nn.Module):
    """Sure of class 1 only while the patch in the middle is brighter than the rest: whatever covers it lowers that."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, x: Tensor) -> Tensor:
        gap = x[:, :, 6:10, 6:10].mean((1, 2, 3)) - x.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(gap), gap * self.scale], 1)


class Lit(Masked):
    """Images with a bright patch in the middle."""

    def image(self, index: int) -> np.ndarray:
        pixels = self.pixels[index] // 4
        pixels[6:10, 6:10] += 180
        return pixels


def test_faithfulness_is_told_beside_an_order_that_knows_nothing() -> None:
    """The patch first beats a random order; of maps that say nothing nothing is told, and nothing is claimed."""

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.new_tensor([0.0, 1.0]).expand(len(x), 2) + 0 * x.sum((1, 2, 3))[:, None]

    asked = {"mean": 0.0, "std": 1.0, "explanations": "gradient,input_x_gradient"}
    seeing = semcon.audit(Bright(), Lit(), evaluate="explanation_faithfulness", **asked)
    blind = semcon.audit(Constant(), Lit(), evaluate="explanation_faithfulness", **asked)
    own = estimates(seeing, "explanation_faithfulness", "deletion_mean")
    assert own["gradient"] < own["chance"] - 0.1
    verdict = seeing.record.evaluations[0].verdict[1]
    assert "is lowest in the order of" in verdict
    assert "in a random one" in verdict
    none = estimates(blind, "explanation_faithfulness", "deletion_blur")
    assert none["gradient"] is None
    assert none["chance"] == pytest.approx(np.exp(1) / (1 + np.exp(1)))
    assert not blind.record.evaluations[0].verdict


def test_what_stands_beside_a_method_is_of_the_images_that_it_has_maps_of(tmp_path: Path) -> None:
    """Half of the images are answered alike whatever they show: their maps are blank, and their objects small."""

    class Gated(Bright):
        def forward(self, x: Tensor) -> Tensor:
            red = (x[:, 0, :8].mean((1, 2)) - 0.45).relu()
            return torch.stack([0 * red, 12 * red], 1)

    class Uneven(Masked):
        def __init__(self) -> None:
            super().__init__()
            self.pixels[::2] = self.pixels[::2] // 2 + 128
            self.pixels[1::2] //= 4

        def mask(self, index: int) -> np.ndarray:
            return super().mask(index) if index % 2 else np.arange(SIZE)[:, None].repeat(SIZE, 1) < 8

    every = "explanation_faithfulness,explanation_focus"
    run = semcon.audit(Gated(), Uneven(), evaluate=every, explanations="input_x_gradient", out=tmp_path / "run")
    faith, focus = run.record.evaluations
    images = run.of("explanation_faithfulness").samples.images
    known = images.filter(pl.col("input_x_gradient.deletion_mean").is_not_null())
    assert len(known) == N // 2
    assert f"{known['chance.deletion_mean'].mean():.3f} in a random one" in faith.verdict[1]
    assert "the object, which takes 50 % of the canvas" in focus.verdict[0]
    semcon.audit(Bright(), Uneven(), evaluate=every, explanations="input_x_gradient", out=tmp_path / "other")
    (pair,) = side_by_side([tmp_path / "run", tmp_path / "other"]).comparisons
    inside = [row for one in pair.every for row in one.differences if row.quantity == "mass_inside"]
    assert any(row.reason and row.reason.startswith(f"known of {N // 2} images on the first side") for row in inside)


@pytest.mark.parametrize("learned", [True, False])
def test_who_ignores_the_weights_is_told_and_who_looks_at_one_patch_is_not_accused(learned: bool) -> None:
    """Controls: weights that are all alike stay as they are when shuffled; a patch's maps share all zeros around it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter) if learned else nn.init.constant_(parameter, 0.1)

    class Patch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x[:, :, 4:12, 4:12]) + 1e-3 * torch.arange(5, device=x.device)

    record = semcon.audit(
        Patch(), Shapes(size=SIZE, limit=40), evaluate="explanation_faithfulness", explanations=("gradient",)
    ).record
    (one,) = [e for e in record.evaluations[0].estimates if e.quantity == "randomised" and e.subset == "all"]
    accused = "explanation-ignores-weights" in [finding.code for finding in record.findings]
    assert accused is not learned
    if not learned:
        assert one.mean is None or one.mean > 0.99


def test_masks_without_an_object_are_said_to_say_nothing() -> None:
    class Dark(Masked):
        def mask(self, index: int) -> np.ndarray:
            return np.zeros((SIZE, SIZE), bool)

    class Full(Masked):
        def mask(self, index: int) -> np.ndarray:
            return np.ones((SIZE, SIZE), bool)

    for data, told in ((Dark(), "12 of 12 masks show no object"), (Full(), "12 of 12 masks are all object"),
                       (Masked(), None)):  # fmt: skip
        found = semcon.audit(Centre(), data, mean=0.0, std=1.0, evaluate="explanation_focus").record.findings
        assert [one.message for one in found if one.code == "masks-say-nothing"] == ([told] if told else [])


def test_networks_of_two_architectures_are_compared_though_their_layers_differ(tmp_path: Path) -> None:
    """GradCAM settles on another layer of each; every difference is there, and a rule may speak of it."""

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    for name, model in (("one", network()), ("two", Wrapped())):
        semcon.audit(model, Shapes(limit=N, size=SIZE), mean=0.5, std=0.25, evaluate="explanation_focus",
                     out=tmp_path / name)  # fmt: skip
    together = side_by_side([tmp_path / "one", tmp_path / "two"])
    found = {(d.representation, d.quantity): d.difference for c in together.comparisons for part in c.every
             for d in part.differences if d.subset == "all"}  # fmt: skip
    assert found["grad_cam", "mass_inside"] == pytest.approx(0, abs=1e-6)
    assert found["integrated_gradients", "gini"] == pytest.approx(0, abs=1e-6)


def test_the_users_perturbations_are_tried() -> None:
    record = semcon.audit(Centre(), Masked(), mean=0.0, std=1.0, evaluate="explanation_stability",
                          explanations="gradient", perturbations=["hue:0.1", "rotation:5/10"]).record  # fmt: skip
    tried = {(one.name, one.severities) for one in record.evaluations[0].perturbations}
    assert tried == {("hue", (0.1,)), ("rotation", (5.0, 10.0))}


def test_of_a_model_that_says_nan_that_is_told() -> None:
    class Nan(Centre):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 0 * 0

    for evaluate in ("continuity", "explanation_focus"):
        with pytest.raises(SemconError, match="is NaN or infinite for 12 images"):
            semcon.audit(Nan(), Masked(), mean=0.0, std=1.0, evaluate=evaluate)
