"""Work that does not fit into memory at once."""

from __future__ import annotations

import pytest
import torch

from semcon.loading import Batch
from semcon.measuring.fitting import on_as_many_as_fit


def some(images: int) -> Batch:
    rows = torch.arange(images)
    return Batch(torch.zeros(images, 3, 2, 2), rows, rows, rows, tuple(map(str, range(images))))


def test_a_sample_is_halved_until_it_fits() -> None:
    said: list[str] = []

    def work(batch: Batch) -> list[int]:
        if len(batch.x) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch.positions.tolist()

    assert on_as_many_as_fit(some(12), work, said.append) == [0, 1, 2]
    assert len(said) == 2


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("shape"), torch.OutOfMemoryError("out of memory")])
def test_other_errors_and_a_single_image_are_not_hidden(error: Exception) -> None:
    def work(batch: Batch) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        on_as_many_as_fit(some(4), work)
