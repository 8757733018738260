"""Arrays: images and labels that are in memory already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semcon.core.errors import SemconError
from semcon.decoding import Pixels, from_array
from semcon.keyed import sample_id


class Arrays:
    """`images`: (N, C, H, W) or (N, H, W[, C]) tensor or array, uint8 or floats in [0, 1]; `labels`: (N,) or None."""

    def __init__(
        self, images: Any, labels: Any = None, *, classes: Sequence[str] | None = None, limit: int | None = None,
        name: str = "arrays",
    ) -> None:  # fmt: skip
        self.images = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
        self.labels = None if labels is None else np.asarray(torch.as_tensor(labels).cpu())
        self.name, self.source, self.classes = name, name, classes
        if self.images.ndim not in (3, 4) or not len(self.images):
            raise SemconError(f"images have shape {self.images.shape}: expected (N, C, H, W) or (N, H, W[, C]), N > 0")
        if self.labels is not None and self.labels.shape != (len(self.images),):
            raise SemconError(f"{len(self.images)} images but labels of shape {self.labels.shape}: expected one each")
        self._length = min(len(self.images), limit or len(self.images))

    def __len__(self) -> int:
        return self._length

    def label(self, index: int) -> int | None:
        """The class of image `index`."""
        return None if self.labels is None else int(self.labels[index])

    def title(self, index: int) -> str:
        """`image 7`."""
        return f"image {index}"

    def identity(self, index: int) -> int:
        """Hash of the pixels."""
        return sample_id(np.ascontiguousarray(self.images[index]).tobytes())

    def image(self, index: int) -> Pixels:
        """(H, W, C)."""
        return from_array(self.images[index], self.title(index))
