"""Which layers are found: the last linear one by running order, and evenly spaced stages."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from semcon.attribution import first_tensor, last_linear, stages, watching

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Backwards(nn.Module):
    """The layer defined first runs last."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.body, self.spare = nn.Linear(4, 2), nn.Linear(192, 4), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.flatten(1)))


def conv(inputs: int = 3, outputs: int = 3) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def block() -> nn.Module:
    return nn.Sequential(conv(), nn.ReLU())


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Backwards(), "head"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2), nn.Softmax(1)), "3"),
        (nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 5, 1), nn.Flatten()), "2"),
        (nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), None),
        (nn.Sequential(nn.Linear(8, 8), nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "0"),
        (nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten()), None),
        (nn.Sequential(OrderedDict(net=nn.Sequential(nn.Flatten(), nn.Linear(192, 4)))), "net.1"),
    ],
)  # fmt: skip
def test_the_last_linear_layer_is_the_one_that_runs_last(model: nn.Module, expected: str | None) -> None:
    """Oracle: the networks as written above; 1 x 1 convolutions count on 1 x 1 maps only."""
    assert last_linear(model, X) == expected
    assert all(not module._forward_hooks for module in model.modules())


class Named(nn.Module):
    """A stem, four blocks of which one runs twice, one never, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.d, self.c, self.b, self.a = block(), block(), block(), block(), block()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.d(self.c(self.c(self.b(self.a(x)))))
        return self.head(self.pool(x).flatten(1))


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [
        (3, 4, ["0", "1", "2"]),
        (4, 4, ["0", "1", "2", "3"]),
        (7, 4, ["0", "2", "4", "6"]),
        (10, 4, ["0", "3", "6", "9"]),
        (9, 3, ["0", "4", "8"]),
        (9, 2, ["0", "8"]),
    ],
)  # fmt: skip
def test_stages_are_evenly_spaced_from_first_to_last(count: int, limit: int, expected: list[str]) -> None:
    """Oracle: places by hand where equal steps are whole numbers. Alike inside a wrapper that holds everything."""
    model = nn.Sequential(*(block() for _ in range(count)))
    assert stages(model, X, limit) == expected
    wrapped = nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(3), trunk=nn.Sequential(*model, nn.Identity()))).eval()
    assert stages(wrapped, X, limit) == [f"trunk.{name}" for name in expected]


def test_stages_run_once_in_running_order_and_have_weights() -> None:
    """Neither what runs twice or never, nor pools and heads; blocks before single layers."""
    model = Named()
    assert stages(model, X) == ["a", "b", "d"]
    assert all(not module._forward_hooks for module in model.modules())
    mixed = nn.Sequential(conv(), block(), nn.MaxPool2d(2), block(), nn.Flatten(), nn.Linear(48, 2))
    assert stages(mixed, X) == ["1", "3"]
    assert stages(nn.Sequential(conv(), nn.ReLU(), conv(), nn.Flatten()), X) == ["0", "2"]
    assert stages(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), X) == []


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (X, X), ((X, 1), X), ([None, X], X), ({"name": "z", "z": X}, X), (OrderedDict(a=X, b=-X), X), ((), None),
        ("text", None), (None, None), (({},), None),
    ],
)  # fmt: skip
def test_the_first_tensor_of_an_output(output: object, expected: Tensor | None) -> None:
    assert first_tensor(output) is expected


def test_watching_keeps_copies_and_lets_go_even_after_an_error() -> None:
    """Oracle: the first layer alone; the rectifier after it works in place."""
    model = nn.Sequential(conv(), nn.ReLU(inplace=True))
    for keep in (True, False):
        seen: list[tuple[str, object, object]] = []
        with torch.no_grad(), watching({"first": model[0], "second": model[1]}, seen, keep=keep):
            rectified = model(X)
        assert [name for name, _, _ in seen] == ["first", "second"]
        assert first_tensor(seen[0][1]) is X
        alone = model[0](X)
        torch.testing.assert_close(seen[0][2], alone if keep else alone.relu())
        torch.testing.assert_close(seen[1][2], rectified)
    with pytest.raises(RuntimeError), watching({"first": model[0]}, []):
        model(torch.rand(2, 4, 8, 8))
    assert not model[0]._forward_hooks
