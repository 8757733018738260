"""What every evaluation keeps, tested once over the folder: a question, a version, rows of one schema, and skipping."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from torch import nn

from semcon.canvas import Canvas
from semcon.core.registry import available, load
from semcon.core.table import SampleTable
from semcon.datasets import Arrays
from semcon.evaluating import Evaluation, Setting
from semcon.evaluations import Continuity
from semcon.loading import Batch, batches, scan
from semcon.measuring.gauges import choose_gauges
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.references import Index
from semcon.measuring.two_passes import Reader
from semcon.progress import Progress, Silent
from semcon.search import SearchSettings
from semcon.subject import Subject

NAMES = [name for name in available("evaluations") if load("evaluations", name).own_images]
N, SIZE = 11, 16
IMAGES = np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)
LABELS = [i % 3 for i in range(N)]
TRIALS = (("gaussian_noise", (0.05, 0.2)), ("hue", (0.2,)))


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(196, 3)).eval()
    return Subject(network, name="net", canvas=Canvas(SIZE, SIZE))


@pytest.fixture(params=NAMES)
def evaluation(request: pytest.FixtureRequest, subject: Subject) -> Evaluation:
    """Continuity with two draws, searches and critical severities; the others as the fast budget has them."""
    if request.param == "continuity":
        trials = tuple(Trial(name, load("perturbations", name)(), severities) for name, severities in TRIALS)
        gauges = tuple(choose_gauges(subject, ("0",), None))
        search = SearchSettings(steps=2, restarts=1, best_of=3)
        return Continuity(Plan(trials, gauges, draws=2, worst=search, critical=True))
    groups = {"ink": tuple("red" if i % 2 else "blue" for i in range(N))}
    planned = load("evaluations", request.param).planned(Setting("fast", SIZE, SIZE, attributes=groups))
    return planned.settled(subject, Batch.concat(list(reading(subject, LABELS)(range(N)))))


def reading(subject: Subject, labels: Sequence[int] | None, batch_size: int = 4) -> Reader:
    """Reads the images at some positions."""
    data = Arrays(IMAGES, labels)
    found = scan(data, workers=1)
    return lambda rows: batches(data, subject.canvas, found, rows, batch_size=batch_size, workers=1)


def parts(
    evaluation: Evaluation, subject: Subject, labels: Sequence[int] | None, skip: set[int], *, batch_size: int = 4,
    progress: Progress | None = None,
) -> list[SampleTable]:  # fmt: skip
    """What an evaluation hands over, in its order."""
    found = scan(Arrays(IMAGES, labels), workers=1)
    kept: list[SampleTable] = []
    read, index = reading(subject, labels, batch_size), Index(found.ids, found.labels)
    evaluation.run(subject, index, read, skip=skip, keep=kept.append, progress=progress or Silent())
    return kept


@pytest.fixture
def whole(evaluation: Evaluation, subject: Subject) -> SampleTable:
    return SampleTable.concat(parts(evaluation, subject, LABELS, set()))


def test_it_states_its_question_and_version(evaluation: Evaluation) -> None:
    assert evaluation.question.endswith("?")
    assert type(evaluation.version) is int
    assert evaluation.version >= 1
    assert all(isinstance(need, str) for need in evaluation.needs)
    field = dataclasses.fields(evaluation)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(evaluation, field, None)


def test_every_image_comes_once_with_all_its_rows(evaluation: Evaluation, whole: SampleTable) -> None:
    assert whole.images["position"].to_list() == list(range(N))
    assert whole.images["label"].to_list() == LABELS
    cells = whole.rows.group_by("perturbation", "severity", "draws", "draw").agg(pl.col("position").sort())
    assert all(positions == list(range(N)) for positions in cells["position"].to_list())
    tried = set(cells.filter(pl.col("severity").is_not_null()).select("perturbation", "severity").iter_rows())
    assert tried == {(one.name, severity) for one in evaluation.attempts() for severity in one.severities}


def test_it_counts_its_passes(evaluation: Evaluation, subject: Subject) -> None:
    """The progress bar reaches its end, about: a search may end early."""
    counter = Counter()
    parts(evaluation, subject, LABELS, set(), progress=counter)
    assert 0.5 <= counter.measured / (N * evaluation.passes(subject)) <= 1.2


class Counter(Silent):
    """Adds up what is told after the references."""

    measured = 0.0

    def advance(self, amount: float) -> None:
        self.measured += amount


@pytest.mark.parametrize("labels", [LABELS, None], ids=["labels", "no labels"])
def test_its_parts_keep_the_tables_schema(evaluation: Evaluation, subject: Subject, labels: list[int] | None) -> None:
    """Whatever is missing is a null of the column's own kind; no cell is NaN."""
    for part in parts(evaluation, subject, labels, set()):
        assert (dict(part.images.schema), dict(part.rows.schema)) == part.schemas
        for frame in (part.images, part.rows):
            assert not frame.select(pl.col(pl.Float32, pl.Float64).is_nan().any()).transpose().to_series().any()


def test_what_is_skipped_changes_no_row_of_the_rest(evaluation: Evaluation, subject: Subject) -> None:
    """Oracle: the uninterrupted run, image by image, so that values agree bit for bit; at once is all or none."""
    if evaluation.at_once:
        assert parts(evaluation, subject, LABELS, {0}) == []
        return
    skip = {0, 3, 4, 10}
    rest, whole = (
        SampleTable.concat(parts(evaluation, subject, LABELS, some, batch_size=1)) for some in (skip, set[int]())
    )
    left = [position for position in range(N) if position not in skip]
    assert rest.images["position"].to_list() == left
    keys = ["position", "perturbation", "severity", "draws", "draw"]
    for name in ("images", "rows"):
        order = ["position"] if name == "images" else keys
        here = getattr(rest, name).sort(order)
        there = getattr(whole, name).filter(pl.col("position").is_in(left)).sort(order)
        assert_frame_equal(here, there, check_exact=True)


def test_a_batch_is_nothing_to_its_images(evaluation: Evaluation, subject: Subject) -> None:
    """Oracle: each image alone."""
    alone, together = (
        SampleTable.concat(parts(evaluation, subject, LABELS, set(), batch_size=size)) for size in (1, N)
    )
    keys = ["position", "perturbation", "severity", "draws", "draw"]
    for name in ("images", "rows"):
        order = ["position"] if name == "images" else keys
        here, there = (getattr(one, name).sort(order) for one in (alone, together))
        assert_frame_equal(here, there, check_exact=False, rel_tol=1e-3, abs_tol=1e-3)


def test_all_skipped_leaves_nothing_to_keep(evaluation: Evaluation, subject: Subject) -> None:
    assert parts(evaluation, subject, LABELS, set(range(N))) == []
