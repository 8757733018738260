"""Model sources: names, files and weights become networks with their own preprocessing, or one clear sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from semcon.built import Built, build_subject
from semcon.core.errors import SemconError, UnknownNameError
from semcon.models import File, Module, Timm, Torchvision
from semcon.recipes.sources import parse_model
from semcon.torchvision_import import import_torchvision
from semcon.weights import load_weights

SMALL = "test_resnet.r160_in1k"  # timm's own network for tests
CODE = """
from torch import nn
import beside

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, beside.OUTPUTS))

def _hidden():
    return None

def three():
    return 3

def broken():
    raise RuntimeError("no such layer")
"""


@pytest.fixture(scope="module")
def timm():
    import_torchvision()
    return pytest.importorskip("timm")


@pytest.fixture
def code(tmp_path):
    (tmp_path / "beside.py").write_text("OUTPUTS = 5")
    (tmp_path / "model.py").write_text(CODE)
    return str(tmp_path / "model.py")


def network(outputs: int = 5) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, outputs))


def picture(height: int = 200, width: int = 260) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def preprocessed(built: Built, image: np.ndarray) -> torch.Tensor:
    """What the network is given."""
    own = built.preprocessing
    mean, std = (torch.tensor(values)[:, None, None] for values in (own.mean, own.std))
    return (own.canvas.fit(image) - mean) / std


def test_timm_by_name_preprocesses_as_timm_does(timm):
    """Reference: timm's own transform for the network's configuration."""
    built = Timm(SMALL, "none").build()
    config = timm.data.resolve_data_config({}, model=built.model)
    expected = timm.data.create_transform(**config, is_training=False)(Image.fromarray(picture()))
    torch.testing.assert_close(preprocessed(built, picture()), expected, atol=1e-6, rtol=0)
    assert (built.name, built.source, built.weights) == (SMALL, f"timm:{SMALL}", "none")
    assert not built.model.training


@pytest.mark.parametrize(
    ("size", "share"), [((3, 64, 64), 0.9), ((3, 64, 64), 0.95), ((3, 96, 64), 0.9), ((3, 64, 96), 1.0)]
)
def test_timms_squash_resizes_both_sides_and_crops(timm, monkeypatch, size, share):
    """Reference: timm's own transform."""
    resolve = timm.data.resolve_data_config
    squash = {"crop_mode": "squash", "crop_pct": share, "input_size": size}
    monkeypatch.setattr(timm.data, "resolve_data_config", lambda *given, **named: resolve(*given, **named) | squash)
    built = Timm(SMALL, "none").build()
    config = timm.data.resolve_data_config({}, model=built.model)
    expected = timm.data.create_transform(**config, is_training=False)(Image.fromarray(picture()))
    torch.testing.assert_close(preprocessed(built, picture()), expected, atol=1e-6, rtol=0)


def test_timms_border_mode_is_refused(timm, monkeypatch):
    resolve = timm.data.resolve_data_config
    border = {"crop_mode": "border"}
    monkeypatch.setattr(timm.data, "resolve_data_config", lambda *given, **named: resolve(*given, **named) | border)
    with pytest.raises(SemconError, match=r"no crop mode 'border'.*file:PATH\.py:BUILDER"):
        Timm(SMALL, "none").build()


def test_timm_weights_from_a_file(timm, tmp_path):
    """Oracle: the network that the file was written from."""
    original = timm.create_model(SMALL, pretrained=False).eval()
    save_file(original.state_dict(), tmp_path / "w.safetensors")
    built = Timm(SMALL, str(tmp_path / "w.safetensors")).build()
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(built.model(x), original(x))


def test_torchvision_by_name_preprocesses_as_its_weights_do():
    """Reference: the transforms that torchvision ships with the default weights."""
    models = import_torchvision("torchvision.models")
    built = Torchvision("shufflenet_v2_x0_5", "none").build()
    default = models.get_model_weights("shufflenet_v2_x0_5").DEFAULT
    expected = default.transforms()(Image.fromarray(picture(300, 280)))
    torch.testing.assert_close(preprocessed(built, picture(300, 280)), expected, atol=1e-6, rtol=0)
    assert built.classes == tuple(default.meta["categories"])
    assert built.source == "torchvision:shufflenet_v2_x0_5"
    assert not built.model.training


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timm:resnet81", "unknown timm model 'resnet81'. Did you mean resnet18"),
        ("timm:resnet18.a1_in1", "unknown tag of timm:resnet18 'a1_in1'. Did you mean a1_in1k or"),
        ("timm:resnet18.nosuch", r"unknown tag of timm:resnet18 'nosuch'. Known: a1_in1k, a2_in1k"),
        ("torchvision:resnet81", "unknown torchvision model 'resnet81'. Did you mean resnet18"),
    ],
)
def test_unknown_names_get_the_nearest(timm, text, words):
    with pytest.raises(UnknownNameError, match=words):
        parse_model(text, "none").build()


@pytest.mark.parametrize("source", [Timm(SMALL), Timm("hf-hub:someone/net"), Torchvision("shufflenet_v2_x0_5")])
def test_weights_that_cannot_be_fetched_say_how_to_go_on(timm, monkeypatch, source):
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr(import_torchvision("torchvision.models"), "get_model", offline)
    with pytest.raises(SemconError, match=r"cannot fetch .*no route to host.*--weights FILE, or --weights none"):
        source.build()


def test_a_model_from_the_hub_keeps_its_address(timm, monkeypatch):
    asked: list[tuple[str, bool]] = []
    create = timm.create_model

    def hub(name: str, *, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return create(SMALL, pretrained=False)

    monkeypatch.setattr(timm, "create_model", hub)
    built = parse_model("hf-hub:someone/net", None).build()
    assert asked == [("hf-hub:someone/net", True)]
    assert (built.name, built.source) == ("net", "hf-hub:someone/net")


@pytest.mark.parametrize("form", ["safetensors", "pickle", "nested", "prefixed"])
def test_weights_are_loaded_into_the_users_network(code, tmp_path, form):
    """Oracle: the network that the weights came from; nested and prefixed state dicts are those of trainers."""
    original = network()
    state = original.state_dict()
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    if form == "safetensors":
        save_file(state, path)
    else:
        state = {f"module.{key}": value for key, value in state.items()} if form == "prefixed" else state
        torch.save({"state_dict": state, "epoch": 3} if form == "nested" else state, path)
    built = parse_model(f"file:{code}:net", str(path)).build()
    x = torch.rand(2, 3, 2, 2)
    assert torch.equal(built.model(x), original(x))
    assert (built.name, built.weights) == ("net", str(path))
    assert not built.model.training


def test_keys_that_do_not_fit_are_named(tmp_path):
    path = str(tmp_path / "w.pt")
    torch.save({"1.weight": torch.zeros(7, 12), "2.bias": torch.zeros(5)}, path)
    expected = (
        r"do not fit the model: keys 1 missing \(1\.bias\); 1 unexpected \(2\.bias\); "
        r"1 of another shape \(1\.weight is \(7, 12\), the model's \(5, 12\)\)"
    )
    own = network()
    before = own[1].weight.clone()
    with pytest.raises(SemconError, match=expected):
        load_weights(own, path)
    assert torch.equal(own[1].weight, before)


class Whole:
    """What torch.save(model) would put into a pickle: a class of the user's."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": Whole()}, "holds more than tensors, and semcon does not run code"),
        (torch.zeros(3), "holds no state dict .* but Tensor"),
        ({"a": 3}, "holds no state dict"),
        ({1: torch.zeros(3)}, "holds no state dict"),
        (b"", "cannot read the weights"),
        (b"hello world", "cannot read the weights in .*: it is no file that torch.save wrote"),
        (b"version https://git-lfs.github.com/spec/v1", "it is no file that torch.save wrote"),
        (b"PK\x03\x04 and more", "cannot read the weights"),
        (b"\x80\x02aaaa", "cannot read the weights"),
        (None, "no such weights file"),
    ],
    ids=["code", "tensor", "numbers", "numbered", "empty", "text", "pointer", "cut zip", "cut pickle", "missing"],
)
def test_weight_files_that_are_none_say_so(tmp_path, content, words):
    path = tmp_path / "w.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(SemconError, match=words):
        load_weights(network(), str(path))


def test_a_broken_safetensors_file_is_named(tmp_path):
    (tmp_path / "w.safetensors").write_text("no")
    with pytest.raises(SemconError, match=r"w\.safetensors is not a readable safetensors file"):
        load_weights(network(), str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        ("nett", r"unknown builder in model\.py 'nett'\. Did you mean net\?"),
        ("three", r"three\(\) in .* must give an nn\.Module, gave int"),
        ("broken", r"broken\(\) in .* failed: RuntimeError: no such layer"),
    ],
)
def test_builders_that_fail_say_how(code, builder, words):
    with pytest.raises(SemconError, match=words):
        File(code, builder).build()


def test_a_file_that_cannot_be_run_says_why(tmp_path):
    (tmp_path / "model.py").write_text("import nowhere_to_be_found")
    with pytest.raises(SemconError, match=r"cannot be run: ModuleNotFoundError: .*nowhere_to_be_found"):
        File(str(tmp_path / "model.py"), "net").build()
    (tmp_path / "model.txt").write_text("x = 1")
    with pytest.raises(SemconError, match=r"is not a Python file: expected file:PATH\.py:BUILDER"):
        File(str(tmp_path / "model.txt"), "net").build()


def test_models_in_memory_are_taken_as_they_are():
    own = network()
    assert Module(own).build().model is own
    assert Module(len).build().source == "python:len"
    with pytest.raises(SemconError, match=r"expected a model .* got int"):
        parse_model(3, None).build()


@pytest.mark.parametrize(
    ("given", "canvas", "mean", "origin"),
    [
        ({}, (160, 160, 168), (0.5, 0.5, 0.5), "timm configuration"),
        ({"size": 32}, (32, 32, None), (0.5, 0.5, 0.5), "timm configuration"),
        ({"mean": (0.1,), "std": (0.2,)}, (160, 160, 168), (0.1,), "given"),
        ({"mean": (0.1,)}, (160, 160, 168), (0.1,), "given"),
        ({"std": (0.2,)}, (160, 160, 168), (0.5, 0.5, 0.5), "given"),
    ],
    ids=["own", "size", "mean and std", "mean", "std"],
)
def test_what_is_given_comes_before_the_sources_configuration(timm, given, canvas, mean, origin):
    """test_resnet: 160 px at a crop share of 0.95, floor(160 / 0.95) = 168, mean 0.5."""
    rest = {"mean": None, "std": None, "size": None, "classes": None, "name": None} | given
    subject = build_subject(Timm(SMALL, "none").build(), **rest, device="cpu", precision="32", common_size=(8, 8))
    assert (subject.canvas.height, subject.canvas.width, subject.canvas.resize) == canvas
    assert (subject.mean, subject.std, subject.preprocessing) == (mean, given.get("std", (0.5, 0.5, 0.5)), origin)


def test_without_a_configuration_the_images_decide():
    rest = {"mean": None, "std": None, "classes": None, "name": None, "device": "cpu", "precision": "32"}
    subject = build_subject(Module(network()).build(), size=None, common_size=(2, 2), **rest)
    assert (subject.canvas.height, subject.mean, subject.std, subject.preprocessing) == (2, (0.0,), (1.0,), "default")
    with pytest.raises(SemconError, match="different sizes and the model names none: give --size N"):
        build_subject(Module(network()).build(), size=None, common_size=None, **rest)


def test_a_function_is_given_images_where_it_takes_them(monkeypatch):
    """Oracle: one that calls a network on the CPU, on a machine whose accelerator (here `meta`) `auto` picks."""
    monkeypatch.setattr("semcon.built.pick_device", lambda text: torch.device("meta" if text == "auto" else text))
    rest = {
        "mean": None,
        "std": None,
        "size": 2,
        "classes": None,
        "precision": "32",
        "common_size": None,
        "name": None,
    }
    inner = network()
    built = Built(lambda x: inner(x), "function", "")
    assert build_subject(built, device="auto", **rest).device.type == "cpu"
    assert build_subject(Built(lambda x: x.mean((2, 3)), "function", ""), device="auto", **rest).device.type == "meta"
    with pytest.raises(SemconError, match="meta"):
        build_subject(built, device="meta", **rest)
