"""What is taken from another image, and nothing else; what a classifier by one property says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semcon.grouping.axes import answers, brightness, hue, saturation, sharpness
from semcon.grouping.factors import FACTORS, Factor, centre, uncovered
from semcon.imaging import luminance

BY = {factor.word: factor.transplant for factor in FACTORS}


def images(count: int = 6, seed: int = 0) -> torch.Tensor:
    return 0.2 + 0.5 * torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_colour_is_the_donors_and_brightness_of_pixels_stays() -> None:
    red, blue = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    red[:, 0, 1:3, 1:3] = torch.rand(2, 2)
    blue[:, 2] = 0.3
    copy = BY["colour"](red, blue, None, None)
    assert torch.equal(copy.amax(1), red.amax(1))
    assert float(copy[:, :2].max()) == 0


def test_brightness_and_contrast_are_the_donors() -> None:
    x, donor = images(), images(seed=1) * 0.9
    bright = BY["brightness"](x, donor, None, None)
    torch.testing.assert_close(luminance(bright).mean((2, 3)), luminance(donor).mean((2, 3)), rtol=0, atol=0.01)
    stretched = BY["contrast"](x, donor, None, None)
    torch.testing.assert_close(
        luminance(stretched).flatten(1).std(1), luminance(donor).flatten(1).std(1), rtol=0, atol=0.01
    )
    torch.testing.assert_close(luminance(stretched).mean((2, 3)), luminance(x).mean((2, 3)), rtol=0, atol=0.01)


@pytest.mark.parametrize("masked", [True, False])
def test_the_place_is_the_donors(masked: bool) -> None:
    x, donor = torch.zeros(1, 3, 20, 20), torch.zeros(1, 3, 20, 20)
    x[..., 8:12, 8:12], donor[..., 4:8, 11:15] = 1.0, 1.0
    masks = (x[:, :1], donor[:, :1]) if masked else (None, None)
    moved = BY["position"](x, donor, *masks)
    torch.testing.assert_close(moved, donor, rtol=0, atol=1e-4)
    torch.testing.assert_close(centre(donor, None), torch.tensor([[3.0, -4.0]]))


@pytest.mark.parametrize("masked", [True, False])
def test_no_second_object_comes_in_with_the_place(masked: bool) -> None:
    """A square that goes from one side of a wide image to the other."""
    x, donor = torch.zeros(1, 3, 12, 40), torch.zeros(1, 3, 12, 40)
    x[..., 4:8, 3:7], donor[..., 4:8, 33:37] = 1.0, 1.0
    masks = (x[:, :1], donor[:, :1]) if masked else (None, None)
    torch.testing.assert_close(BY["position"](x, donor, *masks), donor, rtol=0, atol=1e-3)


def test_the_background_is_the_donors_without_its_object() -> None:
    x, mask = torch.full((1, 3, 16, 16), 0.9), torch.zeros(1, 1, 16, 16)
    mask[..., 4:8, 4:8] = 1
    donor, other = torch.full((1, 3, 16, 16), 0.3), torch.zeros(1, 1, 16, 16)
    other[..., 2:10, 2:10] = 1
    donor = torch.where(other > 0, 0.0, donor)
    assert torch.equal(uncovered(donor, other), torch.full_like(donor, 0.3))
    copy = BY["background"](x, donor, mask, other)
    assert torch.equal(copy, torch.where(mask > 0, x, 0.3).expand_as(copy))


@pytest.mark.parametrize("factor", FACTORS, ids=lambda factor: factor.word)
def test_a_batch_is_nothing_to_its_images(factor: Factor) -> None:
    """Oracle: each image alone."""
    shade = torch.linspace(0.1, 1.2, 6)[:, None, None, None]
    x, donor = images() * shade, images(seed=1) * shade.flip(0)
    masks = [(images(seed=seed)[:, :1] > 0.45).float() for seed in (2, 3)] if factor.masked else [None, None]
    whole = factor.transplant(x, donor, *masks)
    parts = [[each if each is None else each[row : row + 1] for each in (x, donor, *masks)] for row in range(len(x))]
    torch.testing.assert_close(whole, torch.cat([factor.transplant(*part) for part in parts]), rtol=0, atol=1e-5)


def test_an_image_that_takes_from_itself_stays() -> None:
    x = images()
    for word in ("brightness", "contrast", "position"):
        torch.testing.assert_close(BY[word](x, x, None, None), x, rtol=0, atol=1e-4)


def test_properties_by_hand() -> None:
    """Red lies at 0, green at 120, blue at 240 degrees; grey has neither hue nor saturation; flat has no sharpness."""
    pure = torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4)
    angles = torch.rad2deg(torch.atan2(hue(pure)[:, 1], hue(pure)[:, 0])).remainder(360)
    torch.testing.assert_close(angles, torch.tensor([0.0, 120.0, 240.0]))
    grey = torch.full((1, 3, 4, 4), 0.5)
    assert float(hue(grey).abs().max()) < 1e-6
    assert float(saturation(grey)) == 0
    assert float(brightness(grey)) == pytest.approx(0.5, abs=1e-3)
    assert float(sharpness(grey)) < float(sharpness(images(1)))


def test_answers_hang_on_no_names_of_the_classes() -> None:
    labels = np.arange(300) % 10
    values = np.random.default_rng(0).normal(size=(300, 1))
    names = np.random.default_rng(1).permutation(10)
    said, _ = answers(values, [values], labels, np.arange(300), 0)
    other, _ = answers(values, [values], names[labels], np.arange(300), 0)
    assert np.array_equal(names[said], other)


def test_a_classifier_by_a_property_that_is_the_label_and_by_one_that_is_not() -> None:
    """Controls: accuracy 1 and a half; copies that swap the classes change every answer."""
    labels = np.arange(200) % 2
    clear = labels[:, None] + np.random.default_rng(0).normal(0, 0.05, (200, 1))
    said, (moved,) = answers(clear, [1 - clear], labels, np.arange(200), 0)
    assert np.array_equal(said, labels)
    assert np.array_equal(moved, 1 - labels)
    nothing = np.random.default_rng(1).normal(size=(200, 1))
    said, _ = answers(nothing, [nothing], labels, np.arange(200), 0)
    assert 0.35 < (said == labels).mean() < 0.65
    twins = np.repeat(np.arange(100), 2)
    memory = np.random.default_rng(2).normal(size=(100, 8)).repeat(2, axis=0)
    said, _ = answers(memory, [memory], np.random.default_rng(3).integers(0, 2, 100).repeat(2), twins, 0)
    assert 0.3 < (said == np.random.default_rng(3).integers(0, 2, 100).repeat(2)).mean() < 0.7, (
        "copies are learned from"
    )
