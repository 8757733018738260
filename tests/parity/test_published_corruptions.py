"""The common corruptions against closed forms, scipy, Pillow and plain loops; against the published code: studies."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats
from torch import Tensor

from semcon import filtering
from semcon.core.errors import UnknownNameError
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.perturbations import Fog, Frost, GlassBlur, Pixelate, Spatter, fog, glass_blur, shot_noise, spatter
from semcon.perturbations.corruption_gaussian_blur import CorruptionGaussianBlur
from semcon.perturbations.elastic_transform import ElasticTransform
from semcon.published import COMMON, EXTRA, LEVELS, Published, between_sizes, ladder

NAMES = list(COMMON | EXTRA)
OWN = sorted(name for name in set((COMMON | EXTRA).values()) if not load("perturbations", name).default)


def corrupted(name: str, x: Tensor, level: float, draw: int = 0) -> Tensor:
    """By its published name."""
    kind, severities = ladder(name, x.shape[-2])
    perturbation = load("perturbations", kind)()
    severity = severities[round(level) - 1] if perturbation.default else level
    return perturbation(x, perturbation.sample(Keys(torch.arange(len(x)), draw=draw, scope=kind), x), severity)


def clouds(batch: int, height: int, width: int) -> Tensor:
    """Smooth random colours."""
    coarse = torch.rand(batch, 3, 6, 6, generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0.02, 0.98)


def test_there_are_fifteen_and_four() -> None:
    assert (len(COMMON), len(EXTRA)) == (15, 4)
    assert len(set((COMMON | EXTRA).values())) == 19
    assert all(load("perturbations", kind) for kind in (COMMON | EXTRA).values())


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="glass_blur"):
        ladder("glas_blur", 224)


@pytest.mark.parametrize(
    ("name", "height", "severities"),
    [
        ("gaussian_noise", 32, (0.04, 0.06, 0.08, 0.09, 0.10)),
        ("gaussian_noise", 224, (0.08, 0.12, 0.18, 0.26, 0.38)),
        ("jpeg_compression", 32, (20, 35, 42, 50, 60)),
        ("jpeg_compression", 224, (75, 82, 85, 90, 93)),
        ("fog", 224, LEVELS),
    ],
)
def test_ladders_are_as_published(name: str, height: int, severities: tuple[float, ...]) -> None:
    """Oracle: the figures of the published scripts; a quality of q is a severity of 100 - q."""
    assert ladder(name, height)[1] == pytest.approx(severities)


def test_parameters_between_sizes_and_levels() -> None:
    """Closed form: linear in log2(height), constant outside 32 and 224 px, linear between levels."""
    table = Published(identity=(0.0, None), levels={s: [(s * k, k) for k in range(1, 6)] for s in (32, 64, 224)})
    assert between_sizes(table.levels, 16) == between_sizes(table.levels, 32)
    assert between_sizes(table.levels, 500) == between_sizes(table.levels, 224)
    height = round(math.sqrt(64 * 224))
    share = math.log2(height / 64) / math.log2(224 / 64)
    assert between_sizes(table.levels, height)[0][0] == pytest.approx(64 + share * (224 - 64))
    first, second = table.at(torch.tensor([0.0, 0.5, 1.0, 2.5, 5.0], dtype=torch.float64), 32)
    assert first.tolist() == pytest.approx([0, 16, 32, 80, 160])
    assert second.tolist() == pytest.approx([1, 1, 1, 2.5, 5])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("height", [32, 64])
def test_levels_get_worse(name: str, height: int) -> None:
    """Mean pixel change over eight images, levels 1 to 5, where published levels do so themselves."""
    if name in ("saturate", "elastic_transform", "spatter", "frost", "glass_blur") or (name, height) == ("snow", 64):
        pytest.skip("the published levels do not, or not for every image")
    x = clouds(8, height, height)
    changes = [float((corrupted(name, x, level) - x).abs().mean()) for level in LEVELS]
    assert changes == sorted(changes)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (16, 40)])
def test_any_size_from_one_pixel_on(name: str, size: tuple[int, int]) -> None:
    """The parameters below 32 px are those of 32; a reach beyond the image finds what is outside it."""
    x, perturbation = clouds(2, *size), load("perturbations", name)()
    unit = perturbation.sample(Keys(torch.arange(2), scope=name), x)
    for level in LEVELS:
        y = perturbation(x, unit, level)
        assert y.shape == x.shape
        assert bool(y.isfinite().all())


@pytest.mark.parametrize("name", OWN)
def test_a_level_is_reached_from_both_sides(name: str) -> None:
    """Continuous severity: 1e-4 below or above a level changes little, on average; but some parameters are rounded."""
    x, perturbation = clouds(4, 48, 40), load("perturbations", name)()
    unit = perturbation.sample(Keys(torch.arange(4), scope=name), x)
    limit = 0.04 if name in ("pixelate", "glass_blur", "zoom_blur", "snow") else 2e-3  # whole pixels
    for level in (1.0, 2.0, 3.0, 4.0):
        here = perturbation(x, unit, level)
        for beside in (level - 1e-4, level + 1e-4):
            assert float((perturbation(x, unit, beside) - here).abs().mean()) < limit


def test_blocks_change_nothing() -> None:
    """Oracle: each image alone; the batch is larger than one block."""
    x = clouds(5, 224, 224)
    for name in ("spatter", "glass_blur", "defocus_blur", "zoom_blur"):
        together = corrupted(name, x, 3)
        perturbation = load("perturbations", name)()
        unit = perturbation.sample(Keys(torch.arange(4, 5), scope=name), x[4:])
        torch.testing.assert_close(together[4:], perturbation(x[4:], unit, 3.0), rtol=0, atol=2e-6)


def test_many_images_are_as_few() -> None:
    """Oracle: the same images three at a time; twelve are laid side by side, and are two large blocks."""
    x = clouds(12, 224, 200)
    for name in ("zoom_blur", "fog", "frost", "snow", "elastic_transform", "gaussian_blur"):
        kind, severities = ladder(name, 224)
        perturbation = load("perturbations", kind)()
        unit = perturbation.sample(Keys(torch.arange(12), scope=name), x)
        parts = [slice(start, start + 3) for start in range(0, 12, 3)]
        few = [
            perturbation(x[part], {key: value[part] for key, value in unit.items()}, severities[2]) for part in parts
        ]
        torch.testing.assert_close(perturbation(x, unit, severities[2]), torch.cat(few), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(7, 90), (64, 33)])
def test_bands_are_the_whole_product(size: tuple[int, int]) -> None:
    """Oracle: the dense product. One number farther from the diagonal than the reach is left out."""
    x, reach = clouds(2, *size), 5
    rows, columns = (torch.rand(side, side).triu(-reach).tril(reach) for side in size)
    torch.testing.assert_close(filtering.banded(x, rows, columns, reach), rows @ x @ columns)
    columns[0, -1] = 1.0
    difference = (rows @ x @ columns - filtering.banded(x, rows, columns, reach)).abs().amax(dim=(0, 1, 2))
    assert difference.nonzero().flatten().tolist() == [size[1] - 1]


@pytest.mark.parametrize("sigma", [0.3, 0.96, 2.5, 20.0, 170.8])
@pytest.mark.parametrize("size", [9, 32])
def test_gaussian_matrices(sigma: float, size: int) -> None:
    """Oracle: scipy.ndimage.gaussian_filter1d of the unit vectors, mode reflect."""
    expected = ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0, mode="reflect", truncate=3.0)
    ours = filtering.gaussian_matrix(torch.tensor([sigma, 3.0], dtype=torch.float64), size, truncate=3.0)[0]
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", [1, 3, 5])
def test_gaussian_blur_is_a_sampled_one(photographs: Tensor, level: int) -> None:
    """Oracle: scipy.ndimage.gaussian_filter, mode nearest, cut at four sigma."""
    x = photographs[:2].double()[..., :64]
    sigma = between_sizes({32: [(s,) for s in (0.4, 0.6, 0.7, 0.8, 1)], 64: [(s,) for s in (0.5, 0.75, 1, 1.25, 1.5)],
                           224: [(s,) for s in (1, 2, 3, 4, 6)]}, x.shape[-2])[level - 1][0]  # fmt: skip
    expected = ndimage.gaussian_filter(x.numpy(), sigma, axes=(-2, -1), mode="nearest", truncate=4.0)
    np.testing.assert_allclose(CorruptionGaussianBlur()(x, {}, float(level)).numpy(), expected, rtol=0, atol=1e-9)


def test_convolution_mirrors(photographs: Tensor) -> None:
    """Oracle: scipy.ndimage.convolve, mode mirror."""
    x = photographs[:2].double()
    half = torch.rand(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kernel = torch.cat((half, half[:3].flip(0)))
    kernel = torch.cat((kernel, kernel[:, :3].flip(1)), dim=1)
    expected = ndimage.convolve(x.numpy(), kernel.numpy()[None, None], mode="mirror")
    np.testing.assert_allclose(filtering.convolve(x, kernel[None]).numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(32, 32), (9, 40)])
def test_rays_are_the_same_together_as_one_by_one(size: tuple[int, int]) -> None:
    """How a GPU smears many images; oracle: each by itself, a ray of one point and rays longer than the image too."""
    count, generator = 24, torch.Generator().manual_seed(0)
    x = torch.rand(count, 3, *size, generator=generator)
    radius, sigma, degrees = torch.rand(3, count, generator=generator) * torch.tensor([[20.0], [15.0], [180.0]])
    radius[0] = 0
    rays = filtering._rays(radius, sigma + 0.5, degrees - 90)
    assert torch.equal(filtering._gathered_along(x, *rays), filtering.streak(x, radius, sigma + 0.5, degrees - 90))
    assert torch.equal(filtering.streak(x, radius, sigma + 0.5, degrees - 90)[0], x[0])


@pytest.mark.parametrize("factor", [1.01, 1.1, 1.24])
def test_magnification(factor: float) -> None:
    """Oracle: scipy.ndimage.zoom of the middle, trimmed."""
    x = clouds(1, 64, 64).double()
    cut = math.ceil(64 / factor)
    top = (64 - cut) // 2
    large = ndimage.zoom(x[0].numpy()[:, top : top + cut, top : top + cut], (1, factor, factor), order=1)
    trim = (large.shape[1] - 64) // 2
    ours = filtering.magnify(x, torch.tensor([factor], dtype=torch.float64))[0]
    np.testing.assert_allclose(ours.numpy(), large[:, trim : trim + 64, trim : trim + 64], rtol=0, atol=1e-9)


@pytest.mark.parametrize("level", [1, 3, 5])
@pytest.mark.parametrize("size", [(64, 64), (64, 50)])
def test_pixelate_has_pillows_boxes(level: int, size: tuple[int, int]) -> None:
    """Oracle: Pillow's box filter, there and back, up to its two roundings."""
    x = (clouds(1, *size) * 255).round() / 255
    small = [max(1, int(side * c + 1e-4)) for side in size for c in [_share(level, size[0])]]
    image = Image.fromarray((x[0] * 255).byte().permute(1, 2, 0).numpy())
    image = image.resize(small[::-1], Image.Resampling.BOX).resize(size[::-1], Image.Resampling.BOX)
    ours = Pixelate()(x, {}, float(level))[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - np.asarray(image)).max() < 1.01


def _share(level: int, height: int) -> float:
    table = {32: (0.95, 0.9, 0.85, 0.75, 0.65), 64: (0.9, 0.8, 0.7, 0.6, 0.5), 224: (0.6, 0.5, 0.4, 0.3, 0.25)}
    return between_sizes({size: [(c,) for c in row] for size, row in table.items()}, height)[level - 1][0]


@pytest.mark.parametrize(
    ("name", "level", "change"),
    [
        ("corruption_brightness", 5, lambda h, s, v: (h, s, min(1, v + 0.3))),
        ("saturate", 2, lambda h, s, v: (h, 0.1 * s, v)),
        ("saturate", 5, lambda h, s, v: (h, min(1, 2.5 * s + 0.2), v)),
    ],
)
def test_changes_of_hsv(name: str, level: int, change: object) -> None:
    """Oracle: colorsys, pixel by pixel; a grey pixel counts as red."""
    assert callable(change)
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    x[..., 0, 0] = 0.4
    expected = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in x[0].flatten(1).T.tolist()]
    ours = load("perturbations", name)()(x, {}, float(level))[0].flatten(1).T
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("rate", [0.02, 0.7, 5.0, 9.99, 12.0, 60.0, 400.0])
def test_poisson_quantiles(rate: float) -> None:
    """Oracle: scipy.stats.poisson; rates below 10 are rounded to 1 / 64."""
    place = torch.linspace(-0.99999, 0.99999, 20001, dtype=torch.float64)
    ours = shot_noise.poisson_quantile(place, torch.full_like(place, rate)).numpy()
    expected = stats.poisson.ppf((1 + place.numpy()) / 2, rate if rate >= 10 else round(rate * 64) / 64)
    assert (ours != expected).mean() < 1e-3
    assert np.abs(ours - expected).max() <= 1


def test_the_plasma_fractal() -> None:
    """Oracle: diamond-square by loops over points."""
    field = torch.rand(1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) * 2 - 1
    expected, step, size = np.zeros((8, 8)), 8, 1.0
    while step > 1:
        half = step // 2
        for i in range(half, 8, step):
            for j in range(half, 8, step):
                corners = [expected[(i + a) % 8, (j + b) % 8] for a in (-half, half) for b in (-half, half)]
                expected[i, j] = np.mean(corners) + size * float(field[0, i, j])
        for i in range(0, 8, half):
            for j in range(0, 8, half):
                if (i // half + j // half) % 2 == 1:
                    around = ((half, 0), (-half, 0), (0, half), (0, -half))
                    beside = [expected[(i + a) % 8, (j + b) % 8] for a, b in around]
                    expected[i, j] = np.mean(beside) + size * float(field[0, i, j])
        step, size = half, size / 4
    ours = fog._plasma(field, torch.full((1, 1, 1), 2.0, dtype=torch.float64))[0]
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-12)


def test_fog_keeps_the_largest_value_in_reach() -> None:
    """Closed form: between x m / (m + c) and (x + c) m / (m + c); c = 1.5 at level 5 of 32 px."""
    x = clouds(3, 32, 32)
    largest = x.amax(dim=(1, 2, 3), keepdim=True)
    y = Fog()(x, Fog().sample(Keys(torch.arange(3)), x), 5.0)
    share = largest / (largest + 1.5)
    assert bool((y >= x * share - 1e-6).all())
    assert bool((y <= (x + 1.5) * share + 1e-6).all())


def test_glass_copies_in_order() -> None:
    """Oracle: the loop over pixels from the last to the first, each copying from the image as it then is."""
    steps, turn = (Keys(torch.arange(2)).uniform(name, shape) for name, shape in (("s", (3, 13, 11)), ("t", (13, 11))))
    for d, rounds in ((1, 2), (2, 3), (4, 2)):
        sources = glass_blur._sources(steps, turn, torch.full((2,), float(d)), torch.full((2,), float(rounds)))
        for image in range(2):
            expected = np.arange(13 * 11).reshape(13, 11)
            for number in range(rounds):
                down, across = glass_blur._steps(steps[image, number], torch.tensor(float(d)))
                for h in range(13 - d, d, -1):
                    for w in range(11 - d, d, -1):
                        expected[h, w] = expected[h + int(down[h, w]), w + int(across[h, w])]
            assert np.array_equal(sources[image].view(13, 11).numpy(), expected)


def test_glass_keeps_the_rim() -> None:
    """Pixels within d of an edge stay; at level 5 of 32 px the blur of 0.4 px mixes neighbours alone."""
    x = clouds(1, 32, 32)
    y = GlassBlur()(x, GlassBlur().sample(Keys(torch.arange(1)), x), 5.0)
    assert float((y - x)[..., 0, :].abs().max()) < 0.1


def test_the_corners_of_a_square_go_where_they_are_sent() -> None:
    """Closed form: an affine map of a plane of colour; at level 1 of 32 px corners move by up to 2.56 px, no pull."""
    rows, columns = torch.arange(32.0)[:, None].expand(32, 32), torch.arange(32.0).expand(32, 32)
    x = torch.stack((rows, columns, rows), dim=0)[None].double() / 31
    corners = torch.tensor([[[1, 0], [0, -1], [-1, 1.0]]], dtype=torch.float64) * (2 / 2.56)
    unit = {"corners": corners, "pull": torch.zeros(1, 2, 32, 32, dtype=torch.float64)}
    y = ElasticTransform()(x, unit, 1.0)[0] * 31
    for start, (right, down) in zip(((26, 26), (26, 6), (6, 6)), ((2, 0), (0, -2), (-2, 2)), strict=True):
        column, row = start[0] + right, start[1] + down
        assert y[0, row, column].item() == pytest.approx(start[1], abs=1e-9)
        assert y[1, row, column].item() == pytest.approx(start[0], abs=1e-9)


def test_frost_has_the_colours_of_its_pictures() -> None:
    """Oracle: what was measured on the published pictures; level 5 of 224 px is 0.6 x + 0.75 f."""
    black = torch.zeros(12, 3, 224, 224)
    blue, white = (0.313, 0.585, 0.648, 0.062), (0.774, 0.791, 0.826, 0.079)
    dark = (0.398, 0.443, 0.489, 0.139)
    unit = Frost().sample(Keys(torch.arange(12), scope="frost"), black)
    for picture, (*colour, spread) in ((-0.9, blue), (-0.5, white), (0.9, dark)):
        found = Frost()(black, unit | {"picture": torch.full((12,), picture)}, 5.0) / 0.75
        assert found.mean(dim=(0, 2, 3)).tolist() == pytest.approx(colour, abs=0.03)
        assert float(found.mean(dim=1).std(dim=(1, 2)).mean()) == pytest.approx(spread, rel=0.15)


def test_mud_covers_and_water_lights() -> None:
    """Closed form: the colours where nothing of white, or of black, is left."""
    unit = Spatter().sample(Keys(torch.arange(4), scope="spatter"), torch.zeros(4, 3, 64, 64))
    mud = Spatter()(torch.ones(4, 3, 64, 64), unit, 5.0)
    covered = mud[:, 0] < 1
    least = 1 - 0.8 * (1 - torch.tensor([63, 42, 20]) / 255)
    assert 0.02 < float(covered.float().mean()) < 0.6
    assert bool((mud.permute(0, 2, 3, 1)[covered] <= least + 1e-4).all())
    water = Spatter()(torch.zeros(4, 3, 64, 64), unit, 2.0)
    brightest = water.amax(dim=(0, 2, 3))
    torch.testing.assert_close(brightest, 0.6 * torch.tensor([175, 238, 238]) / 255, rtol=0, atol=1e-4)


def test_distances_from_edges() -> None:
    """Oracle: scipy's Euclidean distance transform, at most 20."""
    edges = torch.rand(2, 1, 60, 50, generator=torch.Generator().manual_seed(6)) > 0.997
    ours = spatter._distance(edges)
    for image in range(2):
        expected = ndimage.distance_transform_edt(~edges[image, 0].numpy()).clip(max=20)
        np.testing.assert_allclose(ours[image, 0].numpy(), expected, rtol=0, atol=1e-5)


def test_a_flat_histogram() -> None:
    """Closed form: a level becomes 255 times the share of pixels above the lowest level that it is not below."""
    shade = torch.tensor([0, 0, 1, 1, 1, 5, 20, 20.0]).view(1, 1, 2, 4)
    assert spatter._flattened(shade).flatten().tolist() == [0, 0, 128, 128, 128, 170, 255, 255]
    assert spatter._flattened(torch.full((1, 1, 2, 2), 20.0)).flatten().tolist() == [20.0] * 4
