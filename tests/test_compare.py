"""Runs side by side: what differs is paired image by image, and what is not comparable is refused by name."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import clouds
from semcon.compare import compare, side_by_side
from semcon.core.errors import SemconError
from semcon.core.record import SearchRecord
from semcon.core.table import SampleTable
from semcon.run_record import RunRecord

N, LADDER = 200, (0.05, 0.1)
GENERATOR = np.random.default_rng(0)
Z, LABELS = clouds.clusters(GENERATOR, N)
BASE = np.abs(GENERATOR.normal(size=(N, 1))) + 0.5
RESIDUAL = GENERATOR.normal(size=(N, 1)) * 0.05
CHANGES = {("gaussian_noise", severity): BASE * severity for severity in LADDER}
OTHER = {key: change + 0.1 * RESIDUAL + 0.01 for key, change in CHANGES.items()}
FLIPS = {key: np.arange(N)[:, None] < 20 for key in CHANGES}
MORE_FLIPS = {key: np.arange(N)[:, None] < 30 for key in CHANGES}
WRONG = np.arange(N) < 8


@pytest.fixture
def make(make_record, tmp_path):
    """A run in its folder; `subject` and `settings` change the record, `order` the images."""

    def build(name, changes=None, *, z=Z, order=None, subject=None, settings=None, **options):
        own = clouds.table(z, LABELS, changes or CHANGES, **options)
        if order is not None:
            place = pl.DataFrame({"position": order, "moved": np.arange(len(order))}, schema_overrides={
                "position": own.images.schema["position"], "moved": own.images.schema["position"],
            })  # fmt: skip
            own = SampleTable(*(_moved(frame, place) for frame in (own.images, own.rows)), own.gauges)
        record = make_record([])
        gauges = tuple(clouds.info(gauge.name) for gauge in own.gauges)
        record = record.model_copy(update={
            "subject": record.subject.model_copy(update={"name": name} | (subject or {})),
            "settings": record.settings.model_copy(update={"gauges": gauges} | (settings or {})),
            "data": record.data.model_copy(update={"images": len(own.images)}),
        })  # fmt: skip
        (tmp_path / name).mkdir()
        own.save(tmp_path / name / "rows.parquet")
        return RunRecord(record, tmp_path / name)

    return build


def _moved(frame: pl.DataFrame, place: pl.DataFrame) -> pl.DataFrame:
    """The same images at other positions."""
    moved = frame.join(place, on="position").with_columns(position="moved")
    return moved.select(frame.columns).sort("position", maintain_order=True)


def found(comparison, quantity, severity=0.05, **wanted):
    (one,) = [
        one for one in comparison.differences
        if (one.quantity, one.severity, one.subset) == (quantity, severity, "all")
        and one.representation in (None, "logits") and all(getattr(one, key) == value for key, value in wanted.items())
    ]  # fmt: skip
    return one


@pytest.mark.parametrize("order", [None, np.random.default_rng(1).permutation(N)], ids=["same order", "any order"])
def test_a_run_against_itself_differs_by_nothing(make, order):
    """Invariant: every difference is exactly 0, whatever the order of images and gauges; intervals hold 0."""
    turned = ("pixels.l2", "logits.l2") if order is None else ("logits.l2", "pixels.l2")
    comparison = compare(make("a", flips=FLIPS), make("b", flips=FLIPS, order=order, gauges=turned))
    assert {"relative_change", "within_class_change", "discontinuity", "flip", "accuracy", "gradient_norm"} <= {
        one.quantity for one in comparison.differences
    }
    assert len(comparison.profile) > 0
    for one in (*comparison.differences, *comparison.profile):
        assert one.difference == 0
        assert one.first == one.second
        assert one.low is None or one.low <= 0 <= one.high
    plain = [one for one in comparison.differences if one.quantity == "relative_change"]
    assert all((one.low, one.high) == (0, 0) for one in plain)
    assert comparison.left_out == ()


def test_differences_are_second_minus_first_by_hand(make):
    """Oracle: the sums of DESIGN's table over all pairs; 30 flips less 20, 8 wrong images less none."""
    comparison = compare(make("a", flips=FLIPS), make("b", OTHER, z=2 * Z, flips=MORE_FLIPS, wrong=WRONG))
    key, everyone = ("gaussian_noise", 0.05), np.arange(N)
    (spread, within, _), (spread2, within2, _) = (clouds.yardsticks(z, LABELS, everyone) for z in (Z, 2 * Z))
    relative = OTHER[key].sum() / spread2.sum() - CHANGES[key].sum() / spread.sum()
    assert found(comparison, "relative_change").difference == pytest.approx(relative, rel=1e-5)
    own = OTHER[key].sum() / within2.sum() - CHANGES[key].sum() / within.sum()
    assert found(comparison, "within_class_change").difference == pytest.approx(own, rel=1e-5)
    flip = found(comparison, "flip")
    assert (flip.first, flip.second) == pytest.approx((0.1, 0.15))
    assert flip.difference == pytest.approx(0.05)
    assert flip.low < 0.05 < flip.high
    assert flip.samples == N
    accuracy = found(comparison, "accuracy", None, perturbation=None)
    assert accuracy.difference == pytest.approx(-8 / N)


def test_the_raw_change_is_compared_in_pixels_alone(make):
    """Each model's representation has its own scale."""
    comparison = compare(make("a"), make("b", OTHER))
    assert {one.representation for one in comparison.differences if one.quantity == "change"} == {"pixels"}


def test_pairing_makes_the_interval_narrow(make):
    """Closed form: 2 z sd(c' - c) / (sqrt(n) mean S) within 15 %; unpaired widths add in quadrature and are wider."""
    first, second = make("a"), make("b", OTHER)
    one = found(compare(first, second), "relative_change")
    spread = clouds.yardsticks(Z, LABELS, np.arange(N))[0].mean()
    key = ("gaussian_noise", 0.05)
    residual = (OTHER[key] - CHANGES[key])[:, 0]
    scores = residual - residual.mean() / spread * clouds.yardsticks(Z, LABELS, np.arange(N))[0]
    width = 2 * 1.96 * scores.std() / (np.sqrt(N) * spread)
    assert one.high - one.low == pytest.approx(width, rel=0.15)
    alone = [2 * 1.96 * (c[key][:, 0]).std() / (np.sqrt(N) * spread) for c in (CHANGES, OTHER)]
    assert one.high - one.low < 0.5 * np.hypot(*alone)
    assert one.low > 0


def changed(record, **changes):
    """The record's one perturbation with other fields."""
    (noise,) = record.settings.perturbations
    return {"perturbations": (noise.model_copy(update=changes),)}


SETTINGS = {
    "seed is 0 and 5": {"seed": 5},
    "draws is 1 and 3": {"draws": 3},
    "evaluation version is 1 and 2": {"evaluation_version": 2},
    "primary gauge is logits.l2 and pixels.l2": {"primary": "pixels.l2"},
    "ladder of gaussian_noise is 0.05/0.1 and 0.05/0.2": {"severities": (0.05, 0.2)},
    "version of gaussian_noise is 1 and 2": {"version": 2},
    "number of draws of gaussian_noise is 1 and 2": {"perturbation draws": 2},
}


@pytest.mark.parametrize("words", SETTINGS)
def test_a_setting_that_differs_is_named_with_both_values(make, make_record, words):
    update = {key.removeprefix("perturbation "): value for key, value in SETTINGS[words].items()}
    if words.startswith(("ladder", "version", "number")):
        update = changed(make_record([]), **update)
    with pytest.raises(SemconError, match=rf"a and .*b are not comparable: {words}\. Audit both with the same setting"):
        compare(make("a"), make("b", settings=update))


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"height": 64, "width": 64}, "32 x 32, bicubic, center and 64 x 64, bicubic, center"),
        ({"resize": 36}, "32 x 32, bicubic, center and 32 x 32, resized to 36, bicubic, center"),
        ({"interpolation": "bilinear"}, "bicubic, center and 32 x 32, bilinear, center"),
        ({"crop": "squash"}, "32 x 32, bicubic, center and 32 x 32, bicubic, squash"),
    ],
)
def test_another_canvas_is_refused(make, make_record, update, words):
    canvas = make_record([]).subject.canvas.model_copy(update=update)
    with pytest.raises(SemconError, match=rf"not comparable: canvas is .*{words}"):
        compare(make("a"), make("b", subject={"canvas": canvas}))


def test_other_images_are_refused_with_how_many_are_shared(make):
    with pytest.raises(SemconError, match=r"images differ \(200 and 200, 150 in common\).*same --limit"):
        compare(make("a"), make("b", samples=(np.arange(N) + 50) * 7919 + 13))


def test_other_searches_are_refused_and_one_search_is_left_out(make):
    searches = [SearchRecord(steps=steps, restarts=2, best_of=20) for steps in (20, 40)]
    runs = [make(f"s{one.steps}", worst=True, settings={"worst": one}) for one in searches]
    with pytest.raises(SemconError, match=r"search is steps=20 .* and steps=40"):
        compare(*runs)
    assert {one.draws for one in compare(make("a"), runs[0]).differences} == {"random"}


def test_what_only_one_run_measured_is_listed(make, make_record):
    (noise,) = make_record([]).settings.perturbations
    hue = noise.model_copy(update={"name": "hue", "family": "photometric"})
    both = {("hue", severity): CHANGES["gaussian_noise", severity] for severity in LADDER} | CHANGES
    gauges = ("pixels.l2", "logits.l2", "layer1.l2")
    second = make("b", both, gauges=gauges, settings={"perturbations": (noise, hue)})
    comparison = compare(make("a"), second)
    assert comparison.left_out == ("hue", "layer1.l2")
    assert {one.perturbation for one in comparison.differences} == {None, "gaussian_noise"}
    assert "layer1" not in {one.representation for one in comparison.differences}
    only = make("c", {key: both[key] for key in both if key[0] == "hue"}, settings={"perturbations": (hue,)})
    with pytest.raises(SemconError, match="no perturbation in common"):
        compare(make("d"), only)


def test_side_by_side_holds_every_run_against_the_first(make):
    together = side_by_side([make("a"), make("b", OTHER), make("c")])
    plain = together.to_json()
    assert [(one["first"], one["second"]) for one in plain["differences"]] == [("a", "b"), ("a", "c")]
    assert {one["difference"] for one in plain["differences"][1]["estimates"]} == {0}
    assert [table.title for table in together.tables] == ["b minus a", "c minus a"]
