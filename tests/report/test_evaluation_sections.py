"""The sections of the evaluations: every figure once, runs side by side, hostile names harmless."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from report.synthetic import record
from semcon.core.difference import Difference
from semcon.core.pictured import MapRecord
from semcon.core.record import Estimate, EvaluationRecord, PerturbationRecord, Record
from semcon.report.evaluations import HEADER, evaluation_parts, evaluation_rows
from semcon.report.html import render
from semcon.report.opening import evaluation_opening
from semcon.report.reading import readings

EVIL = "<script>alert(1)</script>"
LEVEL = "published level, 0 to 5"


def accuracy(perturbation: str, severity: float | None, mean: float, draws: str = "random", quantity: str = "accuracy"):
    return Estimate(
        perturbation=perturbation, severity=severity, draws=draws, representation=None, distance=None,
        quantity=quantity, subset="all", statistic="mean", mean=mean, low=mean - 0.01, high=mean + 0.01, samples=9,
    )  # fmt: skip


def used(name: str, *severities: float, unit: str = "1/255") -> PerturbationRecord:
    return PerturbationRecord(
        name=name, family="noise", unit=unit, source="definition", kind="continuous", parameters="box", version=1,
        severities=severities, draws=1,
    )  # fmt: skip


def with_evaluation(name: str, perturbations, estimates, **options) -> Record:
    one = EvaluationRecord(
        name=name, question=f"How {EVIL}?", version=1, seconds=1, settings={}, perturbations=tuple(perturbations),
        gauges=(), inert=(), estimates=tuple(estimates), **({"verdict": ()} | options),
    )  # fmt: skip
    return record().model_copy(update={"evaluations": (one,)})


def test_corruptions_stand_by_level_whatever_their_unit():
    """Gaussian noise at 0.04 and 0.1 is levels 1 and 5."""
    estimates = [accuracy("fog", 1.0, 0.81), accuracy("fog", 5.0, 0.42), accuracy("gaussian_noise", 0.04, 0.73)]
    estimates += [accuracy("gaussian_noise", 0.1, 0.54), accuracy("rotation", None, 0.125, quantity="flip_probability")]
    attempts = [used("fog", 1, 5, unit=LEVEL), used("gaussian_noise", 0.04, 0.1, unit="sd")]
    (part,) = evaluation_parts(readings([(with_evaluation("corruption", attempts, estimates), Path())]))
    levels, alone = part.tables
    assert levels.header == ("", "1", "5")
    found = {name: [cell[0].split(" ")[0] for cell in cells] for name, cells in levels.rows}
    assert found == {"fog": ["0.810", "0.420"], "gaussian noise": ["0.730", "0.540"]}
    assert alone.rows[0][0].startswith("rotation: flip probability")
    assert alone.rows[0][1][0][0].startswith("0.125")


def test_attacks_stand_by_size_and_runs_side_by_side():
    """A run without the figure has an empty place, not another's."""
    one = with_evaluation("adversarial", [used("pgd_linf", 1, 2)], [
        accuracy("pgd_linf", 1.0, 0.5, "worst"), accuracy("pgd_linf", 2.0, 0.25, "worst"),
    ])  # fmt: skip
    two = with_evaluation("adversarial", [used("pgd_linf", 1, 2)], [accuracy("pgd_linf", 2.0, 0.75, "worst")])
    (part,) = evaluation_parts(readings([(one, Path()), (two, Path()), (record(), Path())]))
    (table,) = part.tables
    assert "1/255" in table.title
    ((name, cells),) = table.rows
    assert name == "pgd linf, worst"
    assert [[text.split(" ")[0] for text in cell] for cell in cells] == [["0.500", ""], ["0.250", "0.750"]]
    assert [place for place, _, _ in part.verdicts] == [0, 1]


def test_what_the_first_run_has_not_is_shown_too():
    """Runs with other perturbations and other sizes: a row for each, empty where a run lacks it."""
    one = with_evaluation("adversarial", [used("pgd_linf", 1)], [accuracy("pgd_linf", 1.0, 0.5, "worst")])
    two = with_evaluation("adversarial", [used("pgd_linf", 2, 4), used("pgd_l2", 9, unit="L2 / 255")], [
        accuracy("pgd_linf", 2.0, 0.25, "worst"), accuracy("pgd_l2", 9.0, 0.75, "worst"),
    ])  # fmt: skip
    (part,) = evaluation_parts(readings([(one, Path()), (two, Path())]))
    found = [
        (table.header[1:], name, [[text.split(" ")[0] for text in cell] for cell in cells])
        for table in part.tables
        for name, cells in table.rows
    ]
    assert sorted(found) == [
        (("1",), "pgd linf, worst", [["0.500", ""]]),
        (("2", "4"), "pgd linf, worst", [["", "0.250"], ["", ""]]),
        (("9",), "pgd l2, worst", [["", "0.750"]]),
    ]


def test_levels_of_all_runs_stand_in_one_table():
    """A run at levels 1 and 5, and one at another canvas at levels 1, 2, 5 that has snow as well."""
    one = with_evaluation("corruption", [used("fog", 1, 5, unit=LEVEL), used("gaussian_noise", 0.04, 0.1)], [
        accuracy("fog", 5.0, 0.5), accuracy("gaussian_noise", 0.1, 0.625),
    ])  # fmt: skip
    two = with_evaluation("corruption", [used(name, 1, 2, 5, unit=LEVEL) for name in ("fog", "snow")]
                          + [used("gaussian_noise", 0.08, 0.12, 0.18)], [
        accuracy("fog", 2.0, 0.25), accuracy("snow", 2.0, 0.75), accuracy("gaussian_noise", 0.18, 0.375),
    ])  # fmt: skip
    (part,) = evaluation_parts(readings([(one, Path()), (two, Path())]))
    (table,) = part.tables
    assert table.header == ("", "1", "2", "5")
    found = {name: [[text.split(" ")[0] for text in cell] for cell in cells] for name, cells in table.rows}
    assert found == {
        "fog": [["", ""], ["", "0.250"], ["0.500", ""]],
        "gaussian noise": [["", ""], ["", ""], ["0.625", "0.375"]],
        "snow": [["", ""], ["", "0.750"], ["", ""]],
    }


def test_where_one_run_has_no_labels_the_other_keeps_its_accuracy():
    one = with_evaluation("corruption", [used("fog", 1, unit=LEVEL)], [
        accuracy("fog", 1.0, 0.5), accuracy("fog", 1.0, 0.25, quantity="flip"),
    ])  # fmt: skip
    two = with_evaluation("corruption", [used("fog", 1, unit=LEVEL)], [accuracy("fog", 1.0, 0.75, quantity="flip")])
    two = two.model_copy(update={"data": two.data.model_copy(update={"labelled": False})})
    (part,) = evaluation_parts(readings([(one, Path()), (two, Path())]))
    found = [[text.split(" ")[0] for text in table.rows[0][1][0]] for table in part.tables]
    assert found == [["0.500", ""], ["0.250", "0.750"]]


def test_what_only_a_later_run_tried_has_a_row_in_every_table():
    """Properties, axes, maps: the first run's order, then the rest."""
    for name, quantity in (("bias_search", "follows"), ("axis_meaning", "factor_lift")):
        one = with_evaluation(name, [used("hue", 1)], [accuracy("hue", 1.0, 0.5, quantity=quantity)])
        two = with_evaluation(name, [used("hue", 1), used("contrast", 1)], [
            accuracy("contrast", 1.0, 0.75, quantity=quantity), accuracy("hue", 1.0, 0.25, quantity=quantity),
        ])  # fmt: skip
        (part,) = evaluation_parts(readings([(one, Path()), (two, Path())]))
        assert [row.split(" ")[0] for row, _ in part.tables[0].rows] == ["hue", "contrast"]
    maps = [accuracy(p, 1.0, 0.5, quantity="ssim").model_copy(update={"representation": "grad_cam"})
            for p in ("hue", "contrast")]  # fmt: skip
    one = with_evaluation("explanation_stability", [used("hue", 1)], maps[:1])
    two = with_evaluation("explanation_stability", [used("hue", 1), used("contrast", 1)], maps)
    (part,) = evaluation_parts(readings([(one, Path()), (two, Path())]))
    assert {row for row, _ in part.tables[0].rows} == {"hue 1", "contrast 1"}
    assert [table.title for table in part.tables[1:]] == [f"{p} 1: the copy's map against the image's"
                                                          for p in ("hue", "contrast")]  # fmt: skip
    assert [row for row, _ in part.tables[1].rows] == ["grad cam"]


def test_the_csv_has_every_estimate_of_all_images():
    rows = evaluation_rows(
        readings([(with_evaluation("corruption", [used("fog", 1)], [accuracy("fog", 1.0, 0.5)]), Path())])
    )
    assert [dict(zip(HEADER, row, strict=True))["mean"] for row in rows] == [0.5]
    assert all(len(row) == len(HEADER) for row in rows)


def test_the_page_has_a_section_with_maps_and_no_script_of_a_name():
    picture = MapRecord(
        name="fourier", title=EVIL, x_label=EVIL, x=(-1, 1), y_label="down", y=(-1, 1), value_label=EVIL,
        values=((0.1, None), (0.9, 0.4)),
    )  # fmt: skip
    evaluated = with_evaluation(
        "frequency", [used(EVIL, 1)], [accuracy(EVIL, 1.0, 0.5)], verdict=(f"It {EVIL}.",), maps=(picture,)
    )
    page = render(readings([(evaluated, Path())]))
    assert 'id="frequency"' in page
    assert EVIL not in page
    assert page.count("<svg") > render(readings([(record(), Path())])).count("<svg")


def test_without_continuity_there_is_no_profile_and_no_gallery():
    evaluated = with_evaluation("corruption", [used("fog", 1)], [accuracy("fog", 1.0, 0.5)])
    alone = evaluated.model_copy(update={
        "settings": evaluated.settings.model_copy(update={"perturbations": ()}), "profile": (), "gallery": (),
        "verdict": (), "estimates": tuple(one for one in evaluated.estimates if one.perturbation is None),
    })  # fmt: skip
    page = render(readings([(alone, Path())]))
    assert 'id="corruption"' in page
    for gone in ("profile", "gallery", "curves"):
        assert f'id="{gone}"' not in page
    for unspoken in (
        "<summary>Profile<",
        "<summary>Random and worst<",
        "<summary>Better, worse and p<",
        "Perturbations and their severities",
    ):
        assert unspoken not in page, unspoken
        assert unspoken in render(readings([(record(), Path()), (record(), Path())])), unspoken


def test_a_critical_severity_is_told_in_words_that_are_true_of_draws_and_of_attacks():
    """No attack is drawn and no wrong image flips: a share of the images has none."""
    median = accuracy("pgd_linf", None, 4.0, quantity="critical_severity").model_copy(update={"censored": 0.25})
    one = with_evaluation("adversarial", [used("pgd_linf", 2, 8)], [accuracy("pgd_linf", 2.0, 0.5, "worst"), median])
    (part,) = evaluation_parts(readings([(one, Path())]))
    ((_, _, sentence),) = part.curves[0].cards[0].critical
    assert sentence == "critical severity 4.00 [3.99, 4.01]; none for 25 % of the images"


def test_sizes_are_written_as_they_were_given():
    """32, as in every table; not 32.0."""
    change = Difference("pgd_l2", 32.0, "worst", None, None, "accuracy", "all", "mean", 0.5, 0.75, 0.25, 0.1, 0.4, 50)
    slope = replace(change, perturbation="l2", quantity="lipschitz", statistic="median")
    (attacked,) = evaluation_opening("adversarial", [change], [])
    assert "under pgd l2 at 32 changed by" in attacked
    (smooth,) = evaluation_opening("smoothness", [slope], [])
    assert "within 32/255 went from" in smooth
