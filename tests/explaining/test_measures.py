"""Likeness, curves, fidelity, imputation and focus against scipy, scikit-image, loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse, stats
from scipy.sparse.linalg import spsolve
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.explaining.curves import area, baseline, deletion, insertion, places
from semcon.explaining.fidelity import Removals, infidelity, max_sensitivity
from semcon.explaining.focus import entropy, gini, mask_iou, mass_inside, pointing_game
from semcon.explaining.imputation import impute
from semcon.explaining.likeness import (
    cosine,
    likeness,
    most_important,
    rank_correlation,
    rank_correlation_of_support,
    ssim,
    top_overlap,
)
from semcon.explaining.randomised import randomised
from semcon.explanations import Gradient, InputXGradient, Rise
from semcon.keyed import Keys
from semcon.subject import Subject

SIZE = 12
KEYS = Keys(torch.arange(3))


def maps(seed: int, count: int = 3) -> Tensor:
    return torch.randn(count, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def linear(scale: float = 1.0) -> Subject:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.Linear(3 * SIZE * SIZE, 2)
    layer.weight.data *= scale
    return Subject(nn.Sequential(nn.Flatten(), layer), name="linear", canvas=Canvas(SIZE, SIZE))


def test_a_map_is_like_itself_and_unlike_its_negative() -> None:
    a = maps(0)
    for values in likeness(a, 3 * a).values():
        torch.testing.assert_close(values, torch.ones(3))
    for measure in (rank_correlation, cosine):
        torch.testing.assert_close(measure(a, -a), -torch.ones(3))
    assert (top_overlap(a, -a) == 0).all()
    assert (ssim(a, -a) < 0).all()


def test_rank_correlation_is_scipys_with_ties() -> None:
    a, b = maps(0).relu(), maps(1).round()
    expected = [stats.spearmanr(one.flatten(), other.flatten()).statistic for one, other in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), expected, atol=1e-6)


def test_common_zeros_are_no_likeness() -> None:
    """Oracle: scipy on what is left; and two unrelated maps of one patch are not alike because of what lies around."""
    a, b = maps(0).relu(), maps(1).relu()
    kept = [((one != 0) | (other != 0)).flatten() for one, other in zip(a, b, strict=True)]
    expected = [
        stats.spearmanr(one.flatten()[own], other.flatten()[own]).statistic
        for one, other, own in zip(a, b, kept, strict=True)
    ]
    assert not all(own.all() for own in kept)
    np.testing.assert_allclose(rank_correlation_of_support(a, b), expected, atol=1e-6)
    torch.testing.assert_close(
        rank_correlation_of_support(maps(0) + 9, maps(1) + 9), rank_correlation(maps(0), maps(1))
    )
    noise = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noise[:, :, :, 8:] = 0
    assert (rank_correlation(*noise) > 0.9).all()
    assert (rank_correlation_of_support(*noise).abs() < 0.25).all()
    assert torch.isnan(rank_correlation_of_support(a, torch.zeros_like(a))).all()


def test_ssim_is_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (torch.randn(2, 24, 20, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    b = a + 0.5 * b
    scaled = [(0.5 + one / one.abs().amax((1, 2), keepdim=True) / 2).double().numpy() for one in (a, b)]
    expected = [
        metrics.structural_similarity(
            one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
        )
        for one, other in zip(*scaled, strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b), expected, atol=1e-5)


def test_blank_maps_are_like_nothing() -> None:
    for values in likeness(torch.zeros(3, SIZE, SIZE), maps(0)).values():
        assert values.isnan().all()


def test_top_overlap_of_independent_maps_is_the_share() -> None:
    a, b = (torch.randn(400, 20, 20, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert float(top_overlap(a, b).mean()) == pytest.approx(0.1, abs=0.01)


def test_the_zeros_of_a_sparse_map_are_not_important() -> None:
    """Two maps of one pixel each have nothing in common unless it is the same pixel; a region is in or out whole."""
    one, other = torch.zeros(1, 20, 20), torch.zeros(1, 20, 20)
    one[0, 3, 4], other[0, 9, 9] = 1, 1
    assert float(top_overlap(one, other)) == 0
    assert float(top_overlap(one, one)) == 1
    region = torch.zeros(1, 20, 20)
    region[0, :6] = 2.0
    assert most_important(region, 0.1).sum() == 120
    region[0, :1] = 3.0
    assert most_important(region, 0.1).sum() == 20
    region[0, 1:2, :19] = 2.5
    assert most_important(region, 0.1).sum() == 39


def test_equal_values_have_no_order_of_their_own() -> None:
    """Of a blank map a random half lies on either side, not the upper half of the picture."""
    gone = places(torch.zeros(1, 20, 20)) < 200
    assert 70 < int(gone[0, :10].sum()) < 130


def test_deletion_is_a_loop_and_insertion_its_mirror() -> None:
    subject, x, own = linear(), torch.rand(3, 3, SIZE, SIZE), maps(2)
    target, shares = torch.tensor([0, 1, 1]), torch.tensor([0.0, 0.25, 0.5, 1.0])
    ground = baseline("mean", x, KEYS)
    with torch.no_grad():
        curve = deletion(subject, x, target, own, ground, shares)
        for image in range(3):
            order = own[image].flatten().argsort(descending=True)
            for row, share in enumerate(shares.tolist()):
                copy = x[image].clone().flatten(1)
                gone = order[: round(share * SIZE * SIZE)]
                copy[:, gone] = ground[image].flatten(1)[:, gone]
                found = subject(copy.view(1, 3, SIZE, SIZE)).softmax(1)[0, target[image]]
                torch.testing.assert_close(curve[row, image], found)
        mirrored = insertion(subject, ground, target, own, x, shares)
    torch.testing.assert_close(mirrored, curve)
    assert float(area(torch.tensor([[1.0], [0.0]]), torch.tensor([0.0, 1.0]))) == 0.5
    assert torch.equal(places(torch.tensor([[[3.0, 1.0], [1.0, 5.0]]])), torch.tensor([[[1, 2], [3, 0]]]))


@pytest.mark.parametrize("kind", ["black", "mean", "blur", "noise"])
def test_baselines_keep_the_canvas_and_the_batch_out(kind: str) -> None:
    x = torch.rand(3, 3, SIZE, SIZE)
    ground = baseline(kind, x, KEYS)
    assert ground.shape == x.shape
    assert ((ground >= 0) & (ground <= 1)).all()
    torch.testing.assert_close(baseline(kind, x[1:2], KEYS.of(torch.tensor([1]))), ground[1:2])


def test_a_linear_models_weights_foretell_every_removal() -> None:
    """The fall of the logit is the sum of w (x - colour) in the square: infidelity 0; a map of zeros tells nothing."""
    subject, x, target = linear(), torch.rand(3, 3, SIZE, SIZE), torch.tensor([0, 1, 1])
    with torch.no_grad():
        removed = Removals.drawn(subject, x, target, KEYS, 40)
    layer = next(one for one in subject.module.modules() if isinstance(one, nn.Linear))  # pyright: ignore[reportOptionalMemberAccess]
    weight = layer.weight.detach().view(2, 3, SIZE, SIZE)[target]
    own = (weight * (x - x.mean((2, 3), keepdim=True))).sum(1)
    assert (infidelity(removed.told_by(own), removed.drop) < 1e-9).all()
    assert (infidelity(removed.told_by(5 * own), removed.drop, scaled=True) < 1e-6).all()
    for nothing in (torch.zeros(40, 3), -removed.drop):
        assert (infidelity(nothing, removed.drop, scaled=True) == 1).all()
    told = torch.tensor([[1.0], [2.0]])
    assert float(infidelity(told, torch.tensor([[0.0], [4.0]]))) == 2.5
    assert (removed.where.sum((2, 3)) == 9).all()


def test_a_linear_models_gradient_is_not_sensitive() -> None:
    """It is the same everywhere; input times gradient moves by at most the noise."""
    subject, x, target = linear(), torch.rand(3, 3, SIZE, SIZE), torch.tensor([0, 1, 1])
    assert (max_sensitivity(Gradient(), subject, x, target, KEYS, draws=3) == 0).all()
    own = InputXGradient()
    few, many = (max_sensitivity(own, subject, x, target, KEYS, draws=draws) for draws in (1, 4))
    assert ((few > 0) & (many >= few) & (many < 0.2)).all()


def test_sensitivity_is_a_loop_over_draws() -> None:
    """However many draws go through the network together, also where the explanation draws numbers of its own."""
    subject, x, target = linear(), torch.rand(3, 3, SIZE, SIZE), torch.tensor([0, 1, 1])
    own = Rise(samples=8, cells=3)
    maps, noise = own(subject, x, target, KEYS), KEYS.within("sensitivity")
    moved = [x + 0.02 * noise.signed(f"noise {draw}", (3, SIZE, SIZE)) for draw in range(30)]
    change = torch.stack([own(subject, one, target, KEYS) - maps for one in moved]).flatten(2).norm(dim=2).amax(0)
    found = max_sensitivity(own, subject, x, target, KEYS, draws=30)
    torch.testing.assert_close(found, change / maps.flatten(1).norm(dim=1))


def test_curves_and_removals_build_no_graph() -> None:
    subject, x, target = linear(), torch.rand(3, 3, SIZE, SIZE), torch.tensor([0, 1, 1])
    assert subject(x).requires_grad
    assert not deletion(subject, x, target, maps(0), torch.zeros_like(x), torch.tensor([0.5])).requires_grad
    assert not Removals.drawn(subject, x, target, KEYS, 2).drop.requires_grad


def test_imputation_solves_the_published_system() -> None:
    """The sparse system of the source, by scipy, without noise."""
    x = torch.rand(2, 3, SIZE, SIZE)
    gone = torch.rand(2, SIZE, SIZE, generator=torch.Generator().manual_seed(5)) < 0.7
    found = impute(x, gone, Keys(torch.arange(2)), noise=0.0)
    for image in range(2):
        index = {(int(r), int(c)): n for n, (r, c) in enumerate(torch.nonzero(gone[image]).tolist())}
        matrix, right = sparse.lil_matrix((len(index), len(index))), np.zeros((len(index), 3))
        for (row, column), place in index.items():
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    near = row + down, column + across
                    if (down, across) == (0, 0) or not (0 <= near[0] < SIZE and 0 <= near[1] < SIZE):
                        continue
                    weight = 1 / 6 if 0 in (down, across) else 1 / 12
                    matrix[place, place] += weight
                    if near in index:
                        matrix[place, index[near]] -= weight
                    else:
                        right[place] += weight * x[image, :, near[0], near[1]].numpy()
        solved = spsolve(matrix.tocsr(), right)
        np.testing.assert_allclose(found[image][:, gone[image]].T, solved, atol=1e-3)
        assert torch.equal(found[image][:, ~gone[image]], x[image][:, ~gone[image]])


def test_focus_on_one_patch() -> None:
    """All inside: 1, 1, 1; all outside: 0, 0, 0; everywhere alike: the patch's share; no object: unknown."""
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 2:5, 3:7] = 1
    for measure in (mass_inside, pointing_game, mask_iou):
        assert float(measure(mask, mask)) == 1
        assert float(measure(1 - mask, mask)) == 0
        assert measure(mask, torch.zeros_like(mask)).isnan().all()
    assert float(mass_inside(torch.ones_like(mask), mask)) == pytest.approx(12 / SIZE**2)
    assert float(mass_inside(mask - 5 * (1 - mask), mask)) == 1  # what speaks against the class does not count
    half = mask.clone()
    half[:, 8, 8] = 1
    assert float(pointing_game(half, mask)) == pytest.approx(12 / 13)


def test_concentration_of_one_pixel_and_of_all() -> None:
    one, every = torch.zeros(1, 4, 4), torch.full((1, 4, 4), -2.0)
    one[0, 1, 2] = 3
    assert float(gini(one)) == pytest.approx(15 / 16)
    assert float(gini(every)) == pytest.approx(0, abs=1e-7)
    assert float(entropy(one)) == 0
    assert float(entropy(every)) == pytest.approx(1)
    values = torch.tensor([[[1.0, 2], [3, 4]]])
    differences = sum(abs(a - b) for a in range(1, 5) for b in range(1, 5))
    assert float(gini(values)) == pytest.approx(differences / (2 * 4 * 10))
    share = values.flatten() / 10
    assert float(entropy(values)) == pytest.approx(float(-(share * share.log()).sum()) / math.log(4))


def test_shuffled_weights_are_the_same_weights_elsewhere() -> None:
    subject = linear()
    other = randomised(subject, 1)
    assert other is not None
    ours, theirs = (dict(one.module.named_parameters()) for one in (subject, other))  # pyright: ignore[reportOptionalMemberAccess]
    for name, value in ours.items():
        assert torch.equal(value.flatten().sort().values, theirs[name].flatten().sort().values)
    x, target = torch.rand(3, 3, SIZE, SIZE), torch.tensor([0, 1, 1])
    own, shuffled = (InputXGradient()(one, x, target, KEYS) for one in (subject, other))
    assert (rank_correlation(own, shuffled).abs() < 0.5).all()
    assert randomised(Subject(lambda x: x.mean((2, 3)), name="box", canvas=Canvas(SIZE, SIZE))) is None
