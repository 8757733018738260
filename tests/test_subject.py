"""The subject: any model's outputs become logits, preprocessing is inside, layers are shown as they were."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import semcon
from semcon.canvas import Canvas
from semcon.core.errors import SemconError, UnknownNameError
from semcon.subject import CHANNELS_LAST_FROM, Subject, whole_float32

MEAN, STD = (0.1, 0.5, 0.7), (0.5, 0.25, 2.0)


def canvases(n: int = 4) -> Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def subject(model: Any, **settings: Any) -> Subject:
    return Subject(model, name="net", canvas=Canvas(8, 8), **settings)


def colours(x: Tensor) -> Tensor:
    """A black box: the mean of every channel as its logits."""
    return x.mean((2, 3))


class Net(nn.Module):
    """A small network; `shape` says how its features become a row: `flatten` or `view`."""

    def __init__(self, shape: str = "flatten", channels: int = 3) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.fc, self.spare, self.shape, self.seen = nn.Linear(144, 3), nn.Linear(2, 2), shape, []
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        z = self.act(self.norm(self.conv(x)))
        return self.fc(z.view(len(z), -1) if self.shape == "view" else z.flatten(1))


def normalised(x: Tensor) -> Tensor:
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda z: z, lambda z: (z, None), lambda z: ["name", z], lambda z: {"loss": z[:1], "logits": z},
        lambda z: {"name": "net", "out": z}, lambda z: SimpleNamespace(loss=0.0, logits=z),
        lambda z: z[..., None, None], lambda z: z.double(),
    ],
    ids=["tensor", "tuple", "list", "dict", "dict of one", "object", "1 x 1 maps", "double"],
)  # fmt: skip
def test_every_shape_of_output_is_logits(wrap: Callable[[Tensor], Any]) -> None:
    """Oracle: the mean colours, by hand."""
    box = subject(lambda x: wrap(colours(x)))
    for n in (1, 4):
        logits = box(canvases(n))
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, canvases(n).mean((2, 3)))
    assert box.outputs == 3


@pytest.mark.parametrize("last", [slice(0, 1), 0], ids=["(B, 1)", "(B,)"])
def test_a_single_logit_becomes_two_classes(last: Any) -> None:
    """Oracle: softmax of (-z/2, z/2) is the sigmoid of z."""
    box, x = subject(lambda x: 9 * colours(x).double()[:, last] - 4), canvases()
    assert box.outputs == 2
    torch.testing.assert_close(box(x).softmax(1)[:, 1], torch.sigmoid(9 * x[:, 0].mean((1, 2)) - 4))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda x: colours(x)[:1], r"shape \(2, classes\), gave \(1, 3\)"),
        (lambda x: x.mean(), r"shape \(2, classes\), gave \(\)"),
        (lambda x: x, r"shape \(2, classes\), gave \(2, 3, 8, 8\)"),
        (lambda x: None, r"shape \(2, classes\), gave None: does forward return"),
        (lambda x: "logits", r"shape \(2, classes\), gave str"),
        (lambda x: x[:, :0, 0, 0], r"shape \(2, classes\), gave \(2, 0\)"),
        (lambda x: {"a": colours(x), "b": colours(x)}, r"a mapping with the keys a, b: name the logits 'logits'"),
        (lambda x: {}["a"], r"fails on a batch .*: KeyError: 'a'"),
        (nn.Sequential(nn.Conv2d(4, 2, 3)), r"It takes 4 channels: expected 3 \(RGB\) or 1"),
        (nn.Sequential(nn.Conv2d(3, 2, 3)).double(), r"weights are float64, .* give it as model\.float"),
        (nn.Sequential(nn.Flatten(), nn.Linear(100, 3)), r"net fails on a batch \(2, 3, 8 x 8\): .*try --size"),
    ],
)  # fmt: skip
def test_other_outputs_are_refused_in_a_sentence(model: Any, words: str) -> None:
    with pytest.raises(SemconError, match=words):
        subject(model)


def test_the_normalisation_is_inside() -> None:
    """Oracle: (x - mean) / std by hand, its gradient 1 / (64 std), and the canvas left alone."""
    x = canvases()
    box, before = subject(colours, mean=MEAN, std=STD), x.clone()
    torch.testing.assert_close(box(x), normalised(x).mean((2, 3)))
    torch.testing.assert_close(box.variant((0.5,), (0.1,))(x), (x.mean((2, 3)) - 0.5) / 0.1)
    torch.testing.assert_close(box(x), normalised(x).mean((2, 3)))
    assert torch.equal(x, before)
    net, source = subject(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), mean=MEAN, std=STD), x.requires_grad_()
    (gradient,) = torch.autograd.grad(net(source).sum(), source)
    torch.testing.assert_close(gradient, (1 / (64 * torch.tensor(STD))).view(3, 1, 1).expand_as(gradient))


def test_models_of_one_channel_get_luminance() -> None:
    """Oracle: Rec. 601 weights by hand (a grey pixel stays as it is), then the one mean and std."""
    net, x = Net(channels=1), canvases()
    one = subject(net, mean=(0.3,), std=(0.2,))
    assert one.channels == 1
    one(x)
    grey = 0.2989 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    torch.testing.assert_close(net.seen[-1], (grey / (0.2989 + 0.587 + 0.114) - 0.3) / 0.2)
    told = subject(lambda x: x.flatten(1)[:, :2], channels=1)
    torch.testing.assert_close(told(torch.full((2, 3, 8, 8), 0.6)), torch.full((2, 2), 0.6))
    for settings in ({"mean": (0.1, 0.2)}, {"std": STD, "channels": 1}):
        with pytest.raises(SemconError, match=r"channel\(s\), but mean or std has \d values"):
            subject(colours, **settings)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_measured_in_eval_mode_and_given_back(training: bool) -> None:
    net = Net().train(training)
    statistics = net.norm.running_mean.clone()
    measured = subject(net)
    measured(canvases())
    assert measured.was_training == training
    assert not any(module.training for module in net.modules())
    measured.release()
    assert all(module.training == training for module in net.modules())
    assert torch.equal(net.norm.running_mean, statistics)


def test_every_module_gets_its_own_mode_back() -> None:
    """Frozen statistics in a network that trains, and a layer that always drops in one that does not."""
    net = nn.Sequential(Net(), nn.Dropout()).train()
    net[0].norm.eval()
    before = [module.training for module in net.modules()]
    subject(net).release()
    assert [module.training for module in net.modules()] == before
    net.eval()
    net[1].train()
    measured = subject(net)
    assert measured.was_training
    measured.release()
    assert [module.training for module in net.modules() if module.training] == [True]
    assert net[1].training


def test_a_model_that_does_not_fit_is_given_back() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(5, 3)).train()
    with pytest.raises(SemconError, match="fails on a batch"):
        subject(net)
    with pytest.raises(SemconError, match="mean or std has 2 values"):
        subject(net, mean=(0.1, 0.2))
    assert all(module.training for module in net.modules())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_goes_back_to_the_device_it_came_from() -> None:
    net = Net()
    measured = subject(net, device="cuda")
    assert net.fc.weight.device.type == "cuda"
    measured.release()
    assert {value.device.type for value in net.state_dict().values()} == {"cpu"}


@pytest.mark.parametrize("n", [3, 20])
def test_layers_are_shown_as_they_were_before_in_place_layers(n: int) -> None:
    """Oracle: the modules called one by one, here; negative values are there, as the rectifier comes later."""
    net, x = Net(), canvases(n)
    view = subject(net, mean=MEAN, std=STD).view(x, ("conv", "norm", "act", "fc", "penultimate"))
    conv = net.conv(normalised(x))
    norm = net.norm(conv)
    assert bool((norm < 0).any())
    row = norm.relu().flatten(1)
    expected = {"conv": conv, "norm": norm, "act": norm.relu(), "fc": net.fc(row), "penultimate": row}
    for name, value in expected.items():
        torch.testing.assert_close(view.layers[name], value)
    torch.testing.assert_close(view.logits, expected["fc"])
    assert view.canvas is x
    assert all(not module._forward_hooks for module in net.modules())


def test_layers_that_are_not_there_are_said() -> None:
    measured, x = subject(Net()), canvases()
    assert measured.layer_names() == ["conv", "norm", "act", "fc", "spare", "penultimate"]
    with pytest.raises(UnknownNameError, match=r"unknown layer 'cnov'\. Did you mean conv"):
        measured.view(x, ("cnov",))
    with pytest.raises(UnknownNameError, match="unknown layer ''"):
        measured.view(x, ("",))
    with pytest.raises(SemconError, match="'spare' does not run"):
        measured.view(x, ("spare",))
    flat = subject(nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 192)), nn.Linear(192, 2)))
    with pytest.raises(SemconError, match=r"'0' gives no tensor with one entry per image, but \(768,\)"):
        flat.view(x, ("0",))
    without = subject(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    assert not without.has_penultimate
    with pytest.raises(UnknownNameError, match="unknown layer 'penultimate'"):
        without.view(x, ("penultimate",))


@pytest.mark.parametrize("shape", ["flatten", "view"])
@pytest.mark.parametrize("n", [1, CHANNELS_LAST_FROM - 1, CHANNELS_LAST_FROM, 33])
def test_the_channels_last_path_gives_the_same_logits(shape: str, n: int) -> None:
    """Large batches only, and not where view() cannot take them. Oracle: the network itself on plain tensors."""
    net, x = Net(shape), canvases(n)
    measured = subject(net, mean=MEAN, std=STD)
    found = measured(x)
    assert net.seen[-1].is_contiguous(memory_format=torch.channels_last) == (shape == "flatten" and n >= 8)
    torch.testing.assert_close(found, net(normalised(x).contiguous()), rtol=1e-4, atol=1e-5)


def test_bf16_stays_near_and_gives_float32() -> None:
    """Oracle: full precision, to the 8 bits of bfloat16."""
    full, half, x = subject(Net()), subject(Net(), precision="bf16"), canvases()
    assert half(x).dtype == torch.float32
    assert not torch.equal(half(x), full(x))
    torch.testing.assert_close(half(x), full(x), rtol=0.05, atol=0.02)


def test_what_is_known_of_a_black_box_and_of_a_network() -> None:
    box, net = subject(colours), subject(Net())
    assert (box.differentiable, box.parameters, box.fingerprint, box.has_penultimate) == (False, None, None, False)
    assert (box.stages(), box.layer_names()) == ([], [])
    assert net.differentiable
    assert net.parameters == (3 * 9 * 4 + 4) + 2 * 4 + (144 * 3 + 3) + (2 * 2 + 2)
    detached = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    detached.register_forward_pre_hook(lambda _module, inputs: (inputs[0].detach().round(),))
    detached.requires_grad_(False)
    assert not subject(detached).differentiable
    assert net.fingerprint == subject(Net()).fingerprint
    for name in ("fc.bias", "norm.running_mean"):
        other = Net()
        other.state_dict()[name][0] += 1e-3
        assert subject(other).fingerprint != net.fingerprint


def test_float32_keeps_its_bits_while_it_measures() -> None:
    """Convolutions on GPUs may round to TF32 by default: not within the block; as before after it, and after errors."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        for wanted in ((True, False), (False, True)):
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = wanted
            with pytest.raises(KeyError):
                _bits()
            assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == wanted
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@whole_float32()
def _bits() -> None:
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.conv.fp32_precision != "tf32"
    raise KeyError


def test_an_audit_measures_with_all_bits_of_float32() -> None:
    class Told(nn.Module):
        seen: ClassVar[set[bool]] = set()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) == 20:  # the images, not what the model is asked when it is built
                self.seen.add(torch.backends.cudnn.allow_tf32)
            return x.mean((2, 3))

    before = torch.backends.cudnn.allow_tf32
    semcon.audit(Told(), (torch.rand(20, 3, 8, 8), torch.arange(20) % 3), perturbations=["hue"])
    assert Told.seen == {False}
    assert torch.backends.cudnn.allow_tf32 is before
