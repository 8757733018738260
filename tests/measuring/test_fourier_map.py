"""The Fourier heat map. Oracle: a linear model that sees one wave alone; counting frequencies by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.loading import Batch
from semcon.measuring.fourier_map import Frequencies, fourier_map
from semcon.spectrum import basis_image
from semcon.subject import Subject


class OneWave(nn.Module):
    """Class 1 where the image has a large component, of either sign, along one basis image; else class 0."""

    def __init__(self, row: int, column: int, size: int) -> None:
        super().__init__()
        self.register_buffer("wave", basis_image(torch.tensor([row]), torch.tensor([column]), size, size)[0].float())
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        seen = (x * self.wave).sum((2, 3)).abs().max(1).values * self.weight
        return torch.stack((torch.full_like(seen, 1.0), seen), dim=1)


def batch(size: int, labels: Tensor) -> Batch:
    images = len(labels)
    x = 0.5 + 0.02 * torch.rand(images, 3, size, size, generator=torch.Generator().manual_seed(0))
    return Batch(x, torch.arange(images), torch.arange(images) + 100, labels, ("",) * images)


@pytest.mark.parametrize(("row", "column"), [(3, -2), (0, 5), (-4, 1)])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_model_of_one_wave_errs_there_alone(row: int, column: int, labelled: bool) -> None:
    subject = Subject(OneWave(row, column, 16), name="net", canvas=Canvas(16, 16))
    labels = torch.zeros(24, dtype=torch.int64) if labelled else torch.full((24,), -1)
    found = fourier_map(subject, batch(16, labels), most=33)
    assert (found.untouched, found.images) == (0.0, 24)
    errors = {(found.rows[i], found.columns[j]) for i, j in np.argwhere(found.errors > 0)}
    assert errors == {(row, column), (-row, -column)}
    (share,) = set(found.errors[found.errors > 0])
    assert 0.2 < share < 0.8, "half of the images get the wave, the others the one a quarter of a cycle away"


def test_errors_without_a_wave_are_told() -> None:
    subject = Subject(OneWave(1, 1, 16), name="net", canvas=Canvas(16, 16))
    found = fourier_map(subject, batch(16, torch.tensor([0, 1, 0, 1, 1, 0])), most=33)
    assert found.untouched == 0.5


def test_batches_and_order_change_nothing() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    subject = Subject(network, name="net", canvas=Canvas(8, 8))
    whole = batch(8, torch.arange(6) % 5)
    told: list[float] = []
    together = fourier_map(subject, whole, most=33, advance=told.append)
    halves = [fourier_map(subject, half, most=33).errors for half in whole.halves()]
    np.testing.assert_allclose(together.errors, np.mean(halves, axis=0))
    assert sum(told) == 6 * len(Frequencies.of(8, 8, 33).waves)


@pytest.mark.parametrize(
    ("height", "width", "most", "shape", "waves"),
    [(32, 32, 33, (33, 33), 514), (15, 15, 33, (15, 15), 113), (8, 12, 33, (9, 13), 50), (224, 224, 17, (17, 17), 130)],
)
def test_half_of_the_frequencies_are_tried(
    height: int, width: int, most: int, shape: tuple[int, int], waves: int
) -> None:
    """A real image of H W pixels has (H W + self-opposite) / 2 different waves; four are their own opposite if even."""
    grid = Frequencies.of(height, width, most)
    assert (len(grid.rows), len(grid.columns)) == shape
    assert len(grid.waves) == waves
    assert grid.rows[len(grid.rows) // 2] == grid.columns[len(grid.columns) // 2] == 0
    assert np.array_equal(grid.wave, grid.wave[::-1, ::-1])
