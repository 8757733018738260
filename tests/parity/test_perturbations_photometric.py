"""Photometric perturbations against torchvision on tensors, PIL on bytes, colorsys pixel by pixel, closed forms."""

from __future__ import annotations

import colorsys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from semcon.core.concepts import Unit
from semcon.imaging import luminance
from semcon.keyed import Keys
from semcon.perturbations import Brightness, ColorJitter, Contrast, Gamma, Grayscale, Hue, Saturation

SHIFTS = [-1.0, -0.4, 0.0, 0.3, 0.7, 1.0]
TORCHVISION = [
    (Brightness, 0.5, lambda tv, x, s: tv.adjust_brightness(x, 1 + s)),
    (Contrast, 0.5, lambda tv, x, s: tv.adjust_contrast(x, 1 + s)),
    (Saturation, 0.9, lambda tv, x, s: tv.adjust_saturation(x, 1 + s)),
    (Hue, 0.5, lambda tv, x, s: tv.adjust_hue(x, s)),
    (Gamma, 0.9, lambda tv, x, s: tv.adjust_gamma(x, 1 + s)),
]


def shifts(like: Tensor) -> Unit:
    return {"shift": torch.tensor(SHIFTS, dtype=like.dtype)}


@pytest.mark.parametrize(("kind", "severity", "reference"), TORCHVISION, ids=lambda v: getattr(v, "__name__", ""))
def test_torchvision_agrees(tv: ModuleType, photographs: Tensor, kind: type, severity: float, reference) -> None:
    """Six images with six shifts at once. Oracle: torchvision's function, image by image."""
    ours = kind()(photographs, shifts(photographs), severity)
    for i, shift in enumerate(SHIFTS):
        theirs = reference(tv, photographs[i], shift * severity)
        torch.testing.assert_close(ours[i], theirs, rtol=0, atol=3e-6)


@pytest.mark.parametrize(
    ("kind", "enhancer"),
    [(Brightness, ImageEnhance.Brightness), (Contrast, ImageEnhance.Contrast), (Saturation, ImageEnhance.Color)],
)
def test_pil_agrees_to_its_rounding(photographs: Tensor, kind: type, enhancer: type) -> None:
    """Oracle: PIL.ImageEnhance on the bytes; it rounds luminance and result, hence 2 levels of 255."""
    ours = kind()(photographs, shifts(photographs), 0.5)
    for i, shift in enumerate(SHIFTS):
        image = Image.fromarray((photographs[i] * 255).round().byte().permute(1, 2, 0).numpy())
        theirs = np.asarray(enhancer(image).enhance(1 + 0.5 * shift)).transpose(2, 0, 1) / 255
        assert np.abs(ours[i].numpy() - theirs).max() <= 2 / 255


def test_hue_turns_the_hsv_circle(photographs: Tensor) -> None:
    """Oracle: Python's colorsys, pixel by pixel in double precision."""
    x = photographs[:, :, ::16, ::8].double()
    ours = Hue()(x, shifts(x), 0.3)
    for i, shift in enumerate(SHIFTS):
        for pixel, turned in zip(x[i].flatten(1).T.tolist(), ours[i].flatten(1).T.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected = colorsys.hsv_to_rgb((hue + 0.3 * shift) % 1, saturation, value)
            assert turned == pytest.approx(expected, abs=1e-9)


def test_hue_in_closed_form() -> None:
    """A third of the circle permutes the channels, half of it is the complement in value, a whole turn nothing."""
    x = torch.rand(1, 3, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    one = {"shift": torch.ones(1, dtype=torch.float64)}
    torch.testing.assert_close(Hue()(x, one, 1 / 3), x[:, [2, 0, 1]])
    complement = x.amax(1, keepdim=True) + x.amin(1, keepdim=True) - x
    torch.testing.assert_close(Hue()(x, one, 0.5), complement)
    torch.testing.assert_close(Hue()(x, one, 1.0), x)
    back = Hue()(Hue()(x, one, 0.17), {"shift": -one["shift"]}, 0.17)
    torch.testing.assert_close(back, x)


def test_hue_leaves_grey_alone_and_keeps_value_and_chroma(photographs: Tensor) -> None:
    grey = luminance(photographs).expand(-1, 3, -1, -1)
    assert torch.equal(Hue()(grey, shifts(grey), 0.4), grey)
    turned = Hue()(photographs, shifts(photographs), 0.4)
    torch.testing.assert_close(turned.amax(1), photographs.amax(1), rtol=0, atol=1e-6)
    torch.testing.assert_close(turned.amin(1), photographs.amin(1), rtol=0, atol=1e-6)


def test_grayscale_blends_to_torchvisions_grey(tv: ModuleType, photographs: Tensor) -> None:
    grey = tv.rgb_to_grayscale(photographs, num_output_channels=3)
    torch.testing.assert_close(Grayscale()(photographs, {}, 1.0), grey)
    torch.testing.assert_close(Grayscale()(photographs, {}, 0.3), 0.7 * photographs + 0.3 * grey)


def test_saturation_minus_1_is_grayscale_1(photographs: Tensor) -> None:
    minus = {"shift": torch.full((6,), -1.0)}
    torch.testing.assert_close(Saturation()(photographs, minus, 1.0), Grayscale()(photographs, {}, 1.0))


def test_contrast_keeps_the_mean_luminance_where_nothing_clips(photographs: Tensor) -> None:
    x = 0.4 + 0.2 * photographs
    y = Contrast()(x, shifts(x), 0.3)
    means = luminance(y).mean((1, 2, 3)), luminance(x).mean((1, 2, 3))
    torch.testing.assert_close(*means, rtol=0, atol=1e-4)  # torchvision's three weights sum to 0.9999


def test_gamma_at_0_has_gradient_0_and_at_1_the_exponent() -> None:
    """Closed form: d x**g / dx = g x**(g-1), so g at x = 1; at x = 0 it is infinite for g < 1 and replaced by 0."""
    x = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2).clone().requires_grad_()
    Gamma()(x, {"shift": torch.tensor([-1.0])}, 0.6).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0, 0, 0], torch.tensor([0.0, 0.4]))


def test_color_jitter_is_its_parts_in_torchvisions_order(tv: ModuleType, photographs: Tensor) -> None:
    """Oracle: torchvision's four functions one after the other, with the parts' own draws."""
    keys = Keys(torch.arange(6), 3, 1, "color_jitter")
    unit = ColorJitter().sample(keys, photographs)
    ours = ColorJitter()(photographs, unit, 0.4)
    drawn = {p: keys.within(p).signed("shift").tolist() for p in ("brightness", "contrast", "saturation", "hue")}
    for i in range(6):
        y = tv.adjust_brightness(photographs[i], 1 + 0.4 * drawn["brightness"][i])
        y = tv.adjust_contrast(y, 1 + 0.4 * drawn["contrast"][i])
        y = tv.adjust_saturation(y, 1 + 0.4 * drawn["saturation"][i])
        y = tv.adjust_hue(y, 0.1 * drawn["hue"][i])
        torch.testing.assert_close(ours[i], y, rtol=0, atol=1e-5)


def test_color_jitter_takes_other_parts(photographs: Tensor) -> None:
    jitter = ColorJitter(hue=Gamma())
    unit = jitter.sample(Keys(torch.arange(6), scope="color_jitter"), photographs)
    three = ColorJitter(hue=Brightness())
    still = dict(unit) | {"hue.shift": torch.zeros(6)}
    before = three(photographs, still, 0.2)
    expected = Gamma().apply(before, {"shift": unit["hue.shift"]}, torch.full((6,), 0.05))
    torch.testing.assert_close(jitter(photographs, unit, 0.2), expected)


def test_kornia_agrees_on_hue(photographs: Tensor) -> None:
    """A second opinion: kornia's adjust_hue takes radians."""
    enhance = pytest.importorskip("kornia.enhance")
    angle = torch.tensor(SHIFTS) * 0.2 * 2 * torch.pi
    theirs = enhance.adjust_hue(photographs, angle)
    torch.testing.assert_close(Hue()(photographs, shifts(photographs), 0.2), theirs, rtol=0, atol=1e-4)
