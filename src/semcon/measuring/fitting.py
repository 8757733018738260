"""Work on a batch, in halves where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from semcon.core.errors import SemconError
from semcon.loading import Batch

Result = TypeVar("Result")


def nothing(_: object) -> None:
    """Where nobody listens."""


def fitting(batch: Batch, work: Callable[[Batch], Result], note: Callable[[str], None] = nothing) -> Iterator[Result]:
    """The work on a batch, in halves where memory is short: draws are keyed, so that this changes no number."""
    try:
        yield work(batch)
        return
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
        if len(batch.x) == 1:
            raise SemconError(
                "out of memory with one image at a time: use a smaller --size or another --device"
            ) from None
    _make_room(batch, note)
    for half in batch.halves():
        yield from fitting(half, work, note)


def on_as_many_as_fit(batch: Batch, work: Callable[[Batch], Result], note: Callable[[str], None] = nothing) -> Result:
    """The work on a sample of images that may be smaller: where memory is short, on its first half alone."""
    try:
        return work(batch)
    except RuntimeError as error:
        if not _out_of_memory(error) or len(batch.x) == 1:
            raise
    _make_room(batch, note)
    return on_as_many_as_fit(batch.halves()[0], work, note)


def _make_room(batch: Batch, note: Callable[[str], None]) -> None:
    note(f"out of memory with {len(batch.x)} images at a time: going on with half as many")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text
