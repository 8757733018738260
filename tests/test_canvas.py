"""The canvas: resizing and cropping as torchvision and PIL define them, [0, 1], nothing where the size fits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from semcon.canvas import RESAMPLING, Canvas
from semcon.core.errors import SemconError
from semcon.torchvision_import import import_torchvision

BYTES = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return BYTES[:height, :width, :channels]


def levels(canvas: torch.Tensor) -> np.ndarray:
    """(3, H, W) in [0, 1] -> (H, W, 3) in 0..255."""
    return (canvas * 255).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(32, 32), (40, 25), (25, 40), (33, 50), (7, 19), (64, 9), (24, 24), (20, 20)])
@pytest.mark.parametrize("resize", [24, 27, 20, 16], ids=lambda shorter: f"resize {shorter}")
def test_files_are_resized_and_cropped_as_torchvision_does(size, resize):
    """Reference: torchvision Resize(shorter side) and CenterCrop on PIL images, to the last bit."""
    functional = import_torchvision("torchvision.transforms.functional")
    image = picture(*size)
    bicubic = import_torchvision("torchvision.transforms").InterpolationMode.BICUBIC
    expected = functional.center_crop(functional.resize(Image.fromarray(image), [resize], bicubic), [20, 20])
    found = Canvas(20, 20, resize=resize).fit(image)
    np.testing.assert_array_equal(levels(found).round(), np.asarray(expected))


@pytest.mark.parametrize("resize", [7, 8, 9, 11, 12])
@pytest.mark.parametrize("size", [(8, 8), (8, 9), (9, 8), (11, 10), (10, 13)])
def test_the_canvas_has_its_size_whatever_the_resize(size, resize):
    """Reference: torchvision's Resize and CenterCrop; odd differences, to crop or to pad, are shared as it does."""
    functional = import_torchvision("torchvision.transforms.functional")
    nearest = import_torchvision("torchvision.transforms").InterpolationMode.NEAREST
    for image in (picture(7, 7), picture(8, 8), picture(8, 13), picture(14, 9)):
        expected = functional.center_crop(functional.resize(Image.fromarray(image), [resize], nearest), size)
        found = Canvas(*size, resize=resize, interpolation="nearest").fit(image)
        assert found.shape == (3, *size)
        np.testing.assert_array_equal(levels(found).round(), np.asarray(expected))


@pytest.mark.parametrize("interpolation", RESAMPLING)
def test_interpolations_and_squash_are_those_of_pil(interpolation):
    """Reference: PIL's resize of both sides."""
    image = picture(40, 25)
    expected = Image.fromarray(image).resize((16, 12), Image.Resampling[interpolation.upper()])
    found = Canvas(12, 16, interpolation=interpolation, crop="squash").fit(image)
    np.testing.assert_array_equal(levels(found).round(), np.asarray(expected))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(9, 14), (50, 31)])
def test_floats_are_resampled_with_antialiasing(interpolation, size):
    """Reference: PIL's resize in float mode, channel by channel."""
    image = (picture(*size) / 255).astype(np.float32) * 0.5 + 0.25  # far enough from the ends for no clipping
    found = Canvas(16, 16, interpolation=interpolation, crop="squash").fit(image)
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
        expected = np.asarray(plane.resize((16, 16), Image.Resampling[interpolation.upper()]))
        np.testing.assert_allclose(found[channel], expected.clip(0, 1), atol=2e-6)


def test_values_stay_in_the_unit_interval():
    """Bicubic overshoots at edges: PIL's float mode shows by how much, the canvas does not."""
    edge = np.zeros((8, 8, 1), np.float32)
    edge[:, 4:] = 1
    overshoot = np.asarray(Image.fromarray(edge[..., 0]).resize((32, 32), Image.Resampling.BICUBIC))
    assert overshoot.min() < -0.01
    assert overshoot.max() > 1.01
    for image in (edge, (edge * 255).astype(np.uint8)):
        found = Canvas(32, 32).fit(image)
        assert (found.min(), found.max()) == (0, 1)


@pytest.mark.parametrize("size", [(20, 20), (20, 28), (28, 20)])
def test_a_size_that_fits_is_not_resampled(size):
    """Identity: bytes / 255 and floats as they are."""
    image = picture(*size)
    expected = torch.from_numpy(image.transpose(2, 0, 1).copy())
    assert torch.equal(Canvas(*size).fit(image), expected.float() / 255)
    floats = (image / 255).astype(np.float32)
    assert torch.equal(Canvas(*size).fit(floats), torch.from_numpy(floats.transpose(2, 0, 1).copy()))


def test_a_stated_resize_happens_even_where_the_size_fits():
    """As for files of 224 px under Resize(256), CenterCrop(224)."""
    image = picture(20, 20)
    assert not torch.equal(Canvas(20, 20, resize=24).fit(image), Canvas(20, 20).fit(image))


def test_cropping_alone_takes_the_middle():
    """Oracle: slicing; the shorter side fits already."""
    found = levels(Canvas(20, 20).fit(picture(20, 30)))
    np.testing.assert_array_equal(found.round(), picture(20, 30)[:, 5:25])


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_grey_becomes_three_equal_channels(kind):
    grey = picture(30, 25, 1) if kind is np.uint8 else (picture(30, 25, 1) / 255).astype(kind)
    found = Canvas(16, 16).fit(grey)
    assert found.shape == (3, 16, 16)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    np.testing.assert_array_equal(found, Canvas(16, 16).fit(grey[..., 0]))
    np.testing.assert_allclose(found, Canvas(16, 16).fit(grey.repeat(3, 2)), atol=1e-6)


def test_mixed_sizes_come_to_one():
    sizes = [(20, 20), (5, 5), (64, 9), (9, 64), (33, 21), (19, 20), (20, 19), (1, 1), (64, 64)]
    batch = torch.stack([Canvas(20, 20).fit(picture(*size)) for size in sizes])
    assert batch.shape == (len(sizes), 3, 20, 20)
    assert batch.dtype == torch.float32
    assert 0 <= batch.min() < batch.max() <= 1


def test_a_flat_picture_stays_flat():
    """Invariant of any resampling whose weights sum to one."""
    flat = np.full((37, 53, 3), 51, np.uint8)
    np.testing.assert_allclose(Canvas(20, 20, resize=24).fit(flat), 0.2, atol=1e-7)


def test_an_unknown_interpolation_is_named():
    with pytest.raises(SemconError, match="unknown interpolation 'cubic': expected nearest, bilinear, bicubic"):
        Canvas(20, 20, interpolation="cubic").fit(picture(30, 30))


def test_the_image_is_left_alone():
    image = picture(20, 20).copy()
    Canvas(20, 20).fit(image).zero_()
    np.testing.assert_array_equal(image, picture(20, 20))
