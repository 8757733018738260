"""What is done to parts of the image. Oracles: the pixels themselves, counted and compared."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semcon.core.concepts import Context
from semcon.keyed import Keys
from semcon.perturbations import BackgroundSwap, PatchShuffle, Silhouette

IDS = torch.arange(6)


def images(height: int, width: int) -> Tensor:
    return torch.rand(6, 3, height, width, generator=torch.Generator().manual_seed(0))


def discs(height: int, width: int) -> Tensor:
    down, across = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return (down**2 + across**2 < 0.4).float().expand(6, 1, height, width)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 28), (33, 50), (8, 9)])
@pytest.mark.parametrize("cells", PatchShuffle.ladder)
def test_shuffling_keeps_every_pixel(height: int, width: int, cells: int) -> None:
    x = images(height, width)
    y = PatchShuffle()(x, PatchShuffle().sample(Keys(IDS), x), float(cells))
    colours = [z.flatten(2).permute(0, 2, 1).reshape(6, -1, 3) for z in (x, y)]
    for before, after in zip(*colours, strict=True):
        assert sorted(before.tolist()) == sorted(after.tolist())


def test_cells_move_as_a_whole_and_every_cell_of_the_grid_goes_everywhere() -> None:
    """An image that names its cells; 400 draws of a 2 x 2 grid."""
    names = torch.arange(4.0).view(2, 2).repeat_interleave(8, 0).repeat_interleave(8, 1) / 3
    x = names.expand(400, 3, 16, 16)
    y = PatchShuffle()(x, PatchShuffle().sample(Keys(torch.arange(400)), x), 2.0)
    cells = y.reshape(400, 3, 2, 8, 2, 8)
    assert torch.equal(cells, cells[:, :, :, :1, :, :1].expand_as(cells))
    counts = torch.stack([(cells[:, 0, :, 0, :, 0].reshape(400, 4) * 3).round() == cell for cell in range(4)])
    assert bool((counts.sum(1) > 60).all())  # 100 expected, in each place


def test_severity_1_is_the_whole_image() -> None:
    x = images(20, 21)
    assert torch.equal(PatchShuffle()(x, PatchShuffle().sample(Keys(IDS), x), 1.0), x)


def test_the_same_permutation_at_every_size() -> None:
    """A picture of its cells, at two sizes, shuffled: still the same picture."""
    small = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    moved = []
    for factor in (3, 8):
        x = small.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        moved.append(PatchShuffle()(x, PatchShuffle().sample(Keys(IDS), x), 4.0)[:, :, ::factor, ::factor])
    assert torch.equal(*moved)


def test_a_silhouette_is_black_on_white() -> None:
    x, mask = images(24, 30), discs(24, 30)
    y = Silhouette()(x, {}, 1.0, Context(mask))
    assert torch.equal(y, (1 - mask).expand_as(y))
    y = Silhouette(fill=0.75, ground=0.25)(x, {}, 1.0, Context(mask))
    assert y.unique().tolist() == [0.25, 0.75]


def test_a_swap_leaves_the_object_and_changes_all_else() -> None:
    x, mask = images(24, 30), discs(24, 30)
    y = BackgroundSwap()(x, BackgroundSwap().sample(Keys(IDS), x), 1.0, Context(mask))
    inside = mask.bool().expand_as(x)
    assert torch.equal(y[inside], x[inside])
    changed = (y != x).any(dim=1, keepdim=True)
    assert bool(changed[mask == 0].all())


def test_backgrounds_differ_from_image_to_image_and_not_from_batch_to_batch() -> None:
    x, mask = images(16, 16), torch.zeros(6, 1, 16, 16)
    together = BackgroundSwap()(x, BackgroundSwap().sample(Keys(IDS), x), 1.0, Context(mask))
    alone = BackgroundSwap()(x[4:5], BackgroundSwap().sample(Keys(IDS[4:5]), x[4:5]), 1.0, Context(mask[4:5]))
    torch.testing.assert_close(alone[0], together[4], rtol=0, atol=1e-6)
    apart = (together[:, None] - together[None]).abs().mean(dim=(2, 3, 4)) + torch.eye(6)
    assert float(apart.min()) > 0.02
    assert float(together.std(dim=(2, 3)).mean()) > 0.02
