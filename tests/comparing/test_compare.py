"""Runs side by side: what differs is paired image by image, and what is not comparable is refused by name."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

import clouds
from pairs import CHANGES, FLIPS, LABELS, LADDER, MORE_FLIPS, OTHER, WRONG, N, Z, evaluated, finished
from semcon.comparing.compare import compare, side_by_side
from semcon.core.difference import Difference
from semcon.core.errors import SemconError
from semcon.core.record import Finding, SearchRecord, TrainingRecord
from semcon.core.table import SampleTable
from semcon.report.opening import opening


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
    reach = 0 if order is None else 1e-8  # another order of images is another order of sums of float32
    assert all(max(abs(one.low), abs(one.high)) <= reach for one in plain)
    assert comparison.left_out == ()


def test_where_nothing_differed_something_still_may(make):
    """Oracle: Wilson's interval for no change among N images, 3.84 / (N + 3.84); of the rows and of the families."""
    comparison = compare(make("a", flips=FLIPS), make("b", flips=FLIPS))
    least = 3.841458820694124 / (N + 3.841458820694124)
    for one in (*comparison.differences, *comparison.profile, *comparison.overall):
        if one.quantity == "flip" and one.draws == "random" and one.subset == "all":
            assert one.difference == 0
            assert one.high >= least * (1 - 1e-9)
            assert one.low <= -least * (1 - 1e-9)


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


def test_an_evaluation_that_differs_is_left_out_with_the_reason(make):
    """Whether it is a setting, what was tried, or that only one run has it: continuity is compared all the same."""
    plain = compare(make("a"), make("b", OTHER)).differences
    for number, (one, other, why) in enumerate((
        ({"seed": 0}, {"seed": 1}, "the evaluation shortcut: seed of shortcut is 0 and 1"),
        ({"seed": 0}, None, "the evaluation shortcut: only one has it"),
        ({"ladder": (0.05,)}, {}, "the evaluation shortcut: ladder of gaussian_noise is 0.05 and 0.05/0.1"),
    )):  # fmt: skip
        runs = make(f"a{number}"), make(f"b{number}", OTHER)
        first, second = (
            run if own is None else evaluated(run, **own) for run, own in zip(runs, (one, other), strict=True)
        )
        comparison = compare(first, second)
        assert comparison.not_made == (why,)
        assert comparison.others == ()
        assert [one.difference for one in comparison.differences] == [one.difference for one in plain]


def test_every_table_is_read_once(make, monkeypatch):
    sides, read = [evaluated(make("a")), evaluated(make("b", OTHER))], []
    load = SampleTable.load
    monkeypatch.setattr(SampleTable, "load", lambda path: read.append(path) or load(path))
    fresh = [dataclasses.replace(side) for side in sides]
    side_by_side(fresh).to_json()
    assert len(read) == len(set(read)) == 4


def test_seeds_that_made_one_evaluation_otherwise_are_compared_in_the_others(make, tmp_path):
    """Continuity of the one seed has another number of draws: what both made alike is left, and nothing else."""
    ours = [evaluated(make("base0")), evaluated(make("base1", settings={"draws": 3}))]
    theirs = [evaluated(make("new0", OTHER)), evaluated(make("new1", OTHER))]
    comparison = compare(ours, theirs)
    assert comparison.evaluation == "shortcut"
    assert comparison.not_made == ("the evaluation continuity: the runs of one side differ: draws is 1 and 3",)
    together = side_by_side([ours, theirs])
    assert together.report(tmp_path / "page").exists()
    assert {reading.label for reading in together.reading} == {"base (2 runs)", "new (2 runs)"}
    with pytest.raises(SemconError, match="draws is 1 and 3"):
        compare([make("c0"), make("c1", settings={"draws": 3})], make("d"))


def test_another_budget_is_what_differs_not_the_ladder(make, make_record):
    update = changed(make_record([]), severities=(0.05, 0.2)) | {"budget": "full"}
    with pytest.raises(SemconError, match=r"budget is fast and full, and with it ladder of .*same --budget"):
        compare(make("a"), make("b", settings=update))


def test_side_by_side_holds_every_run_against_the_first(make):
    together = side_by_side([make("a"), make("b", OTHER), make("c")])
    plain = together.to_json()
    assert [(one["first"], one["second"]) for one in plain["differences"]] == [("a", "b"), ("a", "c")]
    assert {one["difference"] for one in plain["differences"][1]["estimates"]} == {0}
    assert [table.title for table in together.tables] == ["b minus a", "c minus a"]


def by_loop(a, b):
    """Images that got worse and better from a to b, each (n, draws): what went wrong."""
    worse = better = 0
    for before, after in zip(a, b, strict=True):
        worse += sum(after) > sum(before)
        better += sum(after) < sum(before)
    return worse, better


@pytest.mark.parametrize("draws", [1, 3])
def test_harmful_and_beneficial_images_are_counted_and_tested(make, draws):
    """Oracle: a loop over images, and scipy's binomial test on the two counts."""
    generator = np.random.default_rng(draws)
    changes = {key: np.repeat(change, draws, axis=1) for key, change in CHANGES.items()}
    one, two = ({key: generator.random((N, draws)) < rate for key in changes} for rate in (0.3, 0.2))
    settings = {"draws": draws}
    runs = [make(name, changes, flips=flips, settings=settings) for name, flips in (("a", one), ("b", two))]
    comparison = compare(*runs)
    for severity in LADDER:
        row = found(comparison, "flip", severity)
        key = ("gaussian_noise", severity)
        assert (row.harmful, row.beneficial) == by_loop(one[key], two[key])
        changed = row.harmful + row.beneficial
        assert row.p == pytest.approx(stats.binomtest(row.harmful, changed, 0.5).pvalue)
        assert row.test.startswith("McNemar" if draws == 1 else "exact sign test over images")
        right = found(comparison, "accuracy", severity)
        assert (right.harmful, right.beneficial) == (row.harmful, row.beneficial)  # nothing is wrong untouched


def test_duplicates_are_one_cluster(make):
    """Every image twice: the counts are those of the images, not of the rows."""
    samples = np.repeat(np.arange(N // 2), 2) * 7919 + 13
    flips = {key: (np.arange(N)[:, None] // 2) < 20 for key in CHANGES}
    more = {key: (np.arange(N)[:, None] // 2) < 33 for key in CHANGES}
    labels = np.repeat(LABELS[: N // 2], 2)
    runs = [make(n, flips=f, samples=samples, labels=labels) for n, f in (("a", flips), ("b", more))]
    row = found(compare(*runs), "flip")
    assert (row.harmful, row.beneficial) == (13, 0)
    assert row.test.startswith("exact sign test")


def test_clean_accuracy_is_tested_and_holm_covers_all_rows_of_all_sides(make):
    """Oracle: Holm's closed form over every p of the comparison, two sides against the first."""
    together = side_by_side([make("a", flips=FLIPS), make("b", OTHER, flips=MORE_FLIPS, wrong=WRONG), make("c")])
    clean = found(together.comparisons[0], "accuracy", None, perturbation=None)
    assert (clean.harmful, clean.beneficial) == (8, 0)
    assert clean.p == pytest.approx(2 / 2**8)
    rows = [one for comparison in together.comparisons for one in comparison.differences if one.p is not None]
    assert len(rows) == 2 * (1 + 2 * len(LADDER))
    ordered = sorted(rows, key=lambda one: one.p)
    highest = 0.0
    for place, one in enumerate(ordered):
        highest = max(highest, min(1.0, one.p * (len(rows) - place)))
        assert one.p_holm == pytest.approx(highest)
    assert all(one.subset == "all" and one.quantity in ("flip", "accuracy") for one in rows)


def test_without_labels_flips_alone_are_tested(make):
    comparison = compare(make("a", labels=None, flips=FLIPS), make("b", labels=None, flips=MORE_FLIPS))
    assert {one.quantity for one in comparison.differences if one.p is not None} == {"flip"}
    assert any("must not rank" in sentence for sentence in comparison.opening)


def test_the_critical_severity_moves_by_the_difference_of_its_medians(make):
    """Oracle: numpy's medians where nothing is censored."""
    generator = np.random.default_rng(3)
    times = [generator.uniform(0.01, 0.09, 200) for _ in range(2)]
    runs = [make(n, critical={"gaussian_noise": (t, 0.1)}) for n, t in zip("ab", times, strict=True)]
    one = found(compare(*runs), "critical_severity", None)
    lower = [np.sort(t)[N // 2 - 1] for t in times]
    assert (one.first, one.second) == pytest.approx(lower)
    assert one.low < one.difference < one.high


def test_a_critical_severity_beyond_the_ladder_is_said_so(make):
    """More than half never flip: the difference is at least the ladder's end less the first's upper bound."""
    early = np.linspace(0.01, 0.06, N)
    late = np.where(np.arange(N) < 20, 0.05, np.inf)
    runs = {n: make(n, critical={"gaussian_noise": (t, 0.1)}) for n, t in (("a", early), ("b", late), ("c", late))}
    one = found(compare(runs["a"], runs["b"]), "critical_severity", None)
    assert (one.second, one.difference, one.high) == (None, None, None)
    assert one.beyond == (None, 0.1)
    assert 0.05 < one.low < 0.1 - one.first
    assert "second lies beyond the ladder" in one.reason
    back = found(compare(runs["b"], runs["a"]), "critical_severity", None)
    assert (back.low, back.high) == (None, pytest.approx(-one.low))
    both = found(compare(runs["b"], runs["c"]), "critical_severity", None)
    assert (both.low, both.high, both.beyond) == (None, None, (0.1, 0.1))


def seeds(make, prefix, rates, start=0, **options):
    """Runs of one training: flips of the first images, as many as `rates` say."""
    return [
        make(f"{prefix}{seed}", flips={key: np.arange(N)[:, None] < count for key in CHANGES}, **options)
        for seed, count in enumerate(rates, start)
    ]


def test_sides_of_several_seeds_are_averaged_and_their_intervals_widened(make):
    """Oracle: the mean by hand; never narrower than scipy's paired t interval over seeds."""
    first, second = seeds(make, "base", (40, 44, 48)), seeds(make, "new", (20, 26, 26))
    comparison = compare(first, second)
    one = found(comparison, "flip")
    assert (one.first, one.second, one.seeds) == (pytest.approx(44 / N), pytest.approx(24 / N), (3, 3))
    paired = stats.ttest_rel([20 / N, 26 / N, 26 / N], [40 / N, 44 / N, 48 / N]).confidence_interval()
    assert one.seed_reach == pytest.approx((paired.high - paired.low) / 2)
    single = found(compare(first[1], second[1]), "flip")
    assert one.low < min(paired.low, single.difference)
    assert one.high > paired.high
    assert one.p > single.p
    assert (one.harmful, one.beneficial) == (0, 48 - 20)
    assert "3 training seeds of each, paired in order" in comparison.opening[-1]
    assert comparison.labels == ("base (3 runs)", "new (3 runs)")
    assert len({one.key for one in comparison.differences}) == len(comparison.differences)


def test_seeds_of_one_side_against_a_single_network(make):
    (first,), second = seeds(make, "base", (40,)), seeds(make, "new", (20, 26, 26))
    comparison = compare(first, second)
    one = found(comparison, "flip")
    alone = stats.ttest_1samp([20 / N, 26 / N, 26 / N], 40 / N).confidence_interval()
    assert one.seed_reach == pytest.approx((alone.high - alone.low) / 2)
    assert "base0 is one network, taken as it is" in comparison.opening[-1]


def trained(seed, objective="continuity", **changes):
    plain = {"objective": objective, "seed": seed, "steps": 600, "images": 76_800, "passes": 230_400.0,
             "seconds": 61.0, "parameters": 1, "hardware": "a processor"}  # fmt: skip
    return TrainingRecord(**(plain | changes))


def test_known_training_seeds_are_paired_by_number(make):
    """The second side comes in another order: the pairs are (0, 0) and (1, 1), whose differences are equal."""
    first = [make(f"a{i}", flips={k: np.arange(N)[:, None] < 20 + 10 * i for k in CHANGES},
                  subject={"training": trained(i)}) for i in (0, 1)]  # fmt: skip
    second = [make(f"b{i}", flips={k: np.arange(N)[:, None] < 10 + 10 * i for k in CHANGES},
                   subject={"training": trained(i)}) for i in (1, 0)]  # fmt: skip
    assert found(compare(first, second), "flip").seed_reach == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ({"parameters": 7}, "number of parameters is 1 and 7"),
        ({"fingerprint": "base0"}, "are the same network"),
        ({"training": trained(1)}, r"training objective and steps is None and \('continuity', 600\)"),
    ],
)
def test_runs_that_are_no_seeds_of_one_training_are_refused(make, subject, words):
    with pytest.raises(SemconError, match=words):
        compare([make("base0"), make("base1", subject=subject)], make("new"))


def test_runs_of_a_side_must_be_comparable_and_measured_alike(make, make_record):
    with pytest.raises(SemconError, match="seed is 0 and 5"):
        compare([make("base0"), make("base1", settings={"seed": 5})], make("new"))
    (noise,) = make_record([]).settings.perturbations
    hue = noise.model_copy(update={"name": "hue", "family": "photometric"})
    with pytest.raises(SemconError, match="list of perturbations is gaussian_noise and gaussian_noise, hue"):
        compare([make("c0"), make("c1", settings={"perturbations": (noise, hue)})], make("d"))
    with pytest.raises(SemconError, match="at least two sides"):
        side_by_side([make("e")])
    with pytest.raises(SemconError, match="at least one run"):
        compare([], make("f"))
    with pytest.raises(SemconError, match="cannot read the runs 'a,,b'"):
        compare("a,,b", make("g"))


def test_other_labels_are_refused_and_renumbered_ones_are_not(make):
    """Models may order their outputs as they like; the images must still be of the same classes."""
    with pytest.raises(SemconError, match="the labels of their images differ"):
        compare(make("a"), make("b", labels=np.roll(LABELS, 1)))
    compare(make("c"), make("d", labels=(LABELS + 1) % 5))


def test_a_side_can_be_named_by_its_folders(make, tmp_path):
    for run in seeds(make, "base", (20, 22)) + seeds(make, "new", (10, 12)):
        finished(run)
    names = [",".join(str(tmp_path / f"{side}{seed}") for seed in (0, 1)) for side in ("base", "new")]
    one = found(compare(*names), "flip")
    assert (one.first, one.second) == pytest.approx((21 / N, 11 / N))


def test_json_has_unique_keys_and_never_nan(make):
    late = np.where(np.arange(N) < 20, 0.05, np.inf)
    runs = [finished(make(n, flips=f, critical={"gaussian_noise": (late, 0.1)}))
            for n, f in (("a", FLIPS), ("b", MORE_FLIPS))]  # fmt: skip
    plain = json.loads(json.dumps(side_by_side(runs).to_json(), allow_nan=False))
    assert plain["schema"] == 1
    assert [side["name"] for side in plain["sides"]] == ["a", "b"]
    assert plain["opening"] == plain["differences"][0]["opening"]
    (one,) = plain["differences"]
    keys = ("perturbation", "severity", "draws", "representation", "distance", "quantity", "subset", "statistic")
    for part in ("estimates", "profile", "overall"):
        assert len({tuple(row[key] for key in keys) for row in one[part]}) == len(one[part]) > 0
    tested = [row for row in one["estimates"] if row["p"] is not None]
    assert {row["seeds"] == [1, 1] for row in one["estimates"]} == {True}
    assert all({"p_holm", "harmful", "beneficial", "test"} <= row.keys() for row in tested)
    assert [cost["runs"][0]["parameters"] for cost in plain["cost"]] == [1, 1]
    assert plain["cost"][0]["runs"][0]["training"] is None


def test_over_all_perturbations_is_the_mean_of_their_cells(make):
    """Oracle: the mean of the differences at the two severities."""
    comparison = compare(make("a", flips=FLIPS), make("b", OTHER, flips=MORE_FLIPS))
    (overall,) = [one for one in comparison.overall if one.quantity == "relative_change"]
    cells = [found(comparison, "relative_change", severity).difference for severity in LADDER]
    assert overall.difference == pytest.approx(np.mean(cells), rel=1e-5)
    assert overall.low < overall.difference < overall.high


def openings(comparison, **changes):
    return dataclasses.replace(comparison, **changes).opening


def test_the_opening_is_true_for_any_outcome(make):
    """Less, more, nothing and a model at chance, each against numbers that are known."""
    many = {key: np.arange(N)[:, None] < 120 for key in CHANGES}
    a, b, c = make("a", flips=FLIPS), make("b", OTHER, flips=many, wrong=WRONG), make("c", flips=FLIPS)
    worse = compare(a, b)
    assert worse.opening[0] == ("b flips more than a under 1 of 1 perturbation (Holm-adjusted p < 0.05), less under 0.")
    assert "relative change rose from" in worse.opening[1]
    assert worse.opening[2].startswith("Accuracy on the untouched images changed by -4.0 points [")
    assert worse.opening[2].endswith("from 1.00 to 0.960; 0 images better, 8 worse.")
    better = compare(b, a)
    assert better.opening[0] == (
        "a flips less than b under 1 of 1 perturbation (Holm-adjusted p < 0.05), more under 0."
    )
    assert "relative change fell from" in better.opening[1]
    same = compare(a, c)
    assert same.opening[0].startswith("c is not shown to flip more or less than a under the perturbation")
    assert "is not known to differ" in same.opening[1]
    assert "0.0 points" in same.opening[2]
    assert "chance could explain that" in same.opening[2]
    lost = Finding(code="chance-accuracy", severity="issue", message="m", remedy="r")
    blind = dataclasses.replace(a, record=a.record.model_copy(update={"findings": (lost,)}))
    assert any("a is at chance" in sentence for sentence in compare(blind, c).opening)
    assert len(openings(same, differences=(), overall=())) == 2


def test_perturbations_that_disagree_are_counted_apart():
    """Less at one severity and more at another; less under one of three; no more than chance under one."""

    def flip(name, severity, value, p):
        return Difference(name, severity, "random", None, None, "flip", "all", "mean", 0.1, 0.1 + value, value,
                          None, None, 100, p_holm=p, p=p)  # fmt: skip

    rows = [flip("hue", 1, -0.1, 0.01), flip("hue", 2, 0.1, 0.01), flip("jpeg", 1, -0.1, 0.01),
            flip("jpeg", 2, 0.1, 0.3), flip("gamma", 1, -0.1, 0.05)]  # fmt: skip
    assert opening(("a", "b"), rows, [], [])[0] == (
        "b flips less than a under 1 of 3 perturbations (Holm-adjusted p < 0.05), more under 0, and less at some "
        "severities but more at others under 1; under the other chance could explain the difference."
    )
