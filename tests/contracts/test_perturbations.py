"""What every perturbation keeps, tested once over the folder: a new file is covered by being there."""

from __future__ import annotations

import dataclasses
import math
import pickle
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.core.errors import SemconError
from semcon.core.registry import available, load
from semcon.keyed import Keys

NAMES = available("perturbations")
FAMILIES = {
    "photometric", "noise", "blur_and_coding", "geometry", "weather", "occlusion", "frequency", "shape_and_texture",
    "additive_ball",
}  # fmt: skip
SIZES = [(8, 8), (9, 31), (40, 24)]
IDS = torch.tensor([3, 2**40 + 1, 7, 2**62, 11, 5, 2**33])


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def perturbation(name: str) -> Perturbation:
    return load("perturbations", name)()


def photographs(size: int = 64) -> Tensor:
    """Four real crops (scikit-learn's photographs), or clouds with the spectrum of photographs where it is absent."""
    try:
        from sklearn.datasets import load_sample_image
    except ImportError:
        rows, columns = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
        spectrum = (rows**2 + columns**2).sqrt().clamp_min(1 / size).reciprocal()
        noise = torch.randn(4, 3, size, size // 2 + 1, dtype=torch.cfloat, generator=torch.Generator().manual_seed(0))
        clouds = torch.fft.irfft2(noise * spectrum, s=(size, size))
        return (clouds / clouds.std() / 5 + 0.5).clamp(0, 1)
    crops = []
    for photograph in ("china.jpg", "flower.jpg"):
        image = torch.from_numpy(load_sample_image(photograph).copy()).permute(2, 0, 1)[None].float() / 255
        for left in (0, 200):
            crop = image[..., left : left + 427]
            crops.append(torch.nn.functional.interpolate(crop, (size, size), mode="bilinear", antialias=True))
    return torch.cat(crops).clamp(0, 1)


def noise_images(batch: int, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random values: no two channels alike, the strictest of images."""
    return torch.rand(batch, 3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(1))


def keys(name: str, ids: Tensor = IDS, draw: int = 0, seed: int = 0) -> Keys:
    return Keys(ids, seed, draw, name)


def known(perturbation: Perturbation, x: Tensor) -> Context | None:
    """A mask where the perturbation says that it needs one: the bright pixels, so none of a black image."""
    return Context(mask=(x.mean(1, keepdim=True) > 0.5).to(x)) if perturbation.needs_mask else None


def ladder(perturbation: Perturbation, batch: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A severity per sample, going round the ladder."""
    rungs = [float(perturbation.ladder[i % len(perturbation.ladder)]) for i in range(batch)]
    return torch.tensor(rungs, dtype=dtype)


def test_facts_are_declared(perturbation: Perturbation) -> None:
    assert perturbation.family in FAMILIES
    assert perturbation.unit
    assert perturbation.source
    assert perturbation.kind in {"continuous", "discrete", "binary"}
    assert perturbation.parameters in {"box", "ball", "unbounded", "fixed"}
    assert perturbation.version >= 1
    first_line = (type(perturbation).__doc__ or "").splitlines()[0]
    assert first_line.count(" ") > 3, "a sentence, not what dataclasses write by themselves"
    rungs = perturbation.ladder
    assert len(rungs) == (1 if perturbation.kind == "binary" else 5)
    assert list(rungs) == sorted(set(rungs))
    assert all(perturbation.check_severity(rung) == rung > 0 for rung in rungs)


def test_it_is_frozen_comparable_and_picklable(perturbation: Perturbation) -> None:
    """Settings travel between processes, and runs are told apart by them."""
    assert dataclasses.is_dataclass(perturbation)
    assert type(perturbation).__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(perturbation)) == perturbation == type(perturbation)()
    assert hash(perturbation) == hash(type(perturbation)())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_severity_0_is_the_identity(perturbation: Perturbation, name: str, dtype: torch.dtype) -> None:
    x = noise_images(7, 12, 9, dtype)
    unit = perturbation.sample(keys(name), x)
    assert torch.equal(perturbation(x, unit, 0.0, known(perturbation, x)), x)
    severity = ladder(perturbation, 7, dtype)
    severity[[1, 4]] = 0
    mixed = perturbation(x, unit, severity, known(perturbation, x))
    assert torch.equal(mixed[[1, 4]], x[[1, 4]])


def test_draws_belong_to_the_sample(perturbation: Perturbation, name: str) -> None:
    """Seven together, in another order, and one by one: the same parameters."""
    x = noise_images(7, 10, 8)
    together = perturbation.sample(keys(name), x)
    order = torch.tensor([6, 2, 0, 5, 1, 4, 3])
    shuffled = perturbation.sample(keys(name, IDS[order]), x[order])
    for parameter, value in together.items():
        assert len(value) == 7
        torch.testing.assert_close(shuffled[parameter], value[order], rtol=1e-6, atol=1e-7)
        for i in range(7):
            alone = perturbation.sample(keys(name, IDS[i : i + 1]), x[i : i + 1])
            torch.testing.assert_close(alone[parameter][0], value[i], rtol=1e-6, atol=1e-7)


def test_other_keys_give_other_draws(perturbation: Perturbation, name: str) -> None:
    x = noise_images(7, 10, 8)
    first = perturbation.sample(keys(name), x)
    for other in (keys(name, draw=1), keys(name, seed=1), keys("else"), keys(name, IDS + 1)):
        unit = perturbation.sample(other, x)
        assert all(not torch.equal(unit[parameter], value) for parameter, value in first.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_lie_in_the_declared_set(perturbation: Perturbation, name: str, dtype: torch.dtype) -> None:
    x = noise_images(200, 8, 9, dtype)
    unit = perturbation.sample(keys(name, torch.arange(200)), x)
    assert all(value.dtype == dtype and value.device == x.device for value in unit.values())
    if perturbation.parameters == "fixed":
        assert unit == {}
    elif perturbation.parameters == "box":
        assert all(float(value.abs().max()) <= 1 for value in unit.values())
        assert all(float(value.max()) > 0.9 and float(value.min()) < -0.9 for value in unit.values())
    elif perturbation.parameters == "ball":
        (value,) = unit.values()
        norms = value.flatten(1).norm(dim=1)
        assert 0.5 < float(norms.min()) <= float(norms.max()) <= 1 + 1e-6
    else:
        assert unit


def test_a_batch_of_one_equals_a_batch_of_many(perturbation: Perturbation, name: str) -> None:
    """With a severity per sample. Oracle: each image alone."""
    x, severity = noise_images(7, 20, 14), ladder(perturbation, 7)
    together = perturbation(x, perturbation.sample(keys(name), x), severity, known(perturbation, x))
    for i in range(7):
        one = slice(i, i + 1)
        unit = perturbation.sample(keys(name, IDS[one]), x[one])
        alone = perturbation(x[one], unit, float(severity[i]), known(perturbation, x[one]))
        torch.testing.assert_close(alone, together[one], rtol=0, atol=2e-6)


def test_nothing_given_is_changed_and_a_second_call_agrees(perturbation: Perturbation, name: str) -> None:
    x, severity = noise_images(7, 16, 16), ladder(perturbation, 7)
    unit = perturbation.sample(keys(name), x)
    before = x.clone(), {k: v.clone() for k, v in unit.items()}, severity.clone()
    first = perturbation(x, unit, severity, known(perturbation, x))
    assert torch.equal(x, before[0])
    assert all(torch.equal(unit[k], v) for k, v in before[1].items())
    assert torch.equal(severity, before[2])
    assert torch.equal(perturbation(x, unit, severity, known(perturbation, x)), first)
    first.fill_(0.5)
    assert torch.equal(x, before[0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_range_shape_and_type(perturbation: Perturbation, name: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    """Any size from 8 pixels, square or not; black, white, grey and one-colour images too."""
    x = noise_images(7, *size, dtype)
    x[0], x[1], x[2], x[3, 1:] = 0, 1, 0.5, 0
    unit = perturbation.sample(keys(name), x)
    for rung in (*perturbation.ladder, min(perturbation.maximum, 1000.0)):
        y = perturbation(x, unit, float(rung), known(perturbation, x))
        assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
        assert bool(y.isfinite().all())
        assert 0 <= float(y.min()) <= float(y.max()) <= 1


def test_memory_layout_does_not_matter(perturbation: Perturbation, name: str) -> None:
    x = noise_images(4, 16, 12)
    severity = ladder(perturbation, 4)
    unit = perturbation.sample(keys(name, IDS[:4]), x)
    expected = perturbation(x, unit, severity, known(perturbation, x))
    for layout in (x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT):
        copy = perturbation(layout, unit, severity, known(perturbation, layout))
        torch.testing.assert_close(copy, expected, rtol=0, atol=2e-6)
    grey = x[:, :1].expand(-1, 3, -1, -1)
    where = known(perturbation, grey)
    copy = perturbation(grey, unit, severity, where)
    torch.testing.assert_close(copy, perturbation(grey.clone(), unit, severity, where))


def test_every_rung_changes_photographs(perturbation: Perturbation, name: str) -> None:
    x = photographs()
    unit = perturbation.sample(keys(name, IDS[:4]), x)
    for rung in perturbation.ladder:
        assert float((perturbation(x, unit, float(rung), known(perturbation, x)) - x).abs().mean()) > 1e-4


@pytest.mark.parametrize("draw", [0, 1, 2])
def test_pixel_change_never_falls_where_declared(perturbation: Perturbation, name: str, draw: int) -> None:
    """On every photograph, with the same draw, over the ladder and halfway between its rungs."""
    if not perturbation.monotone:
        pytest.skip("not declared; test_perturbations_monotone shows an image for which it falls")
    x = photographs()
    unit = perturbation.sample(keys(name, IDS[:4], draw), x)
    severities = [float(rung) for rung in perturbation.ladder]
    if perturbation.kind == "continuous":
        severities = sorted([*severities, *((a + b) / 2 for a, b in pairwise(severities))])
    copies = [perturbation(x, unit, s, known(perturbation, x)) for s in severities]
    changes = torch.stack([(copy - x).abs().mean(dim=(1, 2, 3)) for copy in copies])
    assert bool((changes.diff(dim=0) >= -1e-7).all())


def test_bad_severities_are_refused(perturbation: Perturbation, name: str) -> None:
    bad = [-1.0, math.nan, math.inf, -math.inf]
    if math.isfinite(perturbation.maximum):
        bad.append(perturbation.maximum * 1.01 + 1)
    if perturbation.kind != "continuous":
        bad.append(0.5)
    for severity in bad:
        with pytest.raises(SemconError, match=f"severity of {name} "):
            perturbation.check_severity(severity)
    assert perturbation.check_severity(0) == 0
    if math.isfinite(perturbation.maximum):
        assert perturbation.check_severity(perturbation.maximum) == perturbation.maximum


def test_gradients_are_as_declared(perturbation: Perturbation, name: str) -> None:
    x = noise_images(2, 9, 8).requires_grad_()
    severity = ladder(perturbation, 2)
    drawn = perturbation.sample(keys(name, IDS[:2]), x.detach())
    where = known(perturbation, x.detach())
    assert perturbation.apply(x, drawn, severity, where).requires_grad == perturbation.image_gradient
    if drawn:
        unit = {k: v.requires_grad_() for k, v in drawn.items()}
        assert perturbation.apply(x.detach(), unit, severity, where).requires_grad == perturbation.parameter_gradient


def test_gradient_to_the_image(perturbation: Perturbation, name: str) -> None:
    """Oracle: finite differences in double precision, at interior points, by torch.autograd.gradcheck."""
    if not perturbation.image_gradient:
        pytest.skip("declared without")
    x, unit, severity = _interior(perturbation, name)
    where = known(perturbation, x)
    assert torch.autograd.gradcheck(lambda v: perturbation.apply(v, unit, severity, where), (x.requires_grad_(),))


def test_gradient_to_the_parameters(perturbation: Perturbation, name: str) -> None:
    """Oracle: finite differences in double precision, at interior points, by torch.autograd.gradcheck."""
    x, unit, severity = _interior(perturbation, name)
    if not unit or not perturbation.parameter_gradient:
        pytest.skip("declared without")
    names, values = zip(*unit.items(), strict=True)

    def of_parameters(*given: Tensor) -> Tensor:
        return perturbation.apply(x, dict(zip(names, given, strict=True)), severity, known(perturbation, x))

    assert torch.autograd.gradcheck(of_parameters, tuple(v.requires_grad_() for v in values))


def test_gradients_are_finite_everywhere(perturbation: Perturbation, name: str) -> None:
    """Black, white, grey and saturated pixels, severity 0 beside others: no NaN reaches the image or a parameter."""
    if not perturbation.image_gradient:
        pytest.skip("declared without")
    x = noise_images(7, 10, 8)
    x[0], x[1], x[2], x[3, 1:] = 0, 1, 0.5, 0
    x.requires_grad_()
    unit = {k: v.requires_grad_() for k, v in perturbation.sample(keys(name), x.detach()).items()}
    severity = ladder(perturbation, 7)
    severity[5] = 0
    where = known(perturbation, x.detach())
    perturbation(x, unit, severity, where).square().sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    for value in unit.values() if perturbation.parameter_gradient else ():
        assert value.grad is not None
        assert bool(value.grad.isfinite().all())


def test_where_the_object_is_must_be_known(perturbation: Perturbation, name: str) -> None:
    if not perturbation.needs_mask:
        pytest.skip("needs no mask")
    x = noise_images(2, 9, 8)
    with pytest.raises(SemconError, match=f"{name} needs to know where the object is"):
        perturbation(x, perturbation.sample(keys(name, IDS[:2]), x), 1.0)


def test_maps_move_with_the_image(perturbation: Perturbation, name: str) -> None:
    """What moves pixels carries the image itself along, and any number of channels; all else leaves maps alone."""
    x, severity = noise_images(7, 12, 16), ladder(perturbation, 7)
    severity[2] = 0
    unit = perturbation.sample(keys(name), x)
    carried = perturbation.carry(x, unit, severity)
    if perturbation.moves_pixels:
        torch.testing.assert_close(carried, perturbation(x, unit, severity), rtol=0, atol=1e-6)
        signed_map = 10 * x[:, :1] - 5
        moved = 10 * carried[:, :1] - 5
        torch.testing.assert_close(perturbation.carry(signed_map, unit, severity), moved, rtol=0, atol=1e-4)
    else:
        assert carried is x
    assert perturbation.moves_pixels == (perturbation.family == "geometry" or name == "patch_shuffle")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same(perturbation: Perturbation, name: str) -> None:
    x, severity = noise_images(7, 24, 18), ladder(perturbation, 7)
    here = perturbation(x, perturbation.sample(keys(name), x), severity, known(perturbation, x))
    there = x.cuda()
    unit = perturbation.sample(keys(name, IDS.cuda()), there)
    y = perturbation(there, unit, severity.cuda(), known(perturbation, there))
    assert y.device == there.device
    torch.testing.assert_close(y.cpu(), here, rtol=0, atol=1e-4)


def _interior(perturbation: Perturbation, name: str) -> tuple[Tensor, Unit, Tensor]:
    """Double-precision values well inside [0, 1], where clipping, kinks and ties are away."""
    x = noise_images(2, 8, 9, torch.float64) * 0.4 + 0.3
    unit = perturbation.sample(keys(name, IDS[:2]), x)
    return x, unit, x.new_full((2,), float(perturbation.ladder[min(1, len(perturbation.ladder) - 1)]))
