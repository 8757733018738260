"""Explanations against closed forms: a linear network, GradCAM's own formula, LIME's regression by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semcon.attribution import as_grid, spatial_layer
from semcon.canvas import Canvas
from semcon.core.concepts import Explanation
from semcon.core.errors import SemconError, UnknownNameError
from semcon.explaining.choosing import chosen, settled
from semcon.explanations import GradCam, Gradient, InputXGradient, IntegratedGradients, Occlusion, Rise
from semcon.explanations.lime import linear_model
from semcon.keyed import Keys
from semcon.subject import Subject

SIZE = 8
KEYS = Keys(torch.arange(4))
TARGET = torch.tensor([0, 1, 2, 1])
X = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def linear() -> tuple[Subject, Tensor]:
    """A linear network with its weights by class, (3, 3, H, W)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.Linear(3 * SIZE * SIZE, 3)
    weight = layer.weight.detach().view(3, 3, SIZE, SIZE)
    return Subject(nn.Sequential(nn.Flatten(), layer), name="linear", canvas=Canvas(SIZE, SIZE)), weight


@pytest.mark.parametrize(("steps", "level"), [(1, 0.0), (5, 0.0), (16, 0.5)])
def test_integrated_gradients_of_a_linear_model_are_exact(steps: int, level: float) -> None:
    """w (x - b), and their sum f(x) - f(b)."""
    subject, weight = linear()
    maps = IntegratedGradients(steps, level)(subject, X, TARGET, KEYS)
    torch.testing.assert_close(maps, (weight[TARGET] * (X - level)).sum(1))
    ends = [subject(one).gather(1, TARGET[:, None]).squeeze(1) for one in (X, torch.full_like(X, level))]
    torch.testing.assert_close(maps.sum((1, 2)), ends[0] - ends[1], atol=1e-5, rtol=1e-4)


def test_integrated_gradients_add_up_on_a_bent_model() -> None:
    """Completeness, the closer the more steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3), nn.Tanh())
    subject = Subject(nn.Sequential(*layers), name="net", canvas=Canvas(SIZE, SIZE))
    ends = [subject(one).gather(1, TARGET[:, None]).squeeze(1).detach() for one in (X, torch.zeros_like(X))]
    maps = IntegratedGradients(16)(subject, X, TARGET, KEYS)
    torch.testing.assert_close(maps.sum((1, 2)), ends[0] - ends[1], atol=1e-4, rtol=1e-3)


def test_normalisation_and_input_times_gradient() -> None:
    """The gradient on the canvas is the network's over the standard deviation."""
    subject, weight = linear()
    other = subject.variant((0.5,), (0.25,))
    torch.testing.assert_close(InputXGradient()(other, X, TARGET, KEYS), (weight[TARGET] * 4 * X).sum(1))


def test_grad_cam_is_its_formula() -> None:
    """Two maps with known weights into a mean and a linear layer: the gradient's mean is the linear weight / places."""
    conv, head = nn.Conv2d(3, 2, 1, bias=False), nn.Linear(2, 3, bias=False)
    conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1)
    head.weight.data = torch.tensor([[1.0, -2], [0.5, 1], [-1, -1]])
    net = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    subject = Subject(net, name="net", canvas=Canvas(SIZE, SIZE))
    cam = GradCam().settled(subject)
    assert cam.layer == "0"
    weight = head.weight[TARGET] / SIZE**2
    expected = (weight[:, :, None, None] * X[:, :2]).sum(1).relu()
    torch.testing.assert_close(cam(subject, X, TARGET, KEYS), expected.detach())
    assert (cam(subject, X, torch.full_like(TARGET, 2), KEYS) == 0).all()


class Pair(nn.Module):
    """A layer that gives a tuple, maps first, as transformers of other libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.conv(x), None


class Bent(nn.Module):
    """In place after the layer `maps`, which gives a tensor or a tuple; `early` runs before it and beside it."""

    def __init__(self, *, pair: bool) -> None:
        super().__init__()
        self.early, self.maps, self.head = nn.Conv2d(3, 3, 1), Pair() if pair else nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.graphs: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        early = self.early(x)
        self.graphs.append(early.requires_grad)
        maps = self.maps(early)
        maps = maps[0] if isinstance(maps, tuple) else maps
        return self.head((maps.relu_() * early.mean((1, 2, 3), keepdim=True)).square().mean((2, 3)))


@pytest.mark.parametrize("pair", [False, True])
def test_grad_cam_needs_no_graph_before_its_layer(pair: bool) -> None:
    """The map is that of the whole graph, whatever the mode outside; a layer that gives a tuple needs the whole."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Bent(pair=pair)
    subject, cam = Subject(net, name="bent", canvas=Canvas(SIZE, SIZE)), GradCam("maps.conv" if pair else "maps")
    whole = cam(subject, X.clone().requires_grad_(), TARGET, KEYS)
    assert whole.requires_grad
    assert float(whole.detach().amax()) > 0
    for layer in {cam.layer, "maps"}:
        net.graphs.clear()
        with torch.no_grad():
            found = GradCam(layer)(subject, X, TARGET, KEYS)
            assert not torch.is_grad_enabled()
        assert torch.is_grad_enabled()
        torch.testing.assert_close(found, whole.detach())
        assert net.graphs == ([False, True] if pair and layer == "maps" else [False])


def test_the_target_layer_is_found() -> None:
    """The last with places that count, in place or not; none without places; near names for a wrong one."""
    body = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    net = nn.Sequential(nn.Sequential(*body), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    assert spatial_layer(net.eval(), X) == "0"
    subject, _ = linear()
    with pytest.raises(SemconError, match="none: choose another"):
        GradCam().settled(subject)
    assert settled(chosen(None, "fast", gradients=True), subject, asked=False) == (IntegratedGradients(steps=8),)
    with pytest.raises(UnknownNameError, match=r"Did you mean"):
        GradCam("0.0x").settled(Subject(net, name="net", canvas=Canvas(SIZE, SIZE)))


def test_of_a_layer_that_runs_twice_only_the_kept_output_is_asked() -> None:
    """A ReLU of maps and of the hidden layer keeps what it gives last, which has no places."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()
            self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.hidden(self.relu(self.maps(x)).mean((2, 3)))))

    assert GradCam().settled(Subject(Twice(), name="twice", canvas=Canvas(SIZE, SIZE))).layer == "maps"


@pytest.mark.parametrize("method", [Gradient(), IntegratedGradients(4), Occlusion(places=4), GradCam("0")])
def test_both_classes_of_a_single_logit_have_maps(method: Explanation) -> None:
    """Oracle: the same network with the two logits -z/2 and z/2."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 1))
    halves = nn.Linear(1, 2)
    halves.weight.data, halves.bias.data = torch.tensor([[-0.5], [0.5]]), torch.zeros(2)
    target = torch.tensor([0, 1, 0, 1])
    one, two = (
        method(Subject(each, name="net", canvas=Canvas(SIZE, SIZE)), X, target, KEYS)
        for each in (net, nn.Sequential(*net, halves))
    )
    torch.testing.assert_close(one, two)
    assert bool((one.abs().amax((1, 2)) > 0).all())


def test_occlusion_is_mirrored_with_the_image() -> None:
    """Squares of the side that is said, lying evenly."""
    covers = Occlusion()._covers(torch.zeros(1, 3, 32, 40))
    assert torch.equal(covers.sum(0), covers.flip(2).sum(0))
    assert torch.equal(covers.unflatten(0, (8, 8)).flip(0, 2), covers.unflatten(0, (8, 8)))
    assert int(covers.unflatten(0, (8, 8))[3, 3].any(1).sum()) == 8


def test_rise_of_a_constant_says_nothing_and_of_a_patch_points_there() -> None:
    constant = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 3))
    for parameter in constant.parameters():
        parameter.data.zero_()
    nothing = Rise(samples=32)(Subject(constant, name="flat", canvas=Canvas(SIZE, SIZE)), X, TARGET, KEYS)
    torch.testing.assert_close(nothing, torch.zeros_like(nothing), atol=1e-6, rtol=0)
    weight = torch.zeros(3, 3, SIZE, SIZE)
    weight[1, :, 2:4, 2:4] = 2.0
    constant[1].weight.data = weight.flatten(1)
    found = Rise(samples=512)(
        Subject(constant, name="patch", canvas=Canvas(SIZE, SIZE)), X, torch.ones_like(TARGET), KEYS
    )
    inside = found[:, 2:4, 2:4].mean((1, 2))
    outside = (found.sum((1, 2)) - 4 * inside) / (SIZE * SIZE - 4)
    assert bool((inside > 0).all())
    assert bool((outside < inside / 2).all())


class Tokens(nn.Module):
    """A transformer of one block over 4 x 4 patches and a class token, which alone is read."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm1, self.norm = nn.Conv2d(3, 8, 2, 2), nn.LayerNorm(8), nn.LayerNorm(8)
        self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)
        self.token = nn.Parameter(torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        own = self.norm1(tokens)
        return self.head(self.norm(tokens + self.attend(own, own, own)[0])[:, 0])


def test_a_transformer_read_at_its_class_token_is_looked_at_before_its_last_attention() -> None:
    """`norm` comes later, but of its tokens only the class token counts."""
    subject = Subject(Tokens(), name="tokens", canvas=Canvas(SIZE, SIZE))
    cam = GradCam().settled(subject)
    assert cam.layer == "norm1"
    assert cam(subject, X, TARGET, KEYS).shape == (4, SIZE, SIZE)


def test_tokens_become_a_grid() -> None:
    tokens = torch.arange(2 * 17 * 3.0).view(2, 17, 3)
    grid = as_grid(tokens, 16, 16)
    assert grid is not None
    assert torch.equal(grid[:, :, 0, 0], tokens[:, 1])
    assert grid.shape[2:] == (4, 4)
    assert torch.equal(grid[:, :, 1, 3], tokens[:, 8])
    assert as_grid(torch.zeros(2, 5), 16, 16) is None
    for height, width, side in ((100, 140, 16), (480, 640, 14), (600, 800, 16), (224, 224, 16), (30, 44, 4)):
        rows, columns = height // side, width // side
        for front in (0, 1, 2) if height % side else (0, 1, 2, 5):
            laid = as_grid(torch.arange(rows * columns + front).view(1, -1, 1), height, width)
            assert laid is not None
            assert torch.equal(laid[0, 0].flatten(), torch.arange(rows * columns) + front)
            assert laid.shape[2:] == (rows, columns)
    channels_last = as_grid(torch.zeros(2, 4, 4, 7), 16, 16)
    assert channels_last is not None
    assert channels_last.shape == (2, 7, 4, 4)


def test_limes_regression_is_scikit_learns() -> None:
    """Ridge with an intercept and the reference's weights; segments that are not there get nothing."""
    linear_models = pytest.importorskip("sklearn.linear_model")
    generator = torch.Generator().manual_seed(0)
    shown = torch.rand(1, 40, 6, generator=generator) < 0.5
    there = torch.tensor([[True] * 5 + [False]])
    shown &= there[:, None]
    scores = torch.rand(1, 40, generator=generator)
    found = linear_model(shown, there, scores, 0.25, 1.0)[0]
    design = shown[0, :, :5].double().numpy()
    length = np.sqrt(design.sum(1) * 5)
    near = np.divide(design.sum(1), length, out=np.zeros(40), where=length > 0)
    weight = np.sqrt(np.exp(-((1 - near) ** 2) / 0.25**2))
    theirs = linear_models.Ridge(alpha=1.0).fit(design, scores[0].double().numpy(), sample_weight=weight).coef_
    np.testing.assert_allclose(found[:5], theirs, atol=1e-8)
    assert float(found[5]) == 0


def test_what_cannot_be_explained_is_refused() -> None:
    with pytest.raises(SemconError, match=r"grad_cam needs gradients.*lime, occlusion, rise"):
        chosen(("grad_cam",), "fast", gradients=False)
    with pytest.raises(UnknownNameError, match="occlusion"):
        chosen(("oclusion",), "fast", gradients=True)
    with pytest.raises(SemconError, match="twice"):
        chosen(("rise", "rise"), "fast", gradients=True)
    with pytest.raises(SemconError, match="grad_cam:LAYER"):
        chosen(("rise:layer3",), "fast", gradients=True)
    assert [type(one).__name__ for one in chosen(None, "fast", gradients=False)] == ["Occlusion", "Rise"]


def test_a_map_of_another_size_is_refused() -> None:
    """A layer whose places are not in the canvas's proportions."""
    net = nn.Sequential(nn.Conv2d(3, 4, (1, 8)), nn.Flatten(), nn.Linear(32, 3))
    subject = Subject(net, name="net", canvas=Canvas(SIZE, SIZE))
    with pytest.raises(SemconError, match=r"cannot use the layer '0', which gives \(4, 4, 8, 1\)"):
        GradCam("0")(subject, X, TARGET, KEYS)
