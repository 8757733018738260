"""Colours that go with the label: shares as asked for, the same for the same image, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from semcon.core.errors import SemconError, UnknownNameError
from semcon.datasets import Arrays, ColoredDigits, Shapes
from semcon.recipes.sources import parse_data

N = 600


def digits() -> Arrays:
    """Squares of grey in black, of ten classes."""
    images = np.zeros((N, 12, 12, 1), np.uint8)
    images[:, 3:9, 3:9] = np.random.default_rng(0).integers(100, 255, (N, 6, 6, 1))
    return Arrays(images, [i % 10 for i in range(N)])


def biases(data: ColoredDigits | Shapes) -> Counter[str]:
    return Counter(data.attributes(i)["bias"] for i in range(N))


def test_shares_are_those_asked_for() -> None:
    """Four standard errors of a share of 600 are 0.08 at most; controls at 0 and 1 are exact."""
    found = biases(ColoredDigits(digits(), correlation=0.8, grey=0.25))
    assert found["grey"] / N == pytest.approx(0.25, abs=0.08)
    assert found["aligned"] / (N - found["grey"]) == pytest.approx(0.8, abs=0.08)
    assert biases(ColoredDigits(digits(), correlation=1.0)) == {"aligned": N}
    assert biases(ColoredDigits(digits(), correlation=0.0)) == {"conflicting": N}
    assert biases(ColoredDigits(digits(), grey=1.0)) == {"grey": N}


def test_the_two_class_form_of_arxiv_1907_02893() -> None:
    """A quarter of the labels is turned round; colour and label disagree for the environment's share."""
    data = ColoredDigits(digits(), form="two", environments=(0.1, 0.9))
    flipped = [data.label(i) != int(i % 10 >= 5) for i in range(N)]
    assert np.mean(flipped) == pytest.approx(0.25, abs=0.08)
    for share in ("0.1", "0.9"):
        own = [a["bias"] for a in map(data.attributes, range(N)) if a["environment"] == share]
        assert own.count("conflicting") / len(own) == pytest.approx(float(share), abs=0.08)
    for i in range(50):
        red, green, _ = data.image(i).reshape(-1, 3).astype(float).sum(0)
        assert (red > green) == (data.attributes(i)["colour"] == "0")


class Named(Arrays):
    """With names of its classes."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__(digits().images, [i % len(classes) for i in range(N)])
        self.classes = classes


@pytest.mark.parametrize("names", [("3", "7"), ("eight", "five", "four"), ("0 - zero", "9 - nine")])
def test_the_two_classes_go_by_the_digit_and_not_by_its_place_among_the_classes(names: tuple[str, ...]) -> None:
    """Oracle: a quarter of every digit's labels is turned round, whatever its class's number."""
    large = {"3": 0, "7": 1, "eight": 1, "five": 1, "four": 0, "0 - zero": 0, "9 - nine": 1}
    data = ColoredDigits(Named(names), form="two")
    for place, name in enumerate(names):
        own = [data.label(i) for i in range(place, N, len(names))]
        assert np.mean([label != large[name] for label in own]) == pytest.approx(0.25, abs=0.12)
    with pytest.raises(SemconError, match=r"needs digits, and .* has the class 'cat'"):
        ColoredDigits(Named(("cat", "3")), form="two")


def test_colours_are_of_classes_that_there_are() -> None:
    """Also where classes have no names and are few. Oracle: the classes themselves."""
    base = digits()
    few = ColoredDigits(Arrays(base.images, [(0, 1, 5)[i % 3] for i in range(N)]), correlation=0.5)
    found = [few.attributes(i) for i in range(N)]
    assert {one["colour"] for one in found} == {"0", "1", "5"}
    wrong = [one["colour"] for i, one in enumerate(found) if i % 3 == 0 and one["bias"] == "conflicting"]
    assert wrong.count("1") / len(wrong) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("where", ["foreground", "background", "texture"])
def test_an_image_depends_on_its_pixels_and_the_seed_alone(where: str) -> None:
    base = digits()
    whole, part = ColoredDigits(base, where=where), ColoredDigits(Arrays(base.images[7:9], [7, 8]), where=where)  # type: ignore[arg-type]
    assert np.array_equal(whole.image(7), part.image(0))
    assert whole.image(7).shape == (12, 12, 3)
    other = ColoredDigits(base, where=where, seed=1)  # type: ignore[arg-type]
    assert any(not np.array_equal(whole.image(i), other.image(i)) for i in range(20))


def test_grey_images_have_no_colour_and_foregrounds_a_black_ground() -> None:
    grey, colour = ColoredDigits(digits(), grey=1.0), ColoredDigits(digits(), correlation=1.0)
    assert int(np.ptp(grey.image(0).astype(int), axis=2).max()) == 0
    assert int(colour.image(0)[0].max()) == 0
    assert int(np.ptp(colour.image(0).astype(int), axis=2).max()) > 50
    assert bool(colour.mask(0)[4, 4])
    assert not bool(colour.mask(0)[0, 0])


def test_by_text_and_what_is_refused() -> None:
    data = parse_data("colored_digits:?correlation=.5&grey=.3&where=background", 20)
    assert len(data) == 20
    assert "background" in data.source
    with pytest.raises(UnknownNameError, match="Did you mean correlation"):
        parse_data("colored_digits:?corelation=.5", 20)
    with pytest.raises(SemconError, match="from 0 to 1, got 95"):
        parse_data("colored_digits:?correlation=95", 20)
    with pytest.raises(SemconError, match="seed of colored_digits is a whole number from 0 on, got -1"):
        parse_data("colored_digits:?seed=-1", 20)
    for text, told in (("form=two&correlation=.5", "correlation"), ("environments=.1/.2", "environments")):
        with pytest.raises(SemconError, match=f"{told} is no option of colored_digits"):
            parse_data(f"colored_digits:?{text}", 20)
    with pytest.raises(SemconError, match="expected numbers"):
        parse_data("colored_digits:?grey=much", 20)
    with pytest.raises(UnknownNameError, match="base of colored_digits"):
        parse_data("colored_digits:mnist", 20)


def test_backgrounds_of_shapes_go_with_the_class_as_often_as_asked() -> None:
    found = biases(Shapes(size=8, n=N, background=0.9))
    assert found["aligned"] / N == pytest.approx(0.9, abs=0.06)
    assert "bias" not in Shapes(size=8).attributes(0)
    free, biased = Shapes(size=16), Shapes(size=16, background=0.0)
    assert np.array_equal(free.mask(3), biased.mask(3)), "only the background is drawn otherwise"
    assert parse_data("shapes:size=16&background=.95", 10).attributes(0)["bias"]  # type: ignore[attr-defined]
    with pytest.raises(SemconError, match="from 0 to 1"):
        Shapes(background=95)
