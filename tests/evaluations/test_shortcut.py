"""What a model goes by, from images to sentences. Oracle: models that see one thing alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.core.errors import SemconError
from semcon.core.record import Estimate
from semcon.core.table import SampleTable
from semcon.datasets import Arrays, Shapes
from semcon.evaluating import Conclusion, Setting
from semcon.evaluations import Frequency, Shortcut
from semcon.loading import Batch, as_dataset, batches, mask_reader, scan
from semcon.measuring.gauges import choose_gauges
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.references import Index
from semcon.perturbations import BackgroundSwap
from semcon.progress import Silent
from semcon.subject import Subject

SIZE, N = 16, 60


class Objects:
    """A square of one brightness on a background of another, both 0 or 1 in four turns; colours on request."""

    name = source = "objects"
    classes = None

    def __init__(self, label: str = "background") -> None:
        self.label_is = label

    def __len__(self) -> int:
        return N

    def label(self, index: int) -> int:
        return index % 2 if self.label_is == "background" else index // 2 % 2

    def title(self, index: int) -> str:
        return str(index)

    def identity(self, index: int) -> int:
        return index + 1

    def mask(self, index: int) -> np.ndarray:
        mask = np.zeros((SIZE, SIZE), bool)
        mask[4:12, 4:12] = True
        return mask

    def image(self, index: int) -> np.ndarray:
        ground, thing = index % 2, index // 2 % 2
        grey = np.where(self.mask(index), 60 + 120 * thing, 60 + 120 * ground)
        return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


class Looks(nn.Module):
    """The brightness of some pixels: class 1 where they are light."""

    def __init__(self, where: slice) -> None:
        super().__init__()
        self.where, self.weight = where, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        seen = x[:, :, self.where, self.where].mean((1, 2, 3)) * self.weight
        return torch.stack((0.5 - seen, seen - 0.5), dim=1)


class Colours(nn.Module):
    """Red, green, blue by what is above the mean; class 3 where nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3))
        return torch.cat((means - means.mean(1, keepdim=True), means[:, :1] * 0 + 0.02), dim=1) * self.weight


def subject(network: nn.Module) -> Subject:
    return Subject(network.eval(), name="net", canvas=Canvas(SIZE, SIZE))


def concluded(kind: Any, network: nn.Module, data: Any) -> tuple[Conclusion, SampleTable]:
    """Planned, settled, run and concluded, as an audit does it."""
    model, found = subject(network), scan(data, workers=1)
    setting = Setting("fast", SIZE, SIZE, masks=mask_reader(data) is not None)
    kept: list[SampleTable] = []

    def read(rows: Any) -> Any:
        return batches(data, model.canvas, found, rows, batch_size=8, workers=1)

    probe = Batch.concat(list(read(range(len(data)))))
    evaluation = kind.planned(setting).settled(model, probe)
    evaluation.run(model, Index(found.ids, found.labels), read, skip=set(), keep=kept.append, progress=Silent())
    table = SampleTable.concat(kept)
    return evaluation.conclude(model, table, probe), table


def kept(conclusion: Conclusion, perturbation: str, severity: float = 1.0) -> Estimate:
    return next(
        one for one in conclusion.estimates if (one.perturbation, one.severity) == (perturbation, severity)
    )  # fmt: skip


def test_a_model_that_sees_the_background_alone_falls_with_it() -> None:
    conclusion, _ = concluded(Shortcut, Looks(slice(0, 4)), Objects())
    swapped = kept(conclusion, "background_swap")
    assert swapped.low is not None
    assert swapped.high is not None
    assert swapped.low < 0.5 < swapped.high < 0.8
    assert any(told.endswith("another one: it listens to the background.") for told in conclusion.verdict)
    assert kept(conclusion, "patch_shuffle", 2.0).mean is not None


def test_a_model_that_sees_the_object_alone_keeps_all() -> None:
    conclusion, _ = concluded(Shortcut, Looks(slice(6, 10)), Objects("object"))
    assert kept(conclusion, "background_swap").mean == 1
    assert kept(conclusion, "silhouette").mean == pytest.approx(0.5), "black: one class of two"


def test_a_model_that_sees_colour_alone_keeps_nothing_without() -> None:
    grounds = np.full((N, SIZE, SIZE, 3), 90, np.uint8)
    labels = [number % 3 for number in range(N)]
    for number, label in enumerate(labels):
        grounds[number, :, :, label] = 170 + number % 5
    conclusion, _ = concluded(Shortcut, Colours(), Arrays(grounds, labels))
    grey = kept(conclusion, "grayscale")
    assert grey.mean == grey.low == 0
    assert any(told.endswith("taken away: it listens to colour.") for told in conclusion.verdict)
    assert {one.perturbation for one in conclusion.estimates} <= {"patch_shuffle", "grayscale"}, "no masks here"


def test_a_model_that_sees_the_mean_alone_needs_no_frequency() -> None:
    """Filters keep the mean; waves have none, but for the one that is nothing else."""
    grounds = np.random.default_rng(0).integers(0, 60, (N, SIZE, SIZE, 3)).astype(np.uint8)
    labels = [number % 2 for number in range(N)]
    grounds[1::2] += 150
    conclusion, table = concluded(Frequency, Looks(slice(None)), Arrays(grounds, labels))
    assert kept(conclusion, "low_pass", 0.9).mean == kept(conclusion, "high_pass", 0.5).mean == 1
    (picture,) = conclusion.maps
    assert (picture.x, picture.y, picture.value_label) == ((-8, 8), (-8, 8), "error rate")
    known = [value for row in picture.values for value in row if value is not None]
    assert max(known) == 0
    assert set(table.rows["perturbation"]) == {"low_pass", "high_pass", "fourier_noise"}


def test_masks_follow_their_images() -> None:
    """Through parts of a data set, halves and batches; smaller canvases keep their shape."""
    data = as_dataset(Shapes(n=12, size=32), limit=9)
    found = scan(data, workers=1)
    whole = Batch.concat(list(batches(data, Canvas(32, 32), found, [7, 2, 5], batch_size=2, workers=1)))
    assert whole.masks is not None
    for row, place in enumerate((7, 2, 5)):
        assert torch.equal(whole.masks[row, 0], torch.from_numpy(Shapes(n=12, size=32).mask(place)).float())
    second = whole.halves()[1]
    context = second.context(torch.device("cpu"))
    assert context is not None
    assert context.mask is not None
    assert torch.equal(context.mask, whole.masks[1:])
    small = Batch.concat(list(batches(data, Canvas(16, 16), found, [7], batch_size=2, workers=1)))
    assert small.masks is not None
    assert set(small.masks.unique().tolist()) == {0.0, 1.0}
    share = (small.masks.mean() / whole.masks[:1].mean()).item()
    assert share == pytest.approx(1, abs=0.1)


def test_data_without_masks_have_none_and_say_so() -> None:
    data = Arrays(np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8))
    batch = next(iter(batches(data, Canvas(SIZE, SIZE), scan(data, workers=1), range(4), batch_size=4, workers=1)))
    assert mask_reader(data) is None
    assert batch.masks is batch.context(torch.device("cpu")) is None
    model = subject(Looks(slice(None)))
    plan = Plan((Trial("background_swap", BackgroundSwap(), (1.0,)),), tuple(choose_gauges(model, (), None)))
    with pytest.raises(SemconError, match="background_swap needs to know where the object is"):
        Shortcut(plan).settled(model, batch)


def test_a_worst_background_is_searched_on_the_same_object() -> None:
    """By gradient over colours and waves: worse for a model that sees the background than a random one."""
    from semcon.search import SearchSettings

    data, model = Objects(), subject(Looks(slice(0, 4)))
    found = scan(data, workers=1)
    plan = Plan(
        (Trial("background_swap", BackgroundSwap(), (1.0,)),), tuple(choose_gauges(model, (), None)),
        worst=SearchSettings(steps=5, restarts=1, best_of=2), critical=True,
    )  # fmt: skip
    kept: list[SampleTable] = []
    Shortcut(plan).run(
        model, Index(found.ids, found.labels),
        lambda rows: batches(data, model.canvas, found, rows, batch_size=16, workers=1), skip=set(), keep=kept.append,
        progress=Silent(),
    )  # fmt: skip
    rows = SampleTable.concat(kept).joined()
    flips = {
        draws: float((part["prediction"] != part["clean_prediction"]).mean())
        for (draws,), part in rows.group_by("draws")
        if draws in ("random", "worst_flip")
    }
    assert flips["worst_flip"] > 0.9 > flips["random"]
