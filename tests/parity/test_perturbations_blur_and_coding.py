"""Blur, JPEG and posterize against scipy, Pillow, torchvision and closed forms."""

from __future__ import annotations

import math
import multiprocessing
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy import ndimage, special
from torch import Tensor

from semcon.imaging import gaussian_blur
from semcon.perturbations import GaussianBlur, Jpeg, Posterize


def to_bytes(x: Tensor) -> np.ndarray:
    return (x * 255).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 3.0, 10.0, 60.0])
@pytest.mark.parametrize("size", [(96, 64), (8, 11)])
def test_blur_is_lindebergs_kernel(photographs: Tensor, sigma: float, size: tuple[int, int]) -> None:
    """Oracle: the discrete Gaussian exp(-t) I_n(t) from scipy.special, correlated by scipy.ndimage with mirrors."""
    x = photographs[:2, :, : size[0], : size[1]].double()
    kernel = special.ive(np.abs(np.arange(-800, 801)), sigma**2)
    expected = x.numpy()
    for axis in (-1, -2):
        expected = ndimage.correlate1d(expected, kernel, axis=axis, mode="reflect")
    ours = gaussian_blur(x, torch.full((2,), sigma, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("severity", [8.0, 16.0, 32.0])
def test_blur_nears_scipys_sampled_gaussian(photographs: Tensor, severity: float) -> None:
    """From some two pixels on; the height is 96 px, so sigma is s * 96 / 224. Oracle: scipy.ndimage.gaussian_filter."""
    x = photographs.double()
    sigma = severity * 96 / 224
    expected = ndimage.gaussian_filter(x.numpy(), sigma, axes=(-2, -1), mode="reflect", truncate=8)
    difference = np.abs(GaussianBlur()(x, {}, severity).numpy() - expected)
    assert difference.max() < 0.02 * np.abs(x.numpy() - expected).max()


def test_blur_nears_torchvisions_away_from_the_edge(tv: ModuleType, photographs: Tensor) -> None:
    x, sigma = photographs, 3.0
    theirs = tv.gaussian_blur(x, [25, 25], [sigma, sigma])
    ours = gaussian_blur(x, torch.full((6,), sigma))
    torch.testing.assert_close(ours[..., 14:-14, 14:-14], theirs[..., 14:-14, 14:-14], rtol=0, atol=3e-3)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0, 5.0])
def test_blur_spreads_a_point_by_exactly_sigma(sigma: float) -> None:
    """Closed form: the point's image sums to 1 and has variance sigma ** 2 along each axis."""
    point = torch.zeros(1, 3, 121, 121, dtype=torch.float64)
    point[..., 60, 60] = 1
    spread = gaussian_blur(point, torch.tensor([sigma], dtype=torch.float64))[0, 0]
    offset = torch.arange(121, dtype=torch.float64) - 60
    assert float(spread.sum()) == pytest.approx(1)
    assert float((spread.sum(0) * offset**2).sum()) == pytest.approx(sigma**2, abs=1e-9)
    assert float((spread.sum(1) * offset**2).sum()) == pytest.approx(sigma**2, abs=1e-9)


def test_blurring_twice_adds_variances_and_keeps_the_mean(photographs: Tensor) -> None:
    x = photographs.double()

    def blur(v: Tensor, sigma: float) -> Tensor:
        return gaussian_blur(v, v.new_full((6,), sigma))

    torch.testing.assert_close(blur(blur(x, 3.0), 4.0), blur(x, 5.0))
    torch.testing.assert_close(blur(x, 7.0).mean((2, 3)), x.mean((2, 3)))
    torch.testing.assert_close(blur(x, 1e4), x.mean((2, 3), keepdim=True).expand_as(x))


def test_blur_takes_one_sigma_per_image_and_counts_in_224_pixels(photographs: Tensor) -> None:
    severities = torch.tensor([0.5, 1, 2, 4, 8, 16])
    together = GaussianBlur()(photographs, {}, severities)
    for i, severity in enumerate(severities.tolist()):
        alone = gaussian_blur(photographs[i : i + 1], torch.tensor([severity * 96 / 224]))
        torch.testing.assert_close(together[i : i + 1], alone.clamp(0, 1), rtol=0, atol=1e-6)


def test_kornia_agrees_on_a_wide_blur(photographs: Tensor) -> None:
    """A second opinion, away from the edge, where kornia mirrors differently."""
    filters = pytest.importorskip("kornia.filters")
    theirs = filters.gaussian_blur2d(photographs, (31, 31), (4.0, 4.0))
    ours = gaussian_blur(photographs, torch.full((6,), 4.0))
    torch.testing.assert_close(ours[..., 16:-16, 16:-16], theirs[..., 16:-16, 16:-16], rtol=0, atol=3e-3)


@pytest.mark.parametrize("quality", [1, 10, 25, 50, 80, 99])
def test_jpeg_is_pillows_file(photographs: Tensor, quality: int, tmp_path: Path) -> None:
    """Oracle: files written and read by Pillow with its default chroma subsampling, bit for bit."""
    ours = Jpeg()(photographs, {}, 100 - quality)
    for i, pixels in enumerate(to_bytes(photographs)):
        Image.fromarray(pixels).save(tmp_path / f"{i}.jpg", quality=quality)
        decoded = np.asarray(Image.open(tmp_path / f"{i}.jpg"))
        assert np.array_equal(to_bytes(ours)[i], decoded)
        torch.testing.assert_close(ours[i], torch.from_numpy(decoded.copy()).permute(2, 0, 1) / 255)


def test_jpeg_is_the_same_in_threads_and_without(photographs: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    severity = torch.tensor([30.0, 60, 75, 80, 90, 99])
    first = Jpeg()(photographs, {}, severity)
    for threads, threshold in ((1, 0), (2, 0), (4, 0), (2, 10**9)):
        monkeypatch.setattr("semcon.perturbations.jpeg._WORTH_A_THREAD", threshold)
        monkeypatch.setattr("torch.get_num_threads", lambda threads=threads: threads)
        assert torch.equal(Jpeg()(photographs, {}, severity), first)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_jpeg_goes_on_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the workers of a data loader: the parent's threads are not there."""
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    x = torch.full((2, 3, 224, 224), 0.5)
    context = multiprocessing.get_context("fork")
    expected, answers = float(Jpeg()(x, {}, 50.0).mean()), context.SimpleQueue()
    child = context.Process(target=_mean_of_jpeg, args=(x, answers), daemon=True)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert answers.get() == expected


def _mean_of_jpeg(x: Tensor, answers: SimpleQueue[float]) -> None:
    torch.set_num_threads(1)  # of torch itself; the number that it tells is still the patched one
    answers.put(float(Jpeg()(x, {}, 50.0).mean()))


def test_jpeg_keeps_flat_images() -> None:
    """Closed form: a flat grey block has a mean coefficient alone; at quality 90 its step is 3, 3/8 of a level."""
    flat = torch.linspace(0, 1, 6).view(6, 1, 1, 1).expand(6, 3, 16, 24)
    assert float((Jpeg()(flat, {}, 10) - flat).abs().max()) <= 1.5 / 255


def test_kornias_jpeg_is_close(photographs: Tensor) -> None:
    """A second opinion: the same quantisation tables in another implementation, to some levels of 255 on average."""
    enhance = pytest.importorskip("kornia.enhance")
    x = photographs[:, :, :96, :64]
    theirs = enhance.jpeg_codec_differentiable(x, torch.full((6,), 50.0))
    ours = Jpeg()(x, {}, 50)
    assert float((ours - theirs).abs().mean()) < 0.25 * float((ours - x).abs().mean()) + 2 / 255


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5, 6, 7])
def test_posterize_is_pils_and_torchvisions(tv: ModuleType, photographs: Tensor, severity: int) -> None:
    """Oracle: both libraries on the bytes, bit for bit."""
    ours = to_bytes(Posterize()(photographs, {}, severity))
    for i, pixels in enumerate(to_bytes(photographs)):
        assert np.array_equal(ours[i], np.asarray(ImageOps.posterize(Image.fromarray(pixels), 8 - severity)))
    theirs = tv.posterize((photographs * 255).round().byte(), 8 - severity)
    assert np.array_equal(ours, theirs.permute(0, 2, 3, 1).numpy())


def test_posterize_leaves_2_to_the_bits_levels() -> None:
    ramp = torch.linspace(0, 1, 256).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    for severity in range(1, 8):
        levels = Posterize()(ramp, {}, severity).unique() * 255
        expected = torch.arange(0, 256, 2**severity, dtype=torch.float32)
        torch.testing.assert_close(levels, expected, rtol=0, atol=1e-4)
        assert len(levels) == 2 ** (8 - severity)
        assert math.isclose(float(levels[1]), 2**severity, rel_tol=1e-5)
