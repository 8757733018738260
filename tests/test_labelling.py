"""Which output each class of the data is: by name, by order, or a clear refusal."""

from __future__ import annotations

import pytest

from semcon.core.errors import SemconError
from semcon.labelling import check_labels, check_names, outputs_of_classes


def test_a_subset_of_the_classes_is_matched_by_name():
    """Ten folders, a 1000-way model: line i names output i (definition)."""
    names = [f"n{i:04d}" for i in range(1000)]
    assert outputs_of_classes(["n0217", "n0000"], names, 1000, given=True) == [217, 0]


def test_without_names_classes_go_by_order():
    assert outputs_of_classes(["cat", "dog"], None, 2, given=False) == [0, 1]
    assert outputs_of_classes(["n01", "n02"], ["tench, Tinca tinca", "goldfish"], 2, given=False) == [0, 1]


@pytest.mark.parametrize(
    ("classes", "names", "outputs", "given", "words"),
    [
        (["cat", "dog"], None, 1000, False, "2 classes and the model 1000 outputs"),
        (["catt"], ["cat", "dog"], 2, True, "Did you mean 'cat'"),
        (["a", "b", "c"], None, 2, False, "3 classes"),
        (["x"], ["cat", "dog"], 2, False, "model's own class names"),
    ],
)
def test_what_cannot_be_matched_is_refused_by_name(classes, names, outputs, given, words):
    with pytest.raises(SemconError, match=words):
        outputs_of_classes(classes, names, outputs, given=given)


def test_labels_and_names_must_fit_the_outputs():
    check_labels([0, 9], 10)
    check_names(None, 10)
    with pytest.raises(SemconError, match="label 10 in the data"):
        check_labels([0, 10], 10)
    with pytest.raises(SemconError, match="3 class names for 10 outputs"):
        check_names(["a", "b", "c"], 10)
