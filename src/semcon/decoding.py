"""Encoded or in-memory images to pixels: (H, W, C), uint8 or float32 in [0, 1], C 1 or 3; labels to whole numbers.

Palette, CMYK and YCbCr images become RGB; 16-bit and float greys become float32. An opaque alpha channel is dropped, a
transparent one is composited on white. EXIF orientation is honoured.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

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
        values = np.asarray(image)
        if not _in_unit_interval(values):
            raise UnreadableImageError(title, f"float pixels outside 0..1 ({values.min():g} to {values.max():g})")
        return from_array(values, title)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def from_array(values: Any, title: str) -> Pixels:
    """An array (H, W), (H, W, C) or (C, H, W) as pixels. Errors: `SemconError` for normalised or odd arrays."""
    title = title.removeprefix("image ")
    array = as_array(values, f"the pixels of image {title}")
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
    if not _in_unit_interval(array):
        raise SemconError(
            f"image {title} has values from {array.min():.3g} to {array.max():.3g}: expected [0, 1] before "
            "normalisation; semcon normalises by mean and std itself"
        )
    return array.astype(np.float32).clip(0, 1)


def as_array(values: Any, what: str) -> NDArray[Any]:
    """A tensor or sequence as an array; bfloat16, which numpy lacks, as float32. Errors: `SemconError` where ragged."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise SemconError(f"{what} cannot be put into one array, expected one shape throughout: {error}") from None


def as_class(label: Any, title: str) -> int:
    """A label as a whole number. Errors: `SemconError` for names, fractions and one-hot labels."""
    value = as_array(label, f"the label of {title}")
    if value.size != 1:
        raise SemconError(
            f"the label of {title} has shape {value.shape}: expected one whole number (of one-hot labels the argmax)"
        )
    if value.dtype.kind not in "biuf" or not float(value.item()).is_integer():
        raise SemconError(f"the label of {title} is {value.item()!r}: expected a whole number, the index of its class")
    return int(value.item())


def _in_unit_interval(values: NDArray[Any]) -> bool:
    return bool(values.min() >= -1e-6 and values.max() <= 1 + 1e-6)
