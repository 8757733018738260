"""What every representation keeps, tested once over the folder: a new file is covered by being there."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch
from torch import Tensor, nn

from semcon.canvas import Canvas
from semcon.core.concepts import Representation, View
from semcon.core.registry import available, load
from semcon.representations import Layer, Logits, Pixels, Probabilities
from semcon.subject import Subject
from semcon.torchvision_import import import_torchvision

NAMES = available("representations")


class Small(nn.Module):
    """(B, 3, 12, 12) -> (B, 5), its last linear layer not the last one defined."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.conv, self.head, self.hidden = nn.Conv2d(3, 4, 3, 2), nn.Linear(7, 5), nn.Linear(100, 7)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.conv(x).flatten(1))))


@pytest.fixture(params=NAMES)
def representation(request: pytest.FixtureRequest) -> Representation:
    """With the layer `conv` for every setting that has no default."""
    kind = load("representations", request.param)
    return kind(*("conv" for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING))


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(Small(), name="small", canvas=Canvas(12, 12), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


def canvases(n: int = 6, size: int = 12) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_facts_are_declared(representation: Representation) -> None:
    assert representation.name
    assert representation.gives in {"vector", "probabilities", "scores"}
    assert all(isinstance(layer, str) for layer in representation.layers)
    assert (type(representation).__doc__ or "").splitlines()[0].count(" ") > 2
    assert pickle.loads(pickle.dumps(representation)) == representation
    assert hash(representation) == hash(pickle.loads(pickle.dumps(representation)))


def test_one_finite_tensor_per_image_with_a_gradient(representation: Representation, subject: Subject) -> None:
    x = canvases().requires_grad_()
    z = representation(subject.view(x, representation.layers))
    assert len(z) == 6
    assert z.dim() >= 2
    assert z.dtype == torch.float32
    (gradient,) = torch.autograd.grad(z.square().sum(), x)
    assert bool(z.isfinite().all())
    assert bool(gradient.isfinite().all())
    assert bool(gradient.flatten(1).any(1).all())


def test_an_image_is_itself_in_any_batch(representation: Representation, subject: Subject) -> None:
    """Oracle: each image alone, and the batch backwards."""
    x = canvases()
    together = representation(subject.view(x, representation.layers))
    backwards = representation(subject.view(x.flip(0), representation.layers))
    torch.testing.assert_close(backwards.flip(0), together, rtol=1e-5, atol=1e-6)
    for i in range(6):
        alone = representation(subject.view(x[i : i + 1], representation.layers))
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-5, atol=1e-6)


def test_the_view_is_untouched(representation: Representation, subject: Subject) -> None:
    view = subject.view(canvases(), representation.layers)
    before = [part.clone() for part in (view.canvas, view.logits, *view.layers.values())]
    representation(view)
    after = [view.canvas, view.logits, *view.layers.values()]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_what_softmax_cannot_see_changes_nothing(representation: Representation, subject: Subject) -> None:
    """A function of the image, large and different for each, added to all its logits. Invariant of softmax."""
    view = subject.view(canvases(), representation.layers)
    shift = 100 * view.canvas.mean((1, 2, 3))[:, None]
    shifted = View(view.canvas, view.logits + shift, view.layers)
    torch.testing.assert_close(representation(shifted), representation(view), rtol=1e-4, atol=1e-4)


def test_scores_and_probabilities_are_what_they_say(representation: Representation, subject: Subject) -> None:
    """Oracles: the arg max of the logits; probabilities add up to 1."""
    view = subject.view(canvases(), representation.layers)
    z = representation(view).detach()
    if representation.gives == "vector":
        pytest.skip("any tensor is a vector")
    assert torch.equal(z.argmax(1), view.logits.argmax(1))
    if representation.gives == "probabilities":
        assert float(z.min()) >= 0
        torch.testing.assert_close(z.sum(1), torch.ones(6))


def test_logits_probabilities_and_pixels_by_hand() -> None:
    """Oracles: row mean 0; the closed form of softmax; the very canvas."""
    x, logits = canvases(2), torch.tensor([[1.0, 2.0, 6.0], [1000.0, 1000.0, 1000.0]])
    view = View(x, logits)
    assert torch.equal(Logits()(view), torch.tensor([[-2.0, -1.0, 3.0], [0.0, 0.0, 0.0]]))
    powers = torch.e ** torch.tensor([1.0, 2.0, 6.0])
    torch.testing.assert_close(Probabilities()(view), torch.stack([powers / powers.sum(), torch.full((3,), 1 / 3)]))
    assert Pixels()(view) is x


def test_a_layer_is_its_modules_output_and_penultimate_the_last_linear_layers_input(subject: Subject) -> None:
    """Oracle: the modules called one by one, here."""
    x = canvases()
    view = subject.view(x, ("conv", "hidden", "penultimate"))
    network = subject.module
    assert isinstance(network, Small)
    conv = network.conv((x - torch.tensor(subject.mean).view(3, 1, 1)) / torch.tensor(subject.std).view(3, 1, 1))
    hidden = network.hidden(conv.flatten(1))
    for name, expected in (("conv", conv), ("hidden", hidden), ("penultimate", hidden.tanh())):
        assert Layer(name).name == name
        torch.testing.assert_close(Layer(name)(view), expected)


@pytest.mark.parametrize(
    ("architecture", "settings", "layer"),
    [("resnet18", {}, "layer3.0"), ("vit_tiny_patch16_224", {"img_size": 32}, "blocks.5")],
)
def test_networks_of_timm(architecture: str, settings: dict[str, int], layer: str) -> None:
    """Reference: timm's own features before the classifier; a hook for the layer's output."""
    import_torchvision()
    timm = pytest.importorskip("timm")
    network = timm.create_model(architecture, pretrained=False, num_classes=7, **settings)
    subject, x = Subject(network, name=architecture, canvas=Canvas(32, 32)), canvases(3, 32)
    seen: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
        handle.remove()
        view = subject.view(x, ("penultimate", layer))
    torch.testing.assert_close(Layer("penultimate")(view), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(Layer(layer)(view), seen[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.get_classifier()(expected), view.logits, rtol=1e-4, atol=1e-5)
