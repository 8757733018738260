"""What every model source keeps, tested once over the folder; a new file needs a case that builds a small network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from semcon.built import Built, build_subject
from semcon.core.registry import available, load
from semcon.recipes.sources import parse_model
from semcon.torchvision_import import import_torchvision

CODE = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(900, 5))
"""
NAMES = available("models")
Make = Callable[[str | None], Any]


def file(root: Path) -> Make:
    (root / "model.py").write_text(CODE)
    return lambda weights: load("models", "file")(str(root / "model.py"), "net", weights)


def timm(_: Path) -> Make:
    import_torchvision()
    pytest.importorskip("timm")
    return lambda weights: load("models", "timm")("test_resnet.r160_in1k", weights)


def torchvision(_: Path) -> Make:
    import_torchvision()
    return lambda weights: load("models", "torchvision")("shufflenet_v2_x0_5", weights)


def module(_: Path) -> Make:
    """The user's own network, handed over as it is: the mode is the user's, and a check looks at it."""
    namespace: dict[str, Any] = {}
    exec(CODE, namespace)
    network = namespace["net"]().eval()
    return lambda weights: load("models", "module")(network)


def network(_: Path) -> Make:
    return lambda weights: load("models", "network")("digits/5", weights)


def run(root: Path) -> Make:
    """A training of one step."""
    from semcon.recipes.train import train

    recipe = {"model": "network:digits", "data": "builtin:shapes", "limit": 20, "objective": "cross_entropy"}
    folder = train(recipe | {"steps": 1, "batch_size": 8, "device": "cpu"}, out=root / "run")
    return lambda weights: load("models", "run")(str(folder), weights)


CASES = {
    "file": file, "timm": timm, "torchvision": torchvision, "module": module, "network": network, "run": run,
}  # fmt: skip


@pytest.fixture(scope="module", params=NAMES)
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`make(weights)`: a source of one kind that needs no network access with weights "none" or from a file."""
    return CASES[request.param](tmp_path_factory.mktemp(request.param))


def logits(built: Built) -> torch.Tensor:
    """Of three pictures, by the subject that an audit makes of it."""
    subject = build_subject(
        built, mean=None, std=None, size=None, classes=None, device="cpu", precision="32", common_size=(32, 32),
        name=None,
    )  # fmt: skip
    x = torch.rand(3, 3, subject.canvas.height, subject.canvas.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = subject(x)
    subject.release()
    return found


def test_every_source_has_a_case_here() -> None:
    assert set(CASES) == set(NAMES)


def test_a_source_is_a_frozen_description(make: Make) -> None:
    """Making one does nothing: two of the same words are equal, and none can be changed."""
    source = make("none")
    assert source == make("none")
    name = dataclasses.fields(source)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(source, name, None)


def test_the_network_is_in_eval_mode(make: Make) -> None:
    network = make("none").build().model
    assert isinstance(network, nn.Module)
    assert not any(part.training for part in network.modules())


def test_the_logits_are_finite_and_named_rightly(make: Make) -> None:
    built = make("none").build()
    found = logits(built)
    assert found.shape[0] == 3
    assert found.shape[1] > 1
    assert bool(torch.isfinite(found).all())
    assert built.name
    assert built.classes is None or len(built.classes) == found.shape[1]


def test_the_source_text_builds_it_again(make: Make) -> None:
    """Oracle: the text parsed as a user's; only what is in memory alone has no such text."""
    built = make("none").build()
    if built.source.startswith("python:"):
        return
    again = parse_model(built.source, "none").build()
    shapes = {key: value.shape for key, value in built.model.state_dict().items()}
    assert {key: value.shape for key, value in again.model.state_dict().items()} == shapes
    changed = {"model": None}
    assert dataclasses.replace(again, **changed) == dataclasses.replace(built, **changed)


def test_weights_from_a_file_are_the_networks(make: Make, tmp_path: Path) -> None:
    """Oracle: the network that they were saved from; the file is told as it was given."""
    first = make("none").build()
    path = str(tmp_path / "w.safetensors")
    save_file(first.model.state_dict(), path)
    built = make(path).build()
    torch.testing.assert_close(logits(built), logits(first), rtol=0, atol=0)
    assert built.weights == (None if built.source.startswith("python:") else path)
