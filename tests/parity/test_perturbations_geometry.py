"""Geometry against array slices, rot90, scipy.ndimage with mirrors, torchvision, Pillow and linear ramps."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from semcon.core.concepts import Unit
from semcon.imaging import Padding
from semcon.perturbations import HorizontalFlip, Rotation, Scale, Tilt, Translation

PADDINGS: tuple[tuple[Padding, Literal["symmetric", "constant"]], ...] = (
    ("reflection", "symmetric"),
    ("zeros", "constant"),
)


def unit(name: str, *values: float) -> Unit:
    """The same parameter for each of six images."""
    return {name: torch.tensor(values, dtype=torch.float64).expand(6, *([len(values)] if len(values) > 1 else []))}


def mirrored_affine(x: Tensor, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """scipy's linear interpolation at matrix @ (row, column) + shift from the centre, the edge as a mirror."""
    centre = (np.array(x.shape[-2:]) - 1) / 2
    offset = (centre - matrix @ centre + shift).tolist()
    planes = x.reshape(-1, *x.shape[-2:]).numpy()
    moved = [ndimage.affine_transform(p, matrix, offset, order=1, mode="reflect") for p in planes]
    return np.stack(moved).reshape(x.shape)


@pytest.mark.parametrize(("across", "down"), [(5, 0), (0, 7), (-3, 4), (20, -30)])
def test_whole_pixels_shift_the_array(photographs: Tensor, across: int, down: int) -> None:
    """Oracle: a slice of the image padded with its mirror (numpy "symmetric"), or with zeros."""
    x = photographs.double()
    u = unit("shift", across / 64, down / 96)
    for padding, mode in PADDINGS:
        padded = np.pad(x.numpy(), ((0, 0), (0, 0), (40, 40), (40, 40)), mode=mode)
        expected = padded[..., 40 - down : 136 - down, 40 - across : 104 - across]
        ours = Translation(padding=padding)(x, u, 100.0)
        np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-10)


def test_shares_of_a_pixel_interpolate(photographs: Tensor) -> None:
    """Oracle: scipy.ndimage, order 1, edges mirrored."""
    x = photographs.double()
    ours = Translation()(x, unit("shift", 0.31, -0.77), 13.0)
    shift = -np.array([-0.77 * 0.13 * 96, 0.31 * 0.13 * 64])
    np.testing.assert_allclose(ours.numpy(), mirrored_affine(x, np.eye(2), shift), rtol=0, atol=1e-10)


@pytest.mark.parametrize("degrees", [-170.0, -20.0, 3.5, 45.0, 90.0])
def test_rotation_is_scipys_with_mirrors(photographs: Tensor, degrees: float) -> None:
    """Counter-clockwise on the screen, right angles kept on a canvas that is not square. Oracle: scipy.ndimage."""
    x = photographs.double()
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.array([[cos, sin], [-sin, cos]])  # (row, column) of the output to those of the input
    ours = Rotation()(x, unit("angle", degrees / 180), 180.0)
    np.testing.assert_allclose(ours.numpy(), mirrored_affine(x, matrix, np.zeros(2)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("quarter", [-1, 1, 2])
def test_right_angles_are_rot90(photographs: Tensor, quarter: int) -> None:
    square = photographs[:, :, :64].double()
    ours = Rotation()(square, unit("angle", quarter / 2), 180.0)
    torch.testing.assert_close(ours, torch.rot90(square, quarter, (-2, -1)))


def test_torchvision_rotates_alike(tv: ModuleType, photographs: Tensor) -> None:
    """With zeros outside, as torchvision fills."""
    bilinear = tv.InterpolationMode.BILINEAR
    for degrees in (-33.0, 7.0, 120.0):
        ours = Rotation(padding="zeros")(photographs, {"angle": torch.full((6,), degrees / 180)}, 180.0)
        torch.testing.assert_close(ours, tv.rotate(photographs, degrees, bilinear), rtol=0, atol=2e-4)


def test_torchvision_shifts_and_scales_alike(tv: ModuleType, photographs: Tensor) -> None:
    bilinear = tv.InterpolationMode.BILINEAR
    shift = {"shift": torch.tensor([5 / 64, -9 / 96]).expand(6, 2)}
    theirs = tv.affine(photographs, 0.0, [5, -9], 1.0, [0.0], bilinear)
    torch.testing.assert_close(Translation(padding="zeros")(photographs, shift, 100.0), theirs, rtol=0, atol=2e-4)
    for factor in (0.6, 1.3):
        theirs = tv.affine(photographs, 0.0, [0, 0], factor, [0.0], bilinear)
        ours = Scale(padding="zeros")(photographs, {"shift": torch.full((6,), (factor - 1) / 0.5)}, 0.5)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)


def test_pillow_rotates_alike(photographs: Tensor) -> None:
    """Inside, where the fill does not show; Pillow rounds to bytes, so 1.5 levels of 255."""
    square = photographs[:, :, :64]
    ours = Rotation()(square, {"angle": torch.full((6,), 1.0)}, 17.0)
    for i, image in enumerate((square * 255).round().byte().permute(0, 2, 3, 1).numpy()):
        theirs = np.asarray(Image.fromarray(image).rotate(17, Image.Resampling.BILINEAR)) / 255
        difference = np.abs(ours[i].permute(1, 2, 0).numpy() - theirs)
        assert difference[16:-16, 16:-16].max() <= 1.5 / 255


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.7])
def test_scale_is_scipys_with_mirrors(photographs: Tensor, factor: float) -> None:
    x = photographs.double()
    ours = Scale()(x, unit("shift", (factor - 1) / 0.8), 0.8)
    np.testing.assert_allclose(ours.numpy(), mirrored_affine(x, np.eye(2) / factor, np.zeros(2)), rtol=0, atol=1e-10)


def test_scale_divides_the_slope_of_a_ramp() -> None:
    """Closed form: a plane a + b (column - centre) becomes a + b / factor (column - centre)."""
    column = torch.arange(32, dtype=torch.float64) - 15.5
    ramp = (0.5 + 0.02 * column).expand(1, 3, 24, 32)
    ours = Scale()(ramp, {"shift": torch.ones(1, dtype=torch.float64)}, 0.6)
    torch.testing.assert_close(ours, (0.5 + 0.02 * column / 1.6).expand(1, 3, 24, 32))


def test_flip_reverses_the_columns(photographs: Tensor) -> None:
    flipped = HorizontalFlip()(photographs, {}, 1.0)
    assert np.array_equal(flipped.numpy(), photographs.numpy()[..., ::-1])
    assert torch.equal(HorizontalFlip()(flipped, {}, 1.0), photographs)


def test_kornia_rotates_alike(photographs: Tensor) -> None:
    """A second opinion, with mirrored edges and an angle per image."""
    geometry = pytest.importorskip("kornia.geometry.transform")
    square = photographs[:, :, :64]
    angles = torch.tensor([-40.0, -5, 0, 10, 80, 33])
    theirs = geometry.rotate(square, angles, padding_mode="reflection", align_corners=True)
    ours = Rotation()(square, {"angle": angles / 180}, 180.0)
    inside = (slice(None), slice(None), slice(14, -14), slice(14, -14))
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=0, atol=2e-4)


@pytest.mark.parametrize(("degrees", "axis"), [(15.0, 0.0), (-15.0, 1.0), (30.0, 0.37), (45.0, -0.8)])
def test_tilt_is_a_rotation_in_space_and_a_projection(photographs: Tensor, degrees: float, axis: float) -> None:
    """Oracle: the 3 x 3 homography of a plane turned by Rodrigues' formula, inverted; scipy's linear interpolation."""
    x, (height, width) = photographs.double(), photographs.shape[-2:]
    away, turn = math.hypot(height, width), math.radians(degrees)
    line = np.array([math.cos(axis * math.pi / 2), math.sin(axis * math.pi / 2), 0.0])
    cross = np.array([[0, 0, line[1]], [0, 0, -line[0]], [-line[1], line[0], 0]])
    rotation = np.eye(3) + math.sin(turn) * cross + (1 - math.cos(turn)) * cross @ cross
    camera = np.diag([away, away, 1.0]) @ np.column_stack((rotation[:, 0], rotation[:, 1], [0, 0, away]))
    down, across = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    read = np.linalg.inv(camera) @ np.stack((across.ravel(), down.ravel(), np.ones(down.size)))
    at = np.stack((read[1] / read[2] + (height - 1) / 2, read[0] / read[2] + (width - 1) / 2))
    expected = [ndimage.map_coordinates(p, at, order=1, mode="reflect") for p in x.reshape(-1, height, width).numpy()]
    ours = Tilt()(x, unit("angle", math.copysign(1, degrees)) | unit("axis", axis), abs(degrees))
    np.testing.assert_allclose(ours.numpy(), np.stack(expected).reshape(x.shape), rtol=0, atol=1e-9)
