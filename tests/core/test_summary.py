"""Estimates against loops over the definitions, and what must not change them."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

import clouds
from semcon.core.bootstrap import Weights
from semcon.core.figures import Key
from semcon.core.intervals import wilson
from semcon.core.record import Estimate
from semcon.core.summary import Summary, summarise
from semcon.core.table import SampleTable

NAMES = ("ant", "bee", "cat", "dog", "elk")
CELLS = (("blur", 0.5), ("blur", 1.0), ("noise", 2.0))


def example(n: int = 120, *, seed: int = 0, draws: int = 2, labelled: bool = True, scale: float = 1.0) -> SampleTable:
    generator = np.random.default_rng(seed)
    z, labels = clouds.clusters(generator, n)
    changes = {cell: np.abs(generator.normal(size=(n, draws))) * 3 * cell[1] * scale for cell in CELLS}
    flips = {cell: generator.random((n, draws)) < 0.2 for cell in CELLS}
    found = np.where(generator.random(n) < 0.4, np.inf, generator.random(n))
    return clouds.table(
        z * scale, labels if labelled else None, changes, flips=flips,
        wrong=generator.random(n) < 0.15 if labelled else None,
        references=np.arange(0, n, 2), critical={"blur": (found, 1.0)}, worst=True,
        gauges=("pixels.l2", "penultimate.l2", "logits.l2"),
    )  # fmt: skip


def by_key(estimates: list[Estimate]) -> dict[Key, Estimate]:
    found = {Key(*(getattr(e, name) for name in Key._fields)): e for e in estimates}
    assert len(found) == len(estimates)
    return found


def get(estimates: dict[Key, Estimate], quantity: str, **wanted: object) -> Estimate:
    plain: dict[str, object] = {"draws": "random", "subset": "all", "representation": None} | wanted
    if quantity in ("change", "relative_change", "within_class_change", "discontinuity", "any_nearer_20"):
        plain["representation"] = wanted.get("representation", "logits")
    (found,) = [
        e
        for e in estimates.values()
        if e.quantity == quantity and all(getattr(e, name) == value for name, value in plain.items())
    ]
    return found


def loop(table: SampleTable, perturbation: str, severity: float, kinds: tuple[str, str], gauge: str, keep) -> dict:
    """The definitions, row by row, in plain Python. `keep`: which images."""
    images = {row["position"]: row for row in table.images.to_dicts() if keep(row)}
    change_rows, rate_rows = (
        [
            row
            for row in table.rows.to_dicts()
            if (row["perturbation"], row["severity"], row["draws"]) == (perturbation, severity, kind)
            and row["position"] in images
        ]
        for kind in kinds
    )

    def mean(values):
        values = list(values)
        return sum(values) / len(values) if values else math.nan

    change = mean(row[f"{gauge}.change"] for row in change_rows)
    spread = mean(image[f"{gauge}.spread"] for image in images.values())
    result = {
        "change": change,
        "relative_change": change / spread,
        "local_lipschitz": mean(row[f"{gauge}.change"] / row["pixels.l2.change"] for row in change_rows) / spread,
        "flip": mean(row["prediction"] != images[row["position"]]["prediction"] for row in rate_rows),
        "confidence_drop": mean(images[row["position"]]["confidence"] - row["confidence"] for row in rate_rows),
    }
    if table.labelled:
        withins = [image[f"{gauge}.within"] for image in images.values()]
        others = {position: image["others"] for position, image in images.items()}
        result |= {
            "within_class_change": change / mean(withins),
            "accuracy": mean(row["prediction"] == images[row["position"]]["label"] for row in rate_rows),
            "discontinuity": mean(row[f"{gauge}.nearer"] / others[row["position"]] for row in change_rows),
            "any_nearer_20": mean(
                1 - stats.hypergeom(others[row["position"]], row[f"{gauge}.nearer"], 20).pmf(0)
                for row in change_rows
                if others[row["position"]] >= 20
            ),
        }
    return result


@pytest.mark.parametrize(
    ("subset", "keep"),
    [
        ("all", lambda image: True),
        ("correct", lambda image: image["label"] == image["prediction"]),
        ("class:cat", lambda image: image["label"] == 2),
    ],
)
@pytest.mark.parametrize(
    ("draws", "kinds"), [("random", ("random", "random")), ("worst", ("worst_change", "worst_flip"))]
)
def test_every_figure_is_its_definition(subset, keep, draws, kinds):
    """Oracle: loops over rows; hypergeometric chances by scipy."""
    table = example(240)
    estimates = by_key(summarise(table, class_names=NAMES))
    for perturbation, severity in CELLS:
        expected = loop(table, perturbation, severity, kinds, "logits.l2", keep)
        told = {
            key.quantity: e.mean
            for key, e in estimates.items()
            if (key.perturbation, key.severity, key.draws, key.subset) == (perturbation, severity, draws, subset)
            and key.representation in (None, "logits")
        }
        assert told == {quantity: pytest.approx(expected[quantity], rel=1e-5) for quantity in told}
        wanted = (
            set(expected) if subset != "class:cat" else {"flip", "accuracy", "relative_change", "within_class_change"}
        )
        assert set(told) == wanted


def test_figures_of_the_untouched_images():
    """Oracles: numpy's median; the share of right predictions with Wilson's interval; the critical median by hand."""
    table = example()
    estimates = by_key(summarise(table, class_names=NAMES))
    right = (table.images["label"] == table.images["prediction"]).to_numpy()
    accuracy = get(estimates, "accuracy", perturbation=None)
    low, high = wilson(right.mean(), float(len(right)))
    assert (accuracy.mean, accuracy.low, accuracy.high) == pytest.approx((right.mean(), float(low), float(high)))
    norms = table.images["gradient_norm"].to_numpy()
    assert get(estimates, "gradient_norm").mean == np.quantile(norms, 0.5, method="inverted_cdf")
    correct = np.quantile(norms[right], 0.5, method="inverted_cdf")
    assert get(estimates, "gradient_norm", subset="correct").mean == correct
    critical = get(estimates, "critical_severity", perturbation="blur")
    found = table.rows.filter(pl.col("draws") == "critical")["critical"]
    assert critical.censored == found.null_count() / len(found)
    assert critical.mean == sorted(found.fill_null(math.inf).to_list())[len(found) // 2 - 1]


def test_a_relative_figure_resamples_both_of_its_sums_and_the_references():
    """Oracle: each resample written out: weighted mean change over weighted mean spread, plus the references' part."""
    table = example(60)
    (figures,) = Summary(table, 3, only=("logits.l2",), subsets="all").cells("noise")
    images = table.images.sort("sample")
    weights = Weights.of(images["sample"].to_numpy(), 3).counts.astype(float)
    rows = table.rows.filter((pl.col("perturbation") == "noise") & (pl.col("draws") == "random"))
    change = images.join(rows.group_by("position").agg(pl.col("logits.l2.change").mean()), on="position").sort("sample")
    c, spread, labels = (change[name].to_numpy() for name in ("logits.l2.change", "logits.l2.spread", "label"))
    reference = change["reference"].to_numpy()
    level = {k: spread[reference & (labels == k)].mean() for k in np.unique(labels)}
    for resample in (0, 17, 1999):
        w = weights[:, resample]
        s = (w * spread).sum() / w.sum()
        for k in np.unique(labels):
            share, share_now = (labels == k).mean(), (w * (labels == k)).sum() / w.sum()
            members = reference & (labels == k)
            s += share * ((w - 1) * (spread - level[k]))[members].sum() / members.sum() + (share_now - share) * level[k]
        expected = (w * c).sum() / w.sum() / s
        row = [key.quantity for key in figures.keys].index("relative_change")
        assert figures.draws[row, resample] == pytest.approx(expected, rel=1e-4)


def test_one_draw_rates_have_wilsons_interval_and_shared_draws_are_worth_one():
    """Closed form: one draw, Wilson on images; three equal draws tell as much as one."""
    generator = np.random.default_rng(1)
    z, labels = clouds.clusters(generator, 200)
    flip = generator.random((200, 1)) < 0.1
    bounds = []
    for draws in (1, 3):
        cell = {("noise", 1.0): np.ones((200, draws))}
        flips = {("noise", 1.0): np.repeat(flip, draws, axis=1)}
        found = get(by_key(summarise(clouds.table(z, labels, cell, flips=flips))), "flip", perturbation="noise")
        bounds.append((found.low, found.high))
    low, high = wilson(flip.mean(), 200.0)
    assert bounds[0] == pytest.approx((float(low), float(high)))
    assert bounds[1] == pytest.approx(bounds[0], rel=0.02)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31))
def test_the_order_of_images_and_rows_changes_nothing(seed):
    """Invariant, intervals too: shuffled, renumbered by position."""
    table = example(80)
    generator = np.random.default_rng(seed)
    place = pl.DataFrame({"position": np.arange(80), "new": generator.permutation(80)})
    images, rows = (
        frame.join(place, on="position").drop("position").rename({"new": "position"}).sample(
            fraction=1, shuffle=True, seed=seed % 1000
        )
        for frame in (table.images, table.rows)
    )  # fmt: skip
    shuffled = SampleTable(images, rows, table.gauges)
    assert_same(summarise(table), summarise(shuffled))


def test_duplicates_are_one_cluster():
    """Invariant: every image twice, with the same sample id: figures and intervals as before, samples too."""
    table = example(80)
    twice = [frame.with_columns(pl.col("position") + 1000) for frame in (table.images, table.rows)]
    images = pl.concat([table.images, twice[0].with_columns(reference=pl.lit(False))])
    both = SampleTable(images, pl.concat([table.rows, twice[1]]), table.gauges)
    assert_same(summarise(table), summarise(both), rtol=0.02)


def test_scaling_a_gauge_leaves_what_is_relative():
    """Invariant of homogeneous distances: changes and spreads times 0.01."""
    one, other = (by_key(summarise(example(scale=scale))) for scale in (1.0, 0.01))
    for key, estimate in one.items():
        free = ("relative_change", "within_class_change", "discontinuity", "any_nearer_20", "flip")
        if key.quantity in free and key.representation != "pixels":
            for name in ("mean", "low", "high"):
                value = getattr(estimate, name)
                assert getattr(other[key], name) == (value and pytest.approx(value, rel=1e-4, abs=1e-7))


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 79), max_size=4))
def test_parts_put_together_are_the_whole(cuts):
    """Invariant: concatenation of parts of one audit, in any order."""
    table = example(80)
    edges = sorted({0, 80, *cuts})
    parts = [
        SampleTable(
            *(f.filter(pl.col("position").is_between(a, b - 1)) for f in (table.images, table.rows)), table.gauges
        )
        for a, b in pairwise(edges)
    ]
    assert_same(summarise(table), summarise(SampleTable.concat(parts[::-1])))


def test_without_labels_there_is_everything_that_needs_none():
    table = example(labelled=False)
    quantities = {estimate.quantity for estimate in summarise(table)}
    assert quantities == {
        "flip", "confidence_drop", "change", "relative_change", "local_lipschitz", "gradient_norm", "critical_severity",
    }  # fmt: skip
    assert {estimate.subset for estimate in summarise(table)} == {"all"}


def test_unknown_is_null_with_a_reason_and_never_nan():
    """One image a class, one image alone, a collapsed representation, missing values: JSON without NaN."""
    generator = np.random.default_rng(0)
    cell = {("noise", 1.0): np.abs(generator.normal(size=(30, 1)))}
    lonely = clouds.table(generator.normal(size=(30, 4)), np.arange(30), cell)
    collapsed = clouds.table(np.zeros((30, 4)), np.arange(30) % 3, cell)
    alone = clouds.table(np.zeros((1, 4)), np.zeros(1, int), {("noise", 1.0): np.ones((1, 1))})
    holes = clouds.table(generator.normal(size=(30, 4)), np.arange(30) % 3, cell)
    broken = holes.rows.with_columns(pl.lit(math.nan, pl.Float32).alias("logits.l2.change"))
    for table in (lonely, collapsed, alone, SampleTable(holes.images, broken, holes.gauges)):
        estimates = summarise(table)
        json.dumps([estimate.model_dump() for estimate in estimates], allow_nan=False)
        for estimate in estimates:
            if estimate.mean is None:
                assert estimate.reason
            elif estimate.low is not None:
                assert estimate.low <= estimate.mean <= estimate.high
    found = by_key(summarise(lonely))
    assert get(found, "within_class_change").mean is None
    assert get(found, "discontinuity").mean is None
    assert get(found, "relative_change").mean is not None
    assert get(by_key(summarise(collapsed)), "relative_change").mean is None
    assert get(by_key(summarise(alone)), "change").low is None


def test_classes_of_one_image_drop_out_of_both_sums():
    """Closed form: the lonely image's change must not count."""
    z = np.array([[0.0], [1.0], [50.0]])
    table = clouds.table(z, np.array([0, 0, 1]), {("noise", 1.0): np.array([[1.0], [3.0], [1000.0]])})
    found = by_key(summarise(table))
    assert get(found, "within_class_change").mean == pytest.approx((1 + 3) / 2 / 1.0)
    assert get(found, "within_class_change").samples == 2


def test_a_copy_that_equals_its_image_has_no_lipschitz_constant():
    """Closed form: rows whose pixels did not move are left out."""
    table = example(50, draws=1)
    still = pl.when(pl.col("position") < 20).then(0.0).otherwise(pl.col("pixels.l2.change")).cast(pl.Float32)
    rows = table.rows.with_columns(still.alias("pixels.l2.change"))
    found = get(
        by_key(summarise(SampleTable(table.images, rows, table.gauges))), "local_lipschitz", perturbation="noise",
        representation="logits",
    )  # fmt: skip
    kept = table.rows.filter(
        (pl.col("perturbation") == "noise") & (pl.col("draws") == "random") & (pl.col("position") >= 20)
    )
    expected = (kept["logits.l2.change"] / 20).mean() / table.images["logits.l2.spread"].mean()
    assert found.mean == pytest.approx(expected, rel=1e-5)
    assert found.samples == 30


def test_many_classes_are_told_at_the_highest_severity_only():
    generator = np.random.default_rng(0)
    cells = {("noise", s): np.abs(generator.normal(size=(90, 1))) for s in (1.0, 2.0, 4.0)}
    table = clouds.table(generator.normal(size=(90, 3)), np.arange(90) % 30, cells, worst=True)
    classes = [e for e in summarise(table) if e.subset.startswith("class:") and e.perturbation]
    assert {(e.severity, e.draws) for e in classes} == {(4.0, "random")}
    assert len({e.subset for e in classes}) == 30


def test_equal_class_names_stay_apart():
    """Keys are unique (the helper asserts it), whatever the names."""
    by_key(summarise(example(), class_names=["same"] * 5))


def assert_same(one: list[Estimate], other: list[Estimate], rtol: float = 1e-4) -> None:
    left, right = by_key(one), by_key(other)
    assert left.keys() == right.keys()
    for key, estimate in left.items():
        assert right[key].samples == estimate.samples
        for name in ("mean", "low", "high", "censored"):
            a, b = getattr(estimate, name), getattr(right[key], name)
            tolerance = 1e-5 if name == "mean" else rtol
            assert b == (None if a is None else pytest.approx(a, rel=tolerance, abs=1e-6)), (key, name)
