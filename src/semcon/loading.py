"""From a data set to batches on the canvas: decoding in threads, in order, with bounded memory."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data import Dataset as TorchDataset

from semcon.canvas import Canvas
from semcon.core.concepts import Context, Dataset
from semcon.core.errors import SemconError, UnreadableImageError
from semcon.core.registry import load

Item = TypeVar("Item")
Result = TypeVar("Result")
Found = tuple[Tensor, str, Tensor | None]
"""One image on the canvas, its title, its mask."""


@dataclass(frozen=True)
class Batch:
    """Images on the canvas: `x` (B, 3, H, W) float32; `ids` (B,) int64; `labels` (B,) int64, -1 without.

    `masks`: (B, 1, H, W) float32, 1 on the object and 0 elsewhere, where the data set has them.
    """

    x: Tensor
    positions: Tensor
    ids: Tensor
    labels: Tensor
    titles: tuple[str, ...]
    masks: Tensor | None = None

    @classmethod
    def concat(cls, parts: Sequence[Batch]) -> Batch:
        """Several batches as one."""
        masks = [part.masks for part in parts if part.masks is not None]
        return cls(
            torch.cat([part.x for part in parts]),
            torch.cat([part.positions for part in parts]),
            torch.cat([part.ids for part in parts]),
            torch.cat([part.labels for part in parts]),
            tuple(title for part in parts for title in part.titles),
            torch.cat(masks) if masks else None,
        )

    def halves(self) -> tuple[Batch, Batch]:
        """The batch in two."""
        half = len(self.x) // 2
        return self.part(slice(0, half)), self.part(slice(half, None))

    def split(self, size: int) -> Iterator[Batch]:
        """The batch in batches of at most `size` images."""
        return (self.part(slice(start, start + size)) for start in range(0, len(self.x), size))

    def part(self, rows: slice) -> Batch:
        """Some of the images."""
        masks = None if self.masks is None else self.masks[rows]
        return Batch(self.x[rows], self.positions[rows], self.ids[rows], self.labels[rows], self.titles[rows], masks)

    def context(self, device: torch.device) -> Context | None:
        """What perturbations may know of these images besides their pixels; None where there is nothing."""
        return None if self.masks is None else Context(self.masks.to(device))


@dataclass(frozen=True)
class Scan:
    """What one look at every image found: who they are, how large, which cannot be read.

    `positions`: readable images, in order; `ids`, `labels` (own class indices, -1 without), `sizes` (N, 2) beside them.
    """

    positions: Tensor
    ids: Tensor
    labels: Tensor
    sizes: Tensor
    bad: tuple[str, ...]

    def part(self, rows: Tensor) -> Scan:
        """Some of the images, by row (M,); their positions stay those of the whole data set."""
        return Scan(self.positions[rows], self.ids[rows], self.labels[rows], self.sizes[rows], self.bad)

    @property
    def fingerprint(self) -> str:
        """A hash of images and labels, whatever their order."""
        return fingerprint(self.ids, self.labels)

    @property
    def common_size(self) -> tuple[int, int] | None:
        """Height and width where all images agree, else None."""
        first = self.sizes[0]
        return (int(first[0]), int(first[1])) if bool((self.sizes == first).all()) else None

    @property
    def median_size(self) -> tuple[int, int]:
        """Median height and width."""
        middle = self.sizes.median(0).values
        return int(middle[0]), int(middle[1])


def fingerprint(ids: Tensor, labels: Tensor) -> str:
    """A hash of sample ids (N,) with their labels (N,), whatever their order."""
    order = np.lexsort((labels.numpy(), ids.numpy()))
    return hashlib.blake2b(np.stack([ids.numpy()[order], labels.numpy()[order]]).tobytes(), digest_size=8).hexdigest()


def default_workers() -> int:
    """Threads that decode: one per core, at most 16."""
    return min(16, os.cpu_count() or 1)


def scan(
    dataset: Dataset,
    *,
    workers: int | None = None,
    skip_bad: bool = False,
    advance: Callable[[float], None] | None = None,
) -> Scan:
    """Read every image once: ids, labels, sizes, and whether it can be decoded, before anything long begins.

    Errors: `UnreadableImageError` for the first bad image unless `skip_bad`; `SemconError` where no image is left.
    """

    def look(index: int) -> tuple[int, int, int, int, int] | str:
        try:
            image = dataset.image(index)
        except UnreadableImageError as error:
            if not skip_bad:
                raise
            return error.title
        label = dataset.label(index)
        return index, dataset.identity(index), -1 if label is None else label, image.shape[0], image.shape[1]

    rows = array("q")
    bad: list[str] = []
    for found in _in_order(range(len(dataset)), look, workers or default_workers()):
        if isinstance(found, str):
            bad.append(found)
        else:
            rows.extend(found)
        if advance is not None:
            advance(1)
    if not rows:
        raise SemconError(f"{dataset.source} has no readable image ({len(bad)} unreadable)")
    table = torch.frombuffer(rows, dtype=torch.int64).view(-1, 5)
    return Scan(table[:, 0], table[:, 1], table[:, 2], table[:, 3:], tuple(bad))


def batches(
    dataset: Dataset,
    canvas: Canvas,
    scanned: Scan,
    rows: Sequence[int],
    *,
    batch_size: int,
    labels: Tensor | None = None,
    workers: int | None = None,
) -> Iterator[Batch]:
    """The images at these rows of the scan, in that order, on the canvas; the next are decoded while one is used.

    `labels`: (N,) as the model's outputs, beside the scan's rows; the scan's own where None. The positions of a batch
    are rows of the scan. A data set with `mask(index)` gives masks too.
    """
    labels = scanned.labels if labels is None else labels
    places = scanned.positions.numpy()
    mask = mask_reader(dataset)

    def read(row: int) -> Found:
        place = int(places[row])
        where = None if mask is None else canvas.fit_mask(mask(place))
        return canvas.fit(dataset.image(place)), dataset.title(place), where

    pending: list[Found] = []
    taken: list[int] = []
    for row, found in zip(rows, _in_order(rows, read, workers or default_workers()), strict=True):
        pending.append(found)
        taken.append(row)
        if len(pending) == batch_size:
            yield _collated(pending, taken, scanned.ids, labels)
            pending, taken = [], []
    if pending:
        yield _collated(pending, taken, scanned.ids, labels)


def mask_reader(dataset: Dataset) -> Callable[[int], Any] | None:
    """How to read where the object of image `index` is, (H, W) bool; None where the data set does not know."""
    if not isinstance(dataset, Part):
        return getattr(dataset, "mask", None)
    mask, indices = mask_reader(dataset.whole), dataset.indices
    return None if mask is None else lambda index: mask(indices[index])


def attribute_reader(dataset: Dataset) -> Callable[[int], Mapping[str, str | None]] | None:
    """How to read the attributes of image `index`; None where the data set has none."""
    if not isinstance(dataset, Part):
        return getattr(dataset, "attributes", None)
    own, indices = attribute_reader(dataset.whole), dataset.indices
    return None if own is None else lambda index: own(indices[index])


def _collated(found: list[Found], taken: list[int], ids: Tensor, labels: Tensor) -> Batch:
    images, titles, masks = zip(*found, strict=True)
    rows = torch.tensor(taken)
    known = None if masks[0] is None else torch.stack(masks)
    return Batch(torch.stack(images), rows, ids[rows], labels[rows], titles, known)


def _in_order(items: Iterable[Item], work: Callable[[Item], Result], workers: int) -> Iterator[Result]:
    """`map` in threads with a bounded window, results in order."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 64 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def as_dataset(data: Any, *, limit: int | None = None) -> Dataset:
    """Python objects as a data set: images, (images, labels), a torch Dataset or DataLoader, one of semcon's own.

    Errors: `SemconError` for anything else.
    """
    if isinstance(data, Dataset):
        return Part(data, range(limit)) if limit is not None and limit < len(data) else data
    if isinstance(data, tuple | list) and len(data) == 2 and hasattr(data[0], "shape"):
        return load("datasets", "arrays")(data[0], data[1], limit=limit)
    if hasattr(data, "shape"):
        return load("datasets", "arrays")(data, limit=limit)
    if isinstance(data, DataLoader | TorchDataset | IterableDataset):
        return load("datasets", "torch_dataset")(data, limit=limit)
    raise SemconError(
        f"cannot read images from {type(data).__name__}: expected text such as folder:DIR, a tensor of images, a pair "
        "(images, labels), a torch Dataset or a DataLoader"
    )


class Part:
    """Some images of another data set, by their index there, in this order."""

    def __init__(self, whole: Dataset, indices: Sequence[int]) -> None:
        self.whole, self.indices = whole, indices
        self.name, self.source, self.classes = whole.name, whole.source, whole.classes
        self.severity_limits: dict[str, float] = getattr(whole, "severity_limits", {})

    def __len__(self) -> int:
        return len(self.indices)

    def label(self, index: int) -> int | None:
        """As there."""
        return self.whole.label(self.indices[index])

    def title(self, index: int) -> str:
        """As there."""
        return self.whole.title(self.indices[index])

    def identity(self, index: int) -> int:
        """As there."""
        return self.whole.identity(self.indices[index])

    def image(self, index: int) -> Any:
        """As there."""
        return self.whole.image(self.indices[index])
