"""Encoded or in-memory images to pixels: (H, W, C), uint8 or float32 in [0, 1], C 1 or 3.

Palette, CMYK and YCbCr images become RGB; 16-bit and float greys become float32. An opaque alpha channel is dropped, a
transparent one is composited on white. EXIF orientation is honoured.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from semcon.core.errors import SemconError, UnreadableImageError

Pixels = NDArray[np.uint8] | NDArray[np.float32]


def from_bytes(content: bytes, title: str) -> Pixels:
    """A PNG, JPEG, ... file's pixels. Errors: `UnreadableImageError` for what is truncated or no image."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return from_pil(image, title)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no image format is recognised" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UnreadableImageError(title, reason) from None


def from_pil(image: Image.Image, title: str) -> Pixels:
    """A PIL image's pixels."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.asarray(image).astype(np.float32)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImageError(title, f"integer pixels outside 0..65535 ({values.min():g} to {values.max():g})")
        return (values / np.float32(65535)).astype(np.float32)[..., None]
    if image.mode == "F":
        return from_array(np.asarray(image)[..., None], title)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def from_array(values: Any, title: str) -> Pixels:
    """An array (H, W), (H, W, C) or (C, H, W) as pixels. Errors: `SemconError` for normalised or odd arrays."""
    array = np.asarray(values)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[2] not in (1, 3) and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        raise SemconError(
            f"image {title} has shape {array.shape}: expected (C, H, W) or (H, W, C) with 1 or 3 channels"
        )
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise SemconError(f"image {title} is {array.dtype}: expected uint8, or floats in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise SemconError(
            f"image {title} has values from {low:.3g} to {high:.3g}: expected [0, 1] before normalisation; "
            "semcon normalises by mean and std itself"
        )
    return array.astype(np.float32).clip(0, 1)
