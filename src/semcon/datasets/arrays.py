"""Arrays: images and labels that are in memory already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from semcon.core.errors import SemconError, UnknownNameError
from semcon.decoding import Pixels, as_array, as_class, from_array
from semcon.keyed import sample_id


class Arrays:
    """`images`: (N, C, H, W) or (N, H, W[, C]) tensor or array, uint8 or floats in [0, 1]; `labels`: (N,) or None.

    Labels are whole numbers, or names: then the classes are `classes`, else the sorted names.
    """

    def __init__(
        self, images: Any, labels: Any = None, *, classes: Sequence[str] | None = None, limit: int | None = None,
        name: str = "arrays",
    ) -> None:  # fmt: skip
        self.images = as_array(images, "the images")
        self.labels = None if labels is None else as_array(labels, "the labels")
        self.name, self.source, self.classes = name, name, classes
        if self.images.ndim not in (3, 4) or not len(self.images):
            raise SemconError(f"images have shape {self.images.shape}: expected (N, C, H, W) or (N, H, W[, C]), N > 0")
        if self.labels is not None and self.labels.shape != (len(self.images),):
            raise SemconError(f"{len(self.images)} images but labels of shape {self.labels.shape}: expected one each")
        if self.labels is not None and all(isinstance(label, str) for label in self.labels.tolist()):
            names = self.labels.tolist()
            self.classes = tuple(sorted(set(names))) if classes is None else tuple(classes)
            place = {name: number for number, name in enumerate(self.classes)}
            unknown = [name for name in names if name not in place]
            if unknown:
                raise UnknownNameError("class among the labels", unknown[0], place)
            self.labels = np.array([place[name] for name in names])
        self._length = min(len(self.images), limit or len(self.images))

    def __len__(self) -> int:
        return self._length

    def label(self, index: int) -> int | None:
        """The class of image `index`."""
        return None if self.labels is None else as_class(self.labels[index], self.title(index))

    def title(self, index: int) -> str:
        """`image 7`."""
        return f"image {index}"

    def identity(self, index: int) -> int:
        """Hash of the pixels."""
        return sample_id(np.ascontiguousarray(self.images[index]).tobytes())

    def image(self, index: int) -> Pixels:
        """(H, W, C)."""
        return from_array(self.images[index], self.title(index))
