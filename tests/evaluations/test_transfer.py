"""Transfer end to end on a small network: rows, the cache, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from scipy import stats
from torch import nn

import semcon
from semcon.canvas import Canvas
from semcon.comparing.compare import side_by_side
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.record import Estimate
from semcon.core.shared_draws import over_draws
from semcon.core.summary import summarise
from semcon.datasets import Arrays, Shapes
from semcon.report.evaluations import evaluation_parts
from semcon.report.numbers import with_interval
from semcon.report.reading import readings
from semcon.run_record import RunRecord
from semcon.subject import Subject
from semcon.transferring.fine_tuning import with_new_head
from semcon.transferring.target import Target

SIDE, N = 8, 120


def colours(count: int, seed: int = 0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images whose brightest channel is their class."""
    labels = np.arange(count) % classes
    images = np.random.default_rng(seed).integers(0, 120, (count, SIDE, SIDE, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels] += 60
    return images, labels


class Network(nn.Module):
    """Means of the channels, then two classes that have nothing to do with the target's; `calls`: images seen."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Conv2d(3, 6, 1), nn.Linear(6, 2)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += len(x)
        return self.head(self.body(x).mean((2, 3)))


class Named(Arrays):
    """With names of its classes."""

    def __init__(self, images: np.ndarray, labels: list[int], classes: tuple[str, ...]) -> None:
        super().__init__(images, labels)
        self.classes = classes


class Ordered(Arrays):
    """Whose images are known by their places."""

    def identity(self, index: int) -> int:
        return index


@pytest.fixture(autouse=True)
def _kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCON_CACHE", str(tmp_path / "cache"))


def audit(model: Any, target: Any, **options: Any) -> Any:
    images, labels = colours(12, seed=9, classes=2)
    return semcon.audit(
        model, Arrays(images, labels.tolist()), evaluate="transfer", transfer_to=target, **options
    ).record  # fmt: skip


def target(count: int = N, seed: int = 0) -> Arrays:
    images, labels = colours(count, seed)
    return Arrays(images, labels.tolist())


def accuracies(record: Any) -> dict[tuple[str, float], float]:
    (one,) = record.evaluations
    return {(e.perturbation, e.severity): e.mean for e in one.estimates if e.subset == "all"}


def test_colours_transfer_and_the_audits_own_images_stay_apart() -> None:
    """Means of channels tell the colours: all readouts are right; the network's own accuracy is another figure."""
    record = audit(Network(), target(), budget="full")
    found = accuracies(record)
    assert {name for name, _ in found} == {"knn", "linear_probe", "few_shot", "fine_tuning"}
    assert all(value > 0.9 for (name, _), value in found.items() if name != "few_shot"), found
    assert found["few_shot", 10.0] >= found["few_shot", 1.0] - 0.05
    assert [e.quantity for e in record.estimates if e.subset == "all"] == ["accuracy"]
    assert record.estimates[0].samples == 12
    assert any("commonest class alone has 0.3" in sentence for sentence in record.evaluations[0].verdict)


def test_features_are_kept_for_the_next_run() -> None:
    model = Network()
    audit(model, target())
    before = model.calls
    audit(model, target())
    first = model.calls - before
    with torch.no_grad():
        model.body.weight.mul_(2)
    audit(model, target())
    assert model.calls - before - first >= first + N, "other weights, other features"


def test_networks_of_equal_weights_have_features_of_their_own() -> None:
    """Oracle: largest values in place of means, which no weight knows of, looked at without a cache's help."""

    class Largest(Network):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x).amax((2, 3)))

    images, labels = colours(12, seed=9, classes=2)
    noise = Arrays(
        np.random.default_rng(5).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8), [i % 3 for i in range(N)]
    )

    def told(model: nn.Module) -> list[int]:
        data = Arrays(images, labels.tolist())
        rows = semcon.audit(model, data, evaluate="transfer", transfer_to=noise).of("transfer").samples.rows
        return rows.filter(pl.col("perturbation") == "knn").sort("position")["prediction"].to_list()

    first, second = told(Network()), told(Largest())
    assert first != second
    assert told(Network()) == first


def test_classes_are_told_by_the_targets_names(tmp_path: Any) -> None:
    """Oracle: the run's own record. The network's classes have names of their own, some of them the same."""
    network, (images, labels) = Network(), colours(12, seed=9)
    network.head = nn.Linear(6, 3)
    noise = np.random.default_rng(5).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)
    other = Arrays(noise, [i % 3 for i in range(N)])
    for name in ("one", "two"):
        data = Arrays(images, labels.tolist())
        semcon.audit(
            network, data, evaluate="transfer", transfer_to=other, classes=("1", "2", "0"), out=tmp_path / name
        )  # fmt: skip
    (one,) = side_by_side([tmp_path / "one", tmp_path / "two"]).comparisons
    own = {e.key: e.mean for e in RunRecord.load(tmp_path / "one").of("transfer").record.estimates}
    rows = [row for row in (*one.differences, *one.overall) if row.subset.startswith("class:")]
    assert {row.subset for row in rows} == {"class:0", "class:1", "class:2"}
    for row in rows:
        (known,) = (mean for key, mean in own.items() if key == row.key)
        assert row.first == pytest.approx(known)


@pytest.mark.parametrize("error", [OSError, SafetensorError])
def test_a_cache_that_cannot_be_read_or_written_is_none(
    error: type[Exception], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is damaged is worked out again; a full disk, and a file in the folder's place, stop nothing."""
    first = accuracies(audit(Network(), target()))
    for path in (tmp_path / "cache" / "features").iterdir():
        path.write_bytes(b"abc")
    assert accuracies(audit(Network(), target())) == first

    def full(*_: Any) -> None:
        raise error("no space left on device")

    monkeypatch.setattr("semcon.transferring.features.save_file", full)
    monkeypatch.setenv("SEMCON_CACHE", str(tmp_path / "other"))
    assert accuracies(audit(Network(), target())) == first
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEMCON_CACHE", str(tmp_path / "file"))
    assert accuracies(audit(Network(), target())) == first


def test_images_that_are_learned_from_are_not_judged() -> None:
    """Equal images fall on one side of a split, and are dropped from a part to judge by."""
    images, labels = colours(30)
    twice = Arrays(np.concatenate([images, images]), labels.tolist() * 2)
    split = Target.of(twice)
    assert not set(split.train.scan.ids.tolist()) & set(split.test.scan.ids.tolist())
    other, more = colours(30, seed=1)
    pair = Target.of(Arrays(images, labels.tolist()), Arrays(np.concatenate([images, other]), [*labels, *more]))
    assert len(pair.test) == 30


def test_bad_images_of_the_target_are_named_or_left_out_and_counted(tmp_path: Any) -> None:
    images, labels = colours(30)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / str(label) / f"{i}.png")
    (tmp_path / "1" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(SemconError, match=r"broken\.png"):
        audit(Network(), f"folder:{tmp_path}")
    record = audit(Network(), f"folder:{tmp_path}", skip_bad=True)
    assert "(1 unreadable image left out)" in record.evaluations[0].verdict[0]


def test_only_classes_that_occur_count() -> None:
    """Labels 0, 1000 and 2000 are three classes; a named one without an image is none, and costs no shots."""
    images, labels = colours(60)
    sparse = Target.of(Arrays(images, (1000 * labels).tolist()))
    assert sparse.classes == ("0", "1000", "2000")
    assert sparse.counts.min() >= 5
    dense = Target.of(Arrays(images, labels.tolist()))
    assert torch.equal(sparse.test.labels, dense.test.labels)
    named = Arrays(images, (labels + (labels > 0)).tolist(), classes=("red", "never", "green", "blue"))
    assert Target.of(named).classes == ("red", "green", "blue")


def test_few_images_of_a_class_leave_shots_out_and_refuse_those_asked_for() -> None:
    record = audit(Network(), target(24), budget="standard")
    assert max(severity for name, severity in accuracies(record) if name == "few_shot") <= 5
    assert any("left out" in finding.message for finding in record.findings if finding.code == "transfer-few-images")
    with pytest.raises(SemconError, match="50 images a class were asked for, and the class"):
        audit(Network(), target(24), shots="1,50")


def test_wrong_input_is_named() -> None:
    images, labels = colours(24)
    with pytest.raises(SemconError, match="one class to transfer to"):
        audit(Network(), Arrays(images, [0] * 24))
    with pytest.raises(SemconError, match="needs a data set to transfer to: --transfer-to"):
        audit(Network(), None)
    with pytest.raises(SemconError, match="transfer needs labels"):
        audit(Network(), Arrays(images, None))
    with pytest.raises(UnknownNameError, match="Did you mean body"):
        audit(Network(), target(), transfer_layer="bodi")
    with pytest.raises(SemconError, match="no image to learn the class 2 from"):
        audit(Network(), (Arrays(images[labels < 2], labels[labels < 2].tolist()), target()))
    with pytest.raises(SemconError, match="has 2 classes, and a label 2 is to be learned or judged"):
        Target.of(Named(images, labels.tolist(), ("a", "b")))
    with pytest.raises(SemconError, match="one names its classes and the other numbers them"):
        Target.of(Shapes(size=SIDE, n=20), Arrays(images, (np.arange(24) % 9).tolist()))
    with pytest.raises(SemconError, match=r"has the class '2', and .* has not: 0, 1"):
        Target.of(Named(images[labels < 2], labels[labels < 2].tolist(), ("0", "1")), target())
    two = Named(images[labels < 2], labels[labels < 2].tolist(), ("crane", "dog"))
    with pytest.raises(SemconError, match="has two classes called 'crane': rename one"):
        Target.of(Named(images, labels.tolist(), ("crane", "crane", "dog")), two)
    with pytest.raises(SemconError, match="--shots expects"):
        audit(Network(), target(), shots="0")


def test_numbers_go_to_classes_that_are_called_by_numbers() -> None:
    """Names of folders are sorted as text, so 2 comes after 11. Oracle: which images are of one class."""
    images, labels = colours(48, classes=3)
    labels = np.array([1, 2, 11])[labels]
    names = sorted(map(str, range(12)))
    numbered = Arrays(images[:24], labels[:24].tolist())
    named = Named(images[24:], [names.index(str(label)) for label in labels[24:]], tuple(names))
    for train, test in ((numbered, named), (named, numbered)):
        found = Target.of(train, test)
        called = [found.classes[label] for label in (*found.train.labels.tolist(), *found.test.labels.tolist())]
        assert [int(name) for name in called] == [*labels[:24]] * 2


def test_classes_of_one_name_in_both_parts_stay_apart() -> None:
    """Lists of ImageNet's names have crane twice."""
    images, labels = colours(48)
    names = ("crane", "crane", "dog")
    found = Target.of(Named(images[:24], labels[:24].tolist(), names), Named(images[24:], labels[24:].tolist(), names))
    assert found.test.labels.tolist() == labels[24:].tolist()


def test_copies_are_no_images_to_learn_from() -> None:
    images, labels = colours(24)
    half = Arrays(np.concatenate([images] * 3), labels.tolist() * 3)
    found = Target.of(half, target(seed=1))
    assert found.counts.tolist() == [8, 8, 8]
    with pytest.raises(SemconError, match="9 images a class were asked for"):
        audit(Network(), (half, target(seed=1)), shots="9")


def test_kept_features_of_the_same_bytes_in_another_shape_are_looked_at_again(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of CIFAR put into the wrong shape, and put right. Oracle: no cache."""
    images, labels = colours(N)
    wrong = np.ascontiguousarray(images.reshape(N, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
    told: list[list[int]] = []
    for pixels, cache in ((wrong, "kept"), (images, "kept"), (images, "")):
        monkeypatch.setenv("SEMCON_CACHE", str(tmp_path / cache) if cache else "")
        data = Arrays(*(part.tolist() if part.ndim == 1 else part for part in colours(12, seed=9, classes=2)))
        run = semcon.audit(Network(), data, evaluate="transfer", transfer_to=Ordered(pixels, labels.tolist()))
        told.append(run.of("transfer").samples.rows["prediction"].to_list())
    assert told[0] != told[2]
    assert told[1] == told[2]


class Head(nn.Module):
    """A last layer known by two names, or followed by what has as many classes, or the network itself."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.first = nn.Conv2d(3, 6, 1), nn.Linear(6, 5)
        self.second = self.first if kind == "alias" else nn.Linear(5, 5)
        self.norm = nn.BatchNorm1d(5) if kind == "norm" else nn.Identity()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.body(x).mean((2, 3))
        return self.norm(self.second(z) if self.kind == "alias" else self.first(z))


def test_a_new_last_layer_stands_wherever_the_old_one_did() -> None:
    """Also where the network is no more than it. Oracle: what the copy says has as many classes as the target."""

    def made(module: nn.Module, size: int = SIDE) -> Any:
        return with_new_head(Subject(module, name="net", canvas=Canvas(size, size)), 3, 0)

    x = torch.rand(2, 3, SIDE, SIDE)
    assert made(Head("alias"))(x).shape == (2, 3)
    assert made(Head("plain"))(x).shape == (2, 3)
    with pytest.raises(SemconError, match="a last layer of 3 classes, and what comes after it"):
        made(Head("norm"))
    with pytest.raises(SemconError, match="a last layer of 3 classes, and what comes after it"):
        audit(Head("norm"), target(), budget="full")


def test_passes_over_the_target_are_counted() -> None:
    """Both parts once; the audit's own images are looked at for their accuracy alone."""
    assert audit(Network(), target()).timing.forward_images == N


def test_a_black_box_gives_its_outputs_as_features() -> None:
    inner = Network().eval()
    record = audit(lambda x: inner(x).detach(), target())
    assert "transfer-from-logits" in {finding.code for finding in record.findings}
    with pytest.raises(SemconError, match="a black box has no layer 'body'"):
        audit(lambda x: inner(x).detach(), target(), transfer_layer="body")
    with pytest.raises(SemconError, match="black box"):
        audit(lambda x: inner(x).detach(), target(), budget="full")


def test_two_networks_are_compared_on_the_same_judged_images(tmp_path: Any) -> None:
    for name in ("one", "two"):
        audit(Network(), target(), out=tmp_path / name)
    compared = semcon.compare(tmp_path / "one", tmp_path / "two")
    assert compared.evaluation == "transfer"
    assert {(one.perturbation, one.difference) for one in compared.differences} == {("knn", 0.0), ("linear_probe", 0.0)}


def test_layers_and_the_way_a_target_is_written_may_differ(tmp_path: Any) -> None:
    """Networks of two kinds have no layers of one name; a path has many spellings. Other images are refused."""
    images, labels = colours(N)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "target" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "target" / str(label) / f"{i}.png")
    audit(Network(), f"folder:{tmp_path}/target", out=tmp_path / "one")
    audit(Network(), f"folder:{tmp_path}/./target", transfer_layer="body", out=tmp_path / "two")
    audit(Network(), target(seed=1), out=tmp_path / "three")
    every = semcon.compare(tmp_path / "one", tmp_path / "two").differences
    assert {one.perturbation for one in every if one.subset == "all"} == {"knn", "linear_probe"}
    with pytest.raises(SemconError, match="not comparable"):
        semcon.compare(tmp_path / "one", tmp_path / "three")


class Blurred(nn.Module):
    """Features of a class lie about its direction with much noise, so that few shots depend on which they are."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x[:, :, 0, 0] + 0.02 * x.mean((2, 3)))


def test_few_shots_have_intervals_over_draws_above_images_in_json_report_and_sentence(tmp_path: Any) -> None:
    """Oracle: Student's t over the rows' accuracies by draw, in quadrature with the interval over images alone."""
    record = audit(Blurred(), target(), budget="standard", out=tmp_path / "run")
    (one,) = record.evaluations
    table = RunRecord.load(tmp_path / "run").of("transfer").samples
    told = {e.severity: e for e in one.estimates if e.perturbation == "few_shot" and e.subset == "all"}
    assert len(told) == sum(e.perturbation == "few_shot" and e.subset == "all" for e in one.estimates) > 1
    for severity, e in told.items():
        rows = table.joined().filter(pl.col("perturbation") == "few_shot", pl.col("severity") == severity)
        each = [float((of["prediction"] == of["label"]).mean()) for _, of in rows.group_by("draw")]
        assert e.mean == pytest.approx(np.mean(each), abs=1e-6)
        reach = stats.t.ppf(0.975, len(each) - 1) * np.std(each, ddof=1) / len(each) ** 0.5
        (images,) = [f for f in summarise(table) if f.key[:2] == e.key[:2] and f.key[5:7] == ("accuracy", "all")]
        assert e.mean - e.low == pytest.approx(np.hypot(images.mean - images.low, reach))
        assert e.high == pytest.approx(min(1.0, e.mean + np.hypot(images.high - images.mean, reach)))
        assert with_interval(e.mean, e.low, e.high) in one.verdict[0]
        assert with_interval(e.mean, e.low, e.high) in str(evaluation_parts(readings([(record, tmp_path)]))[0].tables)
    classes = [e for e in one.estimates if e.perturbation == "few_shot" and e.subset.startswith("class:")]
    assert classes
    assert not [e for e in one.estimates if e.subset == "correct"]


def test_an_interval_over_draws_covers_what_other_draws_say() -> None:
    """One judged set of 1000 images; the mean of five draws moves with them, and images say nothing of that.

    Control: without the draws' part the interval covers far less often than 95 %.
    """
    generator, images = np.random.default_rng(0), 1000
    covered = {"both": 0, "images": 0}
    for _ in range(300):
        each = 0.5 + 0.05 * generator.standard_normal(5)  # accuracy of a draw, about its expectation of one half
        half = 1.96 * (0.25 / images / 5) ** 0.5
        plain = Estimate(
            perturbation="few_shot", severity=1.0, draws="random", representation=None, distance=None,
            quantity="accuracy", subset="all", statistic="mean", mean=float(each.mean()),
            low=float(each.mean() - half), high=float(each.mean() + half), samples=images,
        )  # fmt: skip
        for name, one in (("both", over_draws(plain, each)), ("images", plain)):
            covered[name] += one.low <= 0.5 <= one.high
    assert covered["both"] > 0.93 * 300
    assert covered["images"] < 0.7 * 300


def test_differences_of_few_shots_are_over_draws_too(tmp_path: Any) -> None:
    """Oracle: Student's t over the differences by draw, in quadrature with the paired interval over images."""
    for name, model in (("one", Blurred()), ("two", Network())):
        audit(model, target(), out=tmp_path / name, budget="standard")
    compared = semcon.compare(tmp_path / "one", tmp_path / "two")
    tables = [RunRecord.load(tmp_path / name).of("transfer").samples.joined() for name in ("one", "two")]

    def reach(by_draw: list[np.ndarray]) -> float:
        moved = by_draw[1] - by_draw[0]
        return stats.t.ppf(0.975, len(moved) - 1) * moved.std(ddof=1) / len(moved) ** 0.5

    cells: list[list[np.ndarray]] = [[], []]
    for one in compared.differences:
        if one.subset != "all" or one.quantity != "accuracy":
            continue
        for table, found in zip(tables, cells, strict=True):
            rows = table.filter(pl.col("perturbation") == one.perturbation, pl.col("severity") == one.severity)
            right = rows.group_by("draw").agg((pl.col("prediction") == pl.col("label")).mean().alias("right"))
            found.append(right.sort("draw")["right"].to_numpy())
        if one.perturbation == "few_shot":
            assert one.high - one.low > 2 * reach([own[-1] for own in cells])
            assert one.p >= 0
            assert "draws" in one.test
    (overall,) = [one for one in compared.overall if one.quantity == "accuracy"]
    whole = [np.mean(np.broadcast_arrays(*own), axis=0) for own in cells]
    assert overall.high - overall.low > 2 * reach(whole)


def test_the_sentence_and_the_table_say_what_was_learned_from_what(tmp_path: Any) -> None:
    record = audit(Network(), target(), budget="standard")
    (sentence,) = record.evaluations[0].verdict
    assert "images of the target arrays in 3 classes" in sentence
    assert "few-shot with 1 image of each class " in sentence
    (table,) = evaluation_parts(readings([(record, tmp_path)]))[0].tables
    assert table.header == ("learned", "accuracy")
    names = [name for name, _ in table.rows]
    assert names[0].startswith("nearest neighbours, all images (")
    assert "few-shot, 5 images of each class" in names


def test_a_target_is_shown_by_the_end_of_its_path() -> None:
    """`test` alone, the name of so many files, says nothing."""
    one = Target.of(target())
    for source, shown in (
        ("parquet:/data/cifar100/test.parquet", "parquet:cifar100/test.parquet"),
        ("folder:others", "folder:others"), ("arrays", "arrays"),
    ):  # fmt: skip
        assert replace(one, source=source).shown == shown


def test_few_images_are_those_that_judge_and_not_the_audits_own() -> None:
    """Twelve images of the audit are nothing to a transfer; 58 of the target that judge are few, and 100 are not."""
    found = {finding.code: finding.message for finding in audit(Network(), target()).findings}
    assert "few-images" not in found
    assert "only 58 different images of arrays judge" in found["transfer-few-images"]
    many = (target(40), target(100, seed=1))
    assert not {"few-images", "transfer-few-images"} & {finding.code for finding in audit(Network(), many).findings}
    images, labels = colours(12, seed=9, classes=2)
    both = semcon.audit(
        Network(), Arrays(images, labels.tolist()), evaluate="transfer,explanation_focus", transfer_to=many,
        explanations="grad_cam",
    ).record.findings  # fmt: skip
    (few,) = [finding.message for finding in both if finding.code == "few-images"]
    assert few.startswith("there are only 12 different images: ")
    assert "flip" not in few
    assert "any_nearer_20" not in few
