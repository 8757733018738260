"""The images of a training run: on the device when they fit, else read again for every batch; in a keyed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from semcon.canvas import Canvas
from semcon.core.concepts import Dataset
from semcon.core.errors import SemconError
from semcon.keyed import Keys
from semcon.loading import Scan, batches

FITS = 4 << 30  # bytes of images held on a CPU; a quarter of what is free on a GPU


class Load:
    """One batch: `x` (B, 3, H, W) in [0, 1], `y` (B,) int64 (-1 without labels), `keys` of sample and visit.

    Not a dataclass, so that Fabric does not turn the images into half precision before they are perturbed.
    """

    def __init__(self, x: Tensor, y: Tensor, keys: Keys, rows: Tensor) -> None:
        self.x, self.y, self.keys, self.rows = x, y, keys, rows


@dataclass(frozen=True)
class Order:
    """Which images each step sees: every epoch a keyed permutation, cut into batches; the last part is dropped.

    `batch_size` is that of all processes together. Any step can be asked for, so that a run can go on anywhere.
    """

    ids: Tensor
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the data."""
        return len(self.ids) // self.batch_size

    def rows(self, step: int) -> tuple[Tensor, int]:
        """The rows of a step (batch_size,) and its epoch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._permutation(epoch)[place * self.batch_size : (place + 1) * self.batch_size], epoch

    def _permutation(self, epoch: int) -> Tensor:
        if getattr(self, "_known", (None,))[0] != epoch:
            shuffled = Keys(self.ids, self.seed, epoch, "order").bits("order").argsort(stable=True)
            object.__setattr__(self, "_known", (epoch, shuffled))
        return self._known[1]  # type: ignore[attr-defined, no-any-return]


class Pool:
    """Images, ids and labels by row of a scan. `x`: all of them as uint8 or float32, or None where they do not fit."""

    def __init__(
        self, dataset: Dataset, canvas: Canvas, scan: Scan, labels: Tensor, *, device: torch.device,
        workers: int | None = None,
    ) -> None:  # fmt: skip
        self.dataset, self.canvas, self.scan, self.device, self.workers = dataset, canvas, scan, device, workers
        self.ids, self.labels = scan.ids, labels.to(device)  # ids: what is drawn by them is decided on the CPU
        size = 3 * canvas.height * canvas.width * len(scan.ids)
        free = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else FITS
        self.x = self._held(floats=4 * size <= free) if size <= free else None

    def __len__(self) -> int:
        return len(self.ids)

    def loads(self, steps: Sequence[int], order: Order, *, share: slice, seed: int) -> Iterator[Load]:
        """The batches of these steps, `share` of each (a process's part)."""
        if self.x is not None:
            for step in steps:
                rows, epoch = order.rows(step)
                yield self._load(rows[share], epoch, seed, None)
            return
        for epoch, some in groupby(steps, key=lambda step: step // order.steps_per_epoch):
            rows_of = [order.rows(step)[0][share] for step in some]
            read = batches(
                self.dataset, self.canvas, self.scan, torch.cat(rows_of).tolist(), batch_size=len(rows_of[0]),
                workers=self.workers,
            )  # fmt: skip
            for rows, batch in zip(rows_of, read, strict=True):
                yield self._load(rows, epoch, seed, batch.x)

    def take(self, rows: Tensor) -> Tensor:
        """(M,) -> (M, 3, H, W) in [0, 1] on the device."""
        if self.x is None:
            read = batches(self.dataset, self.canvas, self.scan, rows.tolist(), batch_size=256, workers=self.workers)
            return torch.cat([batch.x for batch in read]).to(self.device)
        part = self.x[rows]
        return part.float().div_(255) if part.dtype == torch.uint8 else part

    def titles(self, rows: Tensor) -> list[str]:
        """What a person would call these images."""
        return [self.dataset.title(place) for place in self.scan.positions[rows.cpu()].tolist()]

    def _load(self, rows: Tensor, epoch: int, seed: int, x: Tensor | None) -> Load:
        keys = Keys(self.ids[rows], seed, epoch, "train", self.device)
        rows = rows.to(self.device)
        x = self.take(rows) if x is None else x.to(self.device, non_blocking=True)
        return Load(x, self.labels[rows], keys, rows)

    def _held(self, *, floats: bool) -> Tensor | None:
        """All images, as bytes where that loses nothing; None where they are `floats` and those do not fit."""
        parts: list[Tensor] = []
        for batch in batches(
            self.dataset, self.canvas, self.scan, range(len(self.scan.ids)), batch_size=512, workers=self.workers
        ):
            coarse = (batch.x * 255).round().to(torch.uint8)
            exact = torch.equal(coarse.float().div_(255), batch.x)
            if not exact and not floats:
                return None
            if parts and (parts[0].dtype == torch.uint8) != exact:
                parts = [part.float().div_(255) if part.dtype == torch.uint8 else part for part in parts]
                exact = False
            parts.append(coarse if exact else batch.x)
        if not parts:
            raise SemconError("there is no image to train on")
        return torch.cat(parts).to(self.device)
