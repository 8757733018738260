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

_WORTH_A_THREAD = 128 * 128 * 3  # values of an image; Pillow spends the time of smaller ones under Python's lock


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(16, os.cpu_count() or 1), thread_name_prefix="jpeg")


def _recode(pixels: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 through libjpeg at a quality of 1 to 100, chroma at half resolution."""
    coded = io.BytesIO()
    Image.fromarray(pixels).save(coded, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(coded, formats=("JPEG",)))


@dataclass(frozen=True)
class Jpeg(Perturbation):
    """Encode and decode at quality 100 - s (Pillow's scale, chroma 4:2:0), after rounding to 8 bits.

    Severity 0 leaves the image untouched. Runs on the CPU, large images in threads; no gradient.
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
        pixels = (x.detach() * 255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
        quality = (100 - severity.round()).int().clamp(1, 100).tolist()
        run = map if pixels[0].numel() < _WORTH_A_THREAD else _threads().map
        coded = np.stack(list(run(_recode, pixels.numpy(), quality)))
        back = torch.from_numpy(coded).to(x.device).permute(0, 3, 1, 2)
        return back.to(x.dtype, memory_format=torch.contiguous_format).div_(255)
