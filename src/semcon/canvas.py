"""The canvas: every image once at the subject's input size, RGB, [0, 1], before any perturbation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from semcon.core.errors import SemconError

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Canvas:
    """Size and how images get there.

    `resize`: the shorter side before the crop; None means the canvas's own (and no resampling where the size already
    fits). `crop`: "center" keeps the image's proportions, "squash" brings it to the canvas's; both crop the middle, and
    pad with black where there is less than the canvas.
    """

    height: int
    width: int
    resize: int | None = None
    interpolation: str = "bicubic"
    crop: str = "center"

    def fit(self, image: NDArray[Any]) -> Tensor:
        """(H, W, C) uint8 or float32 in [0, 1], C 1 or 3 -> (3, height, width) float32 in [0, 1].

        uint8 is resampled by PIL, as timm and torchvision do for files; float32 by torch with antialiasing.
        """
        if image.ndim == 2:
            image = image[..., None]
        height, width = self._scaled(image.shape[0], image.shape[1])
        if (height, width) != image.shape[:2]:
            image = self._resample(image, height, width)
        image = self._cropped(image)
        tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
        tensor = tensor.float().div_(255) if image.dtype == np.uint8 else tensor.float()
        return tensor.expand(3, -1, -1) if tensor.shape[0] == 1 else tensor

    def fit_mask(self, mask: NDArray[np.bool_]) -> Tensor:
        """(H, W) bool -> (1, height, width) float32, 0 or 1: where `fit` puts what the mask covers by half or more."""
        grey = replace(self, interpolation="bilinear").fit(np.where(mask, np.uint8(255), np.uint8(0)))
        return (grey[:1] >= 0.5).float()

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        if self.resize is None and (height, width) == (self.height, self.width):
            return height, width
        if self.crop == "squash":
            own = min(self.height, self.width)
            return (self.resize or own) * self.height // own, (self.resize or own) * self.width // own
        shorter = self.resize or max(self.height, self.width)
        if height <= width:
            return shorter, max(shorter, int(shorter * width / height))
        return max(shorter, int(shorter * height / width)), shorter

    def _cropped(self, image: NDArray[Any]) -> NDArray[Any]:
        """The middle, by the rule of torchvision's CenterCrop."""
        height, width = image.shape[:2]
        rows, columns = max(self.height - height, 0), max(self.width - width, 0)
        if rows or columns:
            image = np.pad(image, ((rows // 2, (rows + 1) // 2), (columns // 2, (columns + 1) // 2), (0, 0)))
        top, left = round(max(height - self.height, 0) / 2), round(max(width - self.width, 0) / 2)
        return image[top : top + self.height, left : left + self.width]

    def _resample(self, image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
        if self.interpolation not in RESAMPLING:
            raise SemconError(f"unknown interpolation {self.interpolation!r}: expected {', '.join(RESAMPLING)}")
        if image.dtype == np.uint8:
            pixels = image[..., 0] if image.shape[2] == 1 else image
            resized = Image.fromarray(pixels).resize((width, height), RESAMPLING[self.interpolation])
            return np.asarray(resized).reshape(height, width, -1)
        mode = self.interpolation if self.interpolation in ("bilinear", "bicubic") else "bicubic"
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        resized = functional.interpolate(tensor, (height, width), mode=mode, antialias=True).clamp(0, 1)
        return resized[0].permute(1, 2, 0).numpy()


def images_per_pass(height: int, width: int, device: torch.device) -> int:
    """As many as keep a core's caches, or a GPU, busy."""
    budget = 64 * 1024 if device.type == "cpu" else 2048 * 1024
    return max(16, min(1024, 2 ** round(math.log2(max(1, budget / (height * width))))))
