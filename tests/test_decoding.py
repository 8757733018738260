"""Encoded and in-memory images to pixels: every mode converted as documented, or refused with the reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from semcon.core.errors import SemconError, UnreadableImageError
from semcon.decoding import as_class, from_array, from_bytes, from_pil

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (6, 9), dtype=np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_grey_keeps_one_channel():
    np.testing.assert_array_equal(from_bytes(encoded(Image.fromarray(GREY)), "g"), GREY[..., None])


def test_black_and_white_is_0_and_255():
    bits = GREY > 127
    np.testing.assert_array_equal(from_bytes(encoded(Image.fromarray(bits)), "b"), (bits * 255)[..., None])


def test_opaque_alpha_changes_nothing():
    opaque = np.dstack([RGB, np.full_like(GREY, 255)])
    np.testing.assert_array_equal(from_bytes(encoded(Image.fromarray(opaque, "RGBA")), "o"), RGB)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_composited_on_white(mode):
    """Closed form: a c + (1 - a) 255, within one level of rounding."""
    colour = RGB if mode == "RGBA" else np.dstack([GREY] * 3)
    share = ALPHA[..., None] / 255
    image = Image.merge(mode, [*Image.fromarray(RGB if mode == "RGBA" else GREY).split(), Image.fromarray(ALPHA)])
    found = from_bytes(encoded(image), "t")
    assert found.shape == (6, 9, 3)
    np.testing.assert_allclose(found, share * colour + (1 - share) * 255, atol=1)


@pytest.mark.parametrize("transparent", [None, 2])
def test_a_palette_is_looked_up(transparent):
    """Oracle: the look-up by hand; the transparent entry is white."""
    colours = np.random.default_rng(3).integers(0, 250, (4, 3), dtype=np.uint8)
    image = Image.fromarray(GREY % 4)
    image = image.convert("P") if image.mode != "P" else image
    image.putdata((GREY % 4).ravel().tolist())
    image.putpalette(colours.ravel().tolist())
    content = encoded(image) if transparent is None else encoded(image, transparency=transparent)
    if transparent is not None:
        colours[transparent] = 255
    np.testing.assert_array_equal(from_bytes(content, "p"), colours[GREY % 4])


def test_sixteen_bits_keep_their_precision():
    """Closed form: value / 65535; an 8-bit conversion would leave 256 levels."""
    values = np.linspace(0, 65535, 1024).astype(np.uint16).reshape(32, 32)
    found = from_bytes(encoded(Image.fromarray(values)), "16")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], values / 65535, rtol=1e-6)
    assert len(np.unique(found)) == 1024


def test_cmyk_becomes_rgb():
    """Closed form: (1 - c)(1 - k), within one level."""
    inks = np.random.default_rng(4).integers(0, 256, (6, 9, 4), dtype=np.uint8)
    found = from_bytes(encoded(Image.fromarray(inks, "CMYK"), "TIFF"), "c")
    expected = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:].astype(float)) / 255
    np.testing.assert_allclose(found, expected, atol=1)


TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation_is_honoured(orientation):
    """Oracle: the EXIF 2.3 table of tag 0x0112 as numpy turns."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(from_bytes(content, "turned"), TURNED[orientation](RGB))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM"])
def test_a_truncated_file_is_named(form):
    content = encoded(Image.fromarray(RGB.repeat(8, 0).repeat(8, 1)), form)
    assert from_bytes(content, "whole").shape == (48, 72, 3)
    with pytest.raises(UnreadableImageError, match=r"cannot read image cat/7: .+--skip-bad") as caught:
        from_bytes(content[: len(content) // 2], "cat/7")
    assert caught.value.title == "cat/7"


@pytest.mark.parametrize("content", [b"", b"not an image at all", b"\x00" * 64])
def test_what_is_no_image_says_so(content):
    with pytest.raises(UnreadableImageError, match=r"x\.png: no image format is recognised"):
        from_bytes(content, "x.png")


def test_integers_beyond_sixteen_bits_are_refused():
    for value in (-3, 70000):
        with pytest.raises(UnreadableImageError, match=rf"outside 0..65535 \({value} to {value}\)"):
            from_pil(Image.fromarray(np.full((2, 2), value, np.int32)), "deep.tif")


@pytest.mark.parametrize("value", [-0.5, 1.5, 200.0, np.nan])
def test_a_float_file_outside_the_unit_interval_can_be_skipped(value):
    """`UnreadableImageError` is what `--skip-bad` passes over; an array in memory is the caller's mistake instead."""
    pixels = np.full((6, 9), value, np.float32)
    with pytest.raises(UnreadableImageError, match=r"image deep\.tif: float pixels outside 0\.\.1 .*--skip-bad"):
        from_bytes(encoded(Image.fromarray(pixels), "TIFF"), "deep.tif")
    inside = GREY.astype(np.float32) / 255
    np.testing.assert_array_equal(from_bytes(encoded(Image.fromarray(inside), "TIFF"), "f"), inside[..., None])


@pytest.mark.parametrize("label", [2, 2.0, np.int64(2), np.uint8([2]), torch.tensor(2), torch.tensor([2.0])])
def test_a_label_is_a_whole_number(label):
    found = as_class(label, "image 7")
    assert (found, type(found)) == (2, int)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (GREY, GREY[..., None]),
        (RGB, RGB),
        (RGB.transpose(2, 0, 1), RGB),
        (GREY[None], GREY[..., None]),
        (RGB / 255, (RGB / 255).astype(np.float32)),
        ((RGB[..., :1] / 255).astype(np.float16), (RGB[..., :1] / 255).astype(np.float16).astype(np.float32)),
        (torch.from_numpy(GREY // 128).bfloat16(), (GREY // 128).astype(np.float32)[..., None]),
    ],
    ids=["grey", "HWC", "CHW", "1HW", "float64", "float16", "bfloat16"],
)
def test_arrays_are_height_width_channels(values, expected):
    found = from_array(values, "a")
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (RGB / 127.5 - 1, r"image 7 has values from -\d.* to 1: expected \[0, 1\] before normalisation"),
        (RGB.astype(np.float32), r"expected \[0, 1\]"),
        (np.full((4, 4), np.nan), "values from nan to nan"),
        (RGB.astype(np.int64), "image 7 is int64: expected uint8, or floats"),
        (np.zeros((5, 6, 7), np.uint8), r"image 7 has shape \(5, 6, 7\)"),
        (np.zeros((2, 3, 6, 9), np.uint8), r"shape \(2, 3, 6, 9\)"),
    ],
    ids=["normalised", "0 to 255 as float", "NaN", "int64", "seven channels", "four axes"],
)
def test_odd_arrays_are_refused_with_the_reason(values, words):
    with pytest.raises(SemconError, match=words):
        from_array(values, "7")
