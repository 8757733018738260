"""Waves and the Fourier heat map. Oracle: a linear model that sees one wave alone; counting frequencies by hand."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.core.table import SampleTable
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.waves import NAME, Waves, heat_map, wave_rows
from semcon.spectrum import CORNER, basis_image
from semcon.subject import Subject

IDS = torch.arange(300) + 7


class OneWave(nn.Module):
    """Class 1 where the image has a large component, of either sign, along one basis image; else class 0."""

    def __init__(self, row: int, column: int, size: int) -> None:
        super().__init__()
        self.register_buffer("wave", basis_image(torch.tensor([row]), torch.tensor([column]), size, size)[0].float())
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        seen = (x * self.wave).sum((2, 3)).abs().max(1).values * self.weight
        return torch.stack((torch.full_like(seen, 1.0), seen), dim=1)


def batch(size: int, images: int = 40) -> Batch:
    x = 0.5 + 0.02 * torch.rand(images, 3, size, size, generator=torch.Generator().manual_seed(0))
    none = torch.zeros(images, dtype=torch.int64)
    return Batch(x, torch.arange(images), torch.arange(images) + 100, none, ("",) * images)


def table(subject: Subject, here: Batch, waves: Waves, labels: list[int] | None) -> SampleTable:
    predictions = subject(here.x).argmax(1).tolist()
    images = {"position": here.positions.tolist(), "sample": here.ids.tolist(), "prediction": predictions}
    known = pl.DataFrame(images).with_columns(label=pl.Series(labels, dtype=pl.Int32) if labels else pl.lit(None))
    frames = (known, wave_rows(subject, here, waves, 0, lambda _: None))
    schemas = (SampleTable.image_schema(()), SampleTable.row_schema(()))
    filled = [
        frame.with_columns([pl.lit(None).alias(name) for name in schema if name not in frame.columns]).select(
            pl.col(name).cast(kind) for name, kind in schema.items()
        )
        for frame, schema in zip(frames, schemas, strict=True)
    ]
    return SampleTable(*filled, ())


@pytest.mark.parametrize(("row", "column"), [(3, -2), (0, 5), (-4, 1)])
@pytest.mark.parametrize("labels", [[0] * 40, None], ids=["labels", "no labels"])
def test_a_model_of_one_wave_errs_there_alone(row: int, column: int, labels: list[int] | None) -> None:
    subject = Subject(OneWave(row, column, 16), name="net", canvas=Canvas(16, 16))
    waves = Waves(16, 16, 33, 1.0)
    found = heat_map(table(subject, batch(16), waves, labels), waves)
    errors = {(waves.rows[i], waves.columns[j]) for i, j in np.argwhere(found > 0)}
    assert errors == {(row, column), (-row, -column)}
    (share,) = set(found[found > 0])
    assert 0.25 < share < 0.75, "half of the images get the wave, the others the one a quarter of a cycle away"


def test_errors_are_counted_from_the_label() -> None:
    """A model that always says 0, and half of the labels 1."""
    network = OneWave(0, 0, 16)
    network.weight.data.zero_()
    subject = Subject(network, name="net", canvas=Canvas(16, 16))
    waves = Waves(16, 16, 33, 1.0)
    found = heat_map(table(subject, batch(16), waves, [0, 1] * 20), waves)
    assert np.array_equal(found, np.full((17, 17), 0.5))


def test_rows_belong_to_the_image() -> None:
    """Two halves in another order: the same rows."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    subject, waves, whole = Subject(network, name="net", canvas=Canvas(8, 8)), Waves(8, 8, 33, 0.4), batch(8)
    told: list[float] = []
    together = wave_rows(subject, whole, waves, 3, told.append)
    halves = pl.concat([wave_rows(subject, half, waves, 3, told.append) for half in reversed(whole.halves())])
    order = ["position", "severity", "draw"]
    assert together.sort(order).equals(halves.sort(order))
    assert len(together) == 40 * waves.passes == sum(told) / 2


@pytest.mark.parametrize(
    ("height", "width", "most", "shape", "count"),
    [(32, 32, 33, (33, 33), 514), (15, 15, 33, (15, 15), 113), (8, 12, 33, (9, 13), 50), (224, 224, 17, (17, 17), 130)],
)
def test_half_of_the_frequencies_are_waves(
    height: int, width: int, most: int, shape: tuple[int, int], count: int
) -> None:
    """A real image of H W pixels has (H W + self-opposite) / 2 different waves; four are their own opposite if even."""
    waves = Waves(height, width, most, 1.0)
    assert (len(waves.rows), len(waves.columns)) == shape
    assert sum(map(len, waves.bands.values())) == count == waves.passes
    assert waves.rows[len(waves.rows) // 2] == waves.columns[len(waves.columns) // 2] == 0


@pytest.mark.parametrize("share", [0.1, 0.33, 1.0])
def test_tries_of_an_image_differ_and_every_wave_is_tried_as_often(share: float) -> None:
    waves = Waves(32, 32, 17, share)
    for centre, band in waves.bands.items():
        frequencies, signs = waves.chosen(Keys(IDS, 0, 0, NAME), centre)
        radius = torch.hypot(*frequencies.double().unbind(2)) / 32 / CORNER
        assert bool(((radius - centre).abs() <= 1 / 16 + 1e-9).all())
        names = [[waves.same(*wave) for wave in image] for image in frequencies.tolist()]
        assert all(len(set(image)) == len(image) == waves.tries(centre) for image in names)
        tried = np.unique([name for image in names for name in image], axis=0, return_counts=True)[1]
        assert len(tried) == len(band)
        expected = 300 * waves.tries(centre) / len(band)
        assert np.abs(tried - expected).max() <= 5 * math.sqrt(expected)
        assert 0.35 < float((signs > 0).double().mean()) < 0.65


def test_an_image_without_contrast_gets_a_wave_of_the_published_norm() -> None:
    """Oracle: 4 in each channel at 32 px, whatever the frequency."""
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean((2, 3))

    grey = Batch(
        torch.full((2, 3, 32, 32), 0.5), torch.arange(2), IDS[:2], torch.zeros(2, dtype=torch.int64), ("",) * 2
    )
    subject = Subject(Watching(), name="net", canvas=Canvas(32, 32))
    seen.clear()  # it tries the network
    rows = wave_rows(subject, grey, Waves(32, 32, 17, 0.2), 0, lambda _: None)
    assert set(rows["perturbation"]) == {NAME}
    norms = torch.cat([(x - 0.5).flatten(2).norm(dim=2) for x in seen])
    torch.testing.assert_close(norms, torch.full_like(norms, 4.0), rtol=1e-5, atol=0)
