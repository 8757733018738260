"""Torch datasets: map-style or iterable, or the data set of a DataLoader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
)

from semcon.core.errors import SemconError, UnreadableImageError
from semcon.decoding import Pixels, as_class, from_array, from_pil
from semcon.keyed import sample_id


class TorchDataset:
    """Items (image, label), an image alone, or a mapping with `image` and `label`.

    Images are PIL, or tensors and arrays without normalisation: uint8 or floats in [0, 1]. Labels are whole numbers.
    A DataLoader gives its data set, or the part that a SubsetRandomSampler holds, in the data set's own order, so that
    shuffling changes nothing; other samplers are refused. Iterable data are read once and kept. Random transforms make
    the images differ at every reading: take them out.
    """

    def __init__(self, data: Any, *, limit: int | None = None) -> None:
        rows: Sequence[int] | None = None
        if isinstance(data, DataLoader):
            rows, data = _sampled(data), data.dataset
        self.name = type(data).__name__
        self.source, names = f"python:{self.name}", getattr(data, "classes", None)
        self.classes = tuple(str(name) for name in names) if names else None
        once = False
        if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
            once, data = True, _taken(data, limit)
        try:
            length = len(data)
        except (TypeError, NotImplementedError):
            raise SemconError(
                f"the data set {self.name} does not say how many images it has: give it __len__, or make it an "
                "IterableDataset"
            ) from None
        every = range(length) if rows is None else rows
        self._rows, self._every = every[:limit], None if once and length == limit else every
        if not self._rows:
            raise SemconError(f"the data set {self.name} is empty")
        self._data: Any = data

    def __len__(self) -> int:
        return len(self._rows)

    def label(self, index: int) -> int | None:
        """The item's label."""
        targets = getattr(self._data, "targets", None)
        if getattr(self._data, "target_transform", None) is not None:
            targets = None  # they are what the transform starts from
        if targets is not None and len(targets) == len(self._data):
            label = targets[self._rows[index]]
        else:
            label = self._item(index)[1]
        return None if label is None else as_class(label, self.title(index))

    def title(self, index: int) -> str:
        """`image 7`, its number in the data set."""
        return f"image {self._rows[index]}"

    def titles(self) -> list[str] | None:
        """Of all items, those too that the limit left out; None where it ended the reading."""
        return None if self._every is None else [f"image {row}" for row in self._every]

    def identity(self, index: int) -> int:
        """Hash of the pixels."""
        return sample_id(np.ascontiguousarray(self.image(index)).tobytes())

    def image(self, index: int) -> Pixels:
        """(H, W, C)."""
        image = self._item(index)[0]
        if isinstance(image, Image.Image):
            return from_pil(image, self.title(index))
        if not isinstance(image, Tensor | np.ndarray):
            raise SemconError(
                f"{self.title(index)} of {self.name} is {type(image).__name__}: expected a PIL image, tensor or array "
                "(folder:DIR reads image files)"
            )
        return from_array(image, self.title(index))

    def _item(self, index: int) -> tuple[Any, Any]:
        try:
            item = self._data[self._rows[index]]
        except Exception as error:  # the user's own code
            raise UnreadableImageError(f"{self.title(index)} of {self.name}", _told(error)) from error
        if isinstance(item, Mapping):
            image = next((item[key] for key in ("image", "img", "pixel_values", "x") if key in item), None)
            label = next((item[key] for key in ("label", "labels", "target", "y") if key in item), None)
            if image is None:
                raise SemconError(
                    f"items of {self.name} have the keys {', '.join(map(str, item))}: expected image, label"
                )
            return image, label
        if isinstance(item, tuple | list):
            return item[0], item[1] if len(item) > 1 else None
        return item, None


def _sampled(loader: DataLoader[Any]) -> Sequence[int] | None:
    """Which items a loader reads, in order; None for all. Errors: `SemconError` where that is not known beforehand."""
    if isinstance(loader.dataset, IterableDataset):
        return None
    batches = loader.batch_sampler
    sampler: Any = loader.sampler if batches is None else batches
    if type(sampler) is BatchSampler:
        sampler = sampler.sampler
    if type(sampler) is SubsetRandomSampler:
        return sorted(sampler.indices)
    once = type(sampler) is RandomSampler and not sampler.replacement
    if type(sampler) is SequentialSampler or (once and sampler.num_samples == len(sampler.data_source)):
        source = sampler.data_source
        return None if source is loader.dataset else range(len(source))
    raise SemconError(
        f"the DataLoader's {type(sampler).__name__} may leave images out or repeat them, and which is not known before "
        "it is read: give torch.utils.data.Subset(data, indices), or a DataLoader that reads every image once"
    )


def _taken(data: Any, limit: int | None) -> list[Any]:
    items: list[Any] = []
    try:
        for item in data:
            items.append(item)
            if limit is not None and len(items) >= limit:
                break
    except Exception as error:  # the user's own code
        raise SemconError(f"cannot read item {len(items)} of {type(data).__name__}: {_told(error)}") from error
    return items


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
