"""JPEG: lossy coding by a real codec."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys

_WORTH_A_THREAD = 128 * 128  # pixels of an image; Pillow spends the time of smaller ones under Python's lock

_BLOCK = 1 << 16  # pixels worked on at once, so that intermediate planes stay in a processor's cache


@cache
def _threads(count: int, process: int) -> ThreadPoolExecutor:
    """Of a process, as a fork takes no threads along."""
    return ThreadPoolExecutor(count, thread_name_prefix=f"jpeg of {process}")


def _recoded(pixels: list[np.ndarray], quality: list[int]) -> list[bytes]:
    """Large images in as many threads as torch has, each with its share: handing over one by one takes longer."""
    count = min(torch.get_num_threads(), len(pixels))
    if count == 1 or pixels[0].size < _WORTH_A_THREAD:
        return [_recode(*each) for each in zip(pixels, quality, strict=True)]
    coded: list[bytes] = [b""] * len(pixels)

    def some(first: int) -> None:
        coded[first::count] = map(_recode, pixels[first::count], quality[first::count])

    list(_threads(count, os.getpid()).map(some, range(count)))
    return coded


def _recode(pixels: np.ndarray, quality: int) -> bytes:
    """(H, W) int32, the bytes red, green, blue, any: through libjpeg at a quality of 1 to 100, chroma at half size.

    The answer is one plane after the other. The decoder is called by itself: opening a file, Pillow parses it too.
    """
    coded, size = io.BytesIO(), (pixels.shape[1], pixels.shape[0])
    image = Image.frombuffer("RGBX", size, pixels, "raw", "RGBX", 0, 1)
    image.save(coded, "JPEG", quality=quality, subsampling="4:2:0")
    back = Image.frombytes("RGB", size, coded.getbuffer(), "jpeg", "RGB", "")
    return b"".join(back.tobytes("raw", channel) for channel in "RGB")


def _packed(x: Tensor) -> np.ndarray:
    """Rounded to 8 bits, the channels of a pixel in one number, as Pillow has them: (B, H, W) int32.

    Added up in float32, where 24 bits are exact.
    """
    red, green, blue = (x * 255).round_().clamp_(0, 255).float().unbind(1)
    return red.add_(green, alpha=1 << 8).add_(blue, alpha=1 << 16).int().contiguous().cpu().numpy()


def _unpacked(planes: list[bytes], out: Tensor) -> None:
    """Back into (B, 3, H, W)."""
    for image, coded in zip(out, planes, strict=True):
        image.copy_(torch.frombuffer(bytearray(coded), dtype=torch.uint8).view_as(image)).div_(255)


@dataclass(frozen=True)
class Jpeg(Perturbation):
    """Encode and decode at quality 100 - s (Pillow's scale, chroma 4:2:0), after rounding to 8 bits.

    Severity 0 leaves the image untouched. Runs on the CPU, large images in torch's number of threads; no gradient.
    """

    family = "blur_and_coding"
    unit = "100 - quality"
    source = "libjpeg through Pillow"
    kind = "discrete"
    parameters = "fixed"
    ladder = (40, 60, 75, 85, 90)
    maximum = 99
    monotone = False
    image_gradient = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Nothing."""
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """The decoded image. At s = 0 it is coded at quality 100; the call of the perturbation leaves x untouched."""
        quality = (100 - severity.round()).int().clamp(1, 100).tolist()
        size = max(1, _BLOCK // (x.shape[2] * x.shape[3]))
        pixels = [image for block in x.detach().split(size) for image in _packed(block)]
        coded = _recoded(pixels, quality)
        out = torch.empty(x.shape, dtype=x.dtype)
        for start in range(0, len(x), size):
            _unpacked(coded[start : start + size], out[start : start + size])
        return out.to(x.device)
