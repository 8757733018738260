"""Three sentences with the record's own numbers, and none that ranks a model without accuracy."""

from __future__ import annotations

import re

import pytest

from semcon.core.record import Estimate, ProfileRow
from semcon.core.verdict import verdict


def estimate(quantity: str, mean: float | None, **changes: object) -> Estimate:
    plain = {
        "perturbation": "gaussian_noise", "severity": 0.05, "draws": "random", "representation": None, "distance": None,
        "quantity": quantity, "subset": "all", "statistic": "mean", "mean": mean,
        "low": None if mean is None else 0.9 * mean, "high": None if mean is None else 1.1 * mean, "samples": 500,
    }  # fmt: skip
    return Estimate(**(plain | changes))


def of_logits(quantity: str, mean: float | None, **changes: object) -> Estimate:
    return estimate(quantity, mean, representation="logits", distance="l2", **changes)


def row(family: str, mean: float | None, quantity: str = "within_class_change") -> ProfileRow:
    low, high = (None, None) if mean is None else (mean - 0.02, mean + 0.02)
    return ProfileRow(
        family=family, quantity=quantity, mean=mean, low=low, high=high, samples=500, perturbations=("gaussian_noise",)
    )


PROFILE = (row("noise", 0.94), row("photometric", 0.12), row("geometry", 0.5))
ESTIMATES = (
    estimate("accuracy", 0.91, perturbation=None, severity=None),
    estimate("accuracy", 0.63), estimate("accuracy", 0.2, draws="worst"), estimate("accuracy", 0.1, subset="class:cat"),
    estimate("flip", 0.36),
    of_logits("discontinuity", 0.44), of_logits("discontinuity", 0.1, perturbation="hue"),
    of_logits("discontinuity", 0.99, draws="worst"), of_logits("discontinuity", 0.9, subset="correct"),
    estimate("discontinuity", 0.95, representation="penultimate", distance="l2"),
    of_logits("any_nearer_20", 0.85),
)  # fmt: skip


def test_the_sentences_quote_the_record():
    """Least and most by family; the commonest Figure 1 under random draws; accuracy, untouched and lowest."""
    families, figure_1, control = verdict(ESTIMATES, PROFILE, [])
    assert "two different images of a class" in families
    assert re.search(r"least under photometric changes, 0\.12 \[0\.10, 0\.14\].*most under noise, 0\.94", families)
    assert "gaussian noise at 0.05" in figure_1
    assert "44 % [40 %, 48 %]" in figure_1
    assert "85 %" in figure_1
    assert "91.0 %" in control
    assert "63 % [57 %, 69 %] under gaussian noise at 0.05" in control
    assert all(sentence.endswith(".") for sentence in (families, figure_1, control))


def test_families_whose_intervals_overlap_are_not_ranked():
    families = verdict(ESTIMATES, (row("noise", 0.5), row("geometry", 0.52)), [])[0]
    assert "about equally" in families
    assert "least" not in families


def test_one_family_is_not_compared_with_itself():
    assert "moves 0.94 [0.92, 0.96] of it under noise" in verdict(ESTIMATES, PROFILE[:1], [])[0]


@pytest.mark.parametrize("codes", [["chance"], ["few-images", "at-chance"]])
def test_a_model_at_chance_is_not_ranked(codes):
    sentences = verdict(ESTIMATES, PROFILE, codes)
    assert "at chance" in sentences[0]
    assert "mean nothing" in sentences[0]
    assert "91.0 %" in sentences[0]
    assert not any("0.94" in sentence or "least under" in sentence for sentence in sentences)


def test_without_labels_nothing_is_ranked_by_them():
    estimates = [estimate("flip", 0.36), estimate("flip", 0.01, perturbation="hue")]
    rows = [row("noise", 0.48, "relative_change"), row("geometry", 0.1, "relative_change")]
    families, flips, control = verdict(estimates, rows, [])
    assert "two different images," in families
    assert "gaussian noise at 0.05, for 36 %" in flips
    assert "must not rank" in control


def test_what_never_happened_is_said_with_its_bound():
    """The bound is the largest upper one over the cells."""
    estimates = [
        estimate("accuracy", 0.9, perturbation=None, severity=None),
        of_logits("discontinuity", 0.0, high=0.004), of_logits("discontinuity", 0.0, perturbation="hue", high=0.0076),
    ]  # fmt: skip
    assert "did not occur under random draws (at most 0.8 %)" in verdict(estimates, PROFILE, [])[1]


def test_nothing_measured_is_said():
    sentences = verdict([], [], [])
    assert "could not be measured" in sentences[0]
    assert "was not measured" in sentences[1]
    assert "None" not in " ".join(
        verdict([estimate("flip", None), of_logits("discontinuity", None)], [row("noise", None)], [])
    )
