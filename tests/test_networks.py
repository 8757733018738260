"""The networks for studies: parameter counts and shapes as published."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from semcon.core.errors import SemconError, UnknownNameError
from semcon.networks import build


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_small_residual_networks_have_the_published_size(depth: int, millions: float) -> None:
    """Oracles: arXiv 1512.03385 table 6, in millions to two places (0.464 and 0.853 round so), and the sum of
    its 3 x 3 convolutions, batch norms and linear layer in closed form; 6 n + 2 weighted layers.
    """
    network = build(f"resnet{depth}", 10)
    n = (depth - 2) // 6
    widths = (16, 32, 64)
    expected = 27 * 16 + 2 * 16 + 64 * 10 + 10
    for before, width in zip((16, 16, 32), widths, strict=True):
        expected += 9 * before * width + (2 * n - 1) * 9 * width * width + 2 * n * 2 * width
    assert count(network) == expected
    assert round(count(network) / 1e6, 2) == millions
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()) == depth


def test_resnet18_has_the_size_of_torchvisions_less_its_stem() -> None:
    """Oracles: 11.17 million for 10 classes; the stages of the published ResNet-18, whose 11689512 parameters include a
    7 x 7 stem (147 a filter) and 1000 classes.
    """
    network = build("resnet18", 10)
    assert count(network) == 11_689_512 - 64 * 147 + 64 * 27 - 513 * 1000 + 513 * 10
    assert round(count(network) / 1e6, 2) == 11.17


def test_small_residual_stages_halve_the_side() -> None:
    """Oracle: section 4.2, feature maps 32, 16, 8 of widths 16, 32, 64."""
    network = build("resnet20", 7).eval()
    shapes: list[tuple[int, ...]] = []
    for stage in network.get_submodule("stages"):
        stage.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape)))
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    assert shapes == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]


def test_a_shortcut_without_weights_is_the_identity_padded_with_zeros() -> None:
    """Oracle: option A of the paper: with the branch silenced, relu of every second pixel, zeros around."""
    block = build("resnet20", 10).get_submodule("stages.1.0").eval()
    nn.init.zeros_(block.get_submodule("bn2").weight)  # type: ignore[arg-type]
    x = torch.randn(2, 16, 8, 8)
    out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2].relu())
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_digits_takes_grey_images() -> None:
    """Oracle: the documented contract; small (under 30 thousand weights)."""
    network = build("digits", 10)
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert count(network) < 30_000


def test_the_seed_decides_the_weights_and_nothing_else() -> None:
    """Oracle: invariance; torch's own generator is left as it was."""
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, two, other = (build("digits", 10, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["0.0.weight"], other["0.0.weight"])


def test_wrong_names_and_counts_are_said() -> None:
    """Oracle: the message names what was meant."""
    with pytest.raises(UnknownNameError, match="resnet20"):
        build("resnet21", 10)
    with pytest.raises(SemconError, match="at least 2 classes, got 1"):
        build("digits", 1)
