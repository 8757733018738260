"""Every check has a case that raises it and one that does not; findings carry numbers, a reason and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import nn

import semcon
from semcon.core.record import Finding
from semcon.core.registry import available, load

QUICK: dict[str, Any] = {"perturbations": ["brightness:0.2"], "layers": [], "gauges": [], "mean": 0.0, "std": 1.0}


def pictures(n: int = 120, size: int = 16, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Class k is bright in quadrant k; different everywhere else."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 3, size, size, generator=generator) * 0.4
    labels = torch.arange(n) % classes
    half = size // 2
    for i, label in enumerate(labels.tolist()):
        row, column = divmod(label, 2)
        x[i, :, row * half : (row + 1) * half, column * half : (column + 1) * half] += 0.4
    return x, labels


class Quadrants(nn.Module):
    """Sees which quadrant is brightest: right on every picture; options spoil it in one way each."""

    def __init__(
        self, *, mean: float = 0.0, std: float = 1.0, order: tuple[int, ...] = (0, 1, 2, 3), **spoilt: bool
    ) -> None:
        super().__init__()
        self.pool, self.linear = nn.AdaptiveAvgPool2d(2), nn.Linear(4, 4)
        self.linear.weight.data = torch.eye(4)[list(order)] * 20
        self.linear.bias.data.zero_()
        self.mean, self.std, self.spoilt = mean, std, spoilt
        self.register_buffer("limit", torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.spoilt.get("picky"):  # only understands pixels normalised by its mean and std
            x = torch.where((x.mean((1, 2, 3)) + (self.mean - 0.3) / self.std).abs().view(-1, 1, 1, 1) < 0.5, x, 0 * x)
        z = self.linear(self.pool(x.mean(1, keepdim=True)).flatten(1))
        if self.spoilt.get("noisy"):
            z = z + torch.randn_like(z)
        if self.spoilt.get("batch"):
            z = z - 0.5 * z.mean(0, keepdim=True)
        if self.spoilt.get("softmax"):
            z = z.softmax(1)
        return 0 * z if self.spoilt.get("dead") else z


def findings(model: Any = None, data: Any = None, **changes: Any) -> dict[str, Finding]:
    """Codes of an audit's findings; fine ones by default."""
    model = Quadrants().eval() if model is None else model
    record = semcon.audit(model, pictures() if data is None else data, **(QUICK | changes))
    return {finding.code: finding for finding in record.record.findings}


def grey() -> tuple[torch.Tensor, torch.Tensor]:
    x, labels = pictures()
    return x.mean(1, keepdim=True).expand(-1, 3, -1, -1), labels


def repeated() -> tuple[torch.Tensor, torch.Tensor]:
    x, labels = pictures()
    return torch.cat([x, x[:5]]), torch.cat([labels, labels[:5]])


def one_class() -> tuple[torch.Tensor, torch.Tensor]:
    x, labels = pictures(200)
    return x[labels == 0], labels[labels == 0]


def black_box(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return Quadrants()(x)


def skipping(tmp_path: Path) -> dict[str, Finding]:
    from PIL import Image

    for i, image in enumerate((pictures(40)[0] * 255).to(torch.uint8)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_bytes(b"")
    return findings(data=f"folder:{tmp_path}", skip_bad=True)


class Cropped(torch.utils.data.Dataset[Any]):
    """Its images are moved at random at every reading."""

    def __len__(self) -> int:
        return 120

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        x, labels = PICTURES
        return x[index].roll(int(torch.randint(16, ())), 1), int(labels[index])


class SomeLabels(torch.utils.data.Dataset[tuple[torch.Tensor, int | None]]):
    """The pictures, of which every tenth has no label."""

    def __len__(self) -> int:
        return 120

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int | None]:
        x, labels = pictures()
        return x[index], int(labels[index]) if index % 10 else None


PICTURES = pictures()

RAISED: dict[str, Callable[[Path], dict[str, Finding]]] = {
    "training_mode": lambda _: findings(Quadrants().train()),
    "nondeterministic": lambda _: findings(Quadrants(noisy=True).eval()),
    "batch_dependence": lambda _: findings(Quadrants(batch=True).eval()),
    "probabilities_as_logits": lambda _: findings(Quadrants(softmax=True).eval()),
    "normalization": lambda _: findings(Quadrants(mean=0.3, std=0.1, picky=True).eval(), mean=-20.0, std=0.1),
    "label_order": lambda _: findings(Quadrants(order=(1, 2, 3, 0)).eval()),
    "small_images": lambda _: findings(size=48),
    "duplicates": lambda _: findings(data=repeated()),
    "collapsed_representation": lambda _: findings(Quadrants(dead=True).eval()),
    "chance": lambda _: findings(data=(pictures()[0], torch.arange(120) // 30)),
    "inert": lambda _: findings(data=grey(), perturbations=["brightness:0.2", "hue:0.1"]),
    "missing_labels": lambda _: findings(data=SomeLabels()),
    "few_images": lambda _: findings(data=pictures(24)),
    "single_class": lambda _: findings(data=one_class()),
    "default_preprocessing": lambda _: findings(mean=None, std=None),
    "skipped_images": skipping,
    "changing_images": lambda _: findings(data=Cropped()),
    "black_box": lambda _: findings(black_box),
}


@pytest.fixture(scope="module")
def fine() -> dict[str, Finding]:
    """A sound model on sound data."""
    return findings()


def test_every_check_has_a_case_here():
    assert set(RAISED) == set(available("checks"))


def test_a_sound_model_on_sound_data_raises_nothing(fine):
    assert fine == {}


@pytest.mark.parametrize("name", available("checks"))
def test_the_code_is_the_file_name_and_the_case_raises_it(name, tmp_path):
    check = load("checks", name)
    assert check.code == name.replace("_", "-")
    found = RAISED[name](tmp_path)
    assert "check-failed" not in found
    finding = found[check.code]
    assert finding.severity == check.severity
    assert len(finding.message) > 20
    assert len(finding.remedy) > 5


def test_a_check_that_breaks_becomes_a_finding(monkeypatch):
    from semcon.checks import Chance

    monkeypatch.setattr(Chance, "run", lambda self, evidence: 1 / 0)
    assert "ZeroDivisionError" in findings()["check-failed"].message


def test_a_single_probability_is_told_from_a_logit():
    class One(nn.Module):
        def __init__(self, sigmoid: bool) -> None:
            super().__init__()
            self.body, self.sigmoid = Quadrants().eval(), sigmoid

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.body(x)[:, :1] - self.body(x)[:, 1:2]
            return z.sigmoid() if self.sigmoid else z

    data = pictures()[0], (pictures()[1] == 0).long()
    assert "class 1" in findings(One(sigmoid=True), data)["probabilities-as-logits"].message
    assert "probabilities-as-logits" not in findings(One(sigmoid=False), data)


def test_missing_labels_are_counted():
    """By hand: 12 of the 120."""
    assert findings(data=SomeLabels())["missing-labels"].message.startswith("12 of 120 images have no label")


def test_without_labels_nothing_that_needs_them_is_said():
    found = findings(data=pictures()[0])
    assert not {"normalization", "label-order", "missing-labels", "single-class", "check-failed"} & set(found)


CONSTANTS = {
    "resnet20": ("akamaster_resnet20", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "resnet56": ("akamaster_resnet56", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "resnet2b": ("robust_resnet2b", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "resnet4b": ("robust_resnet4b", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "oval_base": ("robust_oval_base_kw", (0.485, 0.456, 0.406), (0.225, 0.225, 0.225)),
}


def checkpoint(data_dir: Path, name: str, **changes: Any) -> dict[str, Finding]:
    weights, mean, std = CONSTANTS[name]
    folder = data_dir / "weights" / "cifar10"
    settings = QUICK | {"mean": mean, "std": std, "limit": 256, "weights": folder / f"{weights}.safetensors"} | changes
    return findings(
        f"file:{folder / 'models.py'}:{name}", f"parquet:{data_dir / 'cifar10' / 'test.parquet'}", **settings
    )


@pytest.mark.data
@pytest.mark.parametrize("name", CONSTANTS)
def test_honest_checkpoints_are_not_accused(data_dir, name):
    """Five real networks with their right constants: no issue; at most that 256 images are few for rare flips."""
    assert set(checkpoint(data_dir, name)) <= {"few-images"}


@pytest.mark.data
@pytest.mark.parametrize("wrong", [{"mean": 0.0, "std": 1.0}, {"mean": (-2.6, -2.5, -2.2), "std": (0.05, 0.05, 0.05)}])
def test_a_wrong_normalisation_of_a_real_network_is_found(data_dir, wrong):
    """ResNet-20 without its normalisation (or with one that is far off) is much worse than with ImageNet's."""
    finding = checkpoint(data_dir, "resnet20", **wrong)["normalization"]
    assert "ImageNet's" in finding.message


@pytest.mark.data
def test_labels_in_another_order_are_found_on_real_images(data_dir, tmp_path):
    frame = pl.read_parquet(data_dir / "cifar10" / "test.parquet", n_rows=256)
    label = next(name for name in frame.columns if "label" in name)
    frame.with_columns((pl.col(label) + 3) % 10).write_parquet(tmp_path / "turned.parquet")
    weights, mean, std = CONSTANTS["resnet20"]
    folder = data_dir / "weights" / "cifar10"
    found = findings(
        f"file:{folder / 'models.py'}:resnet20", f"parquet:{tmp_path / 'turned.parquet'}",
        **QUICK | {"mean": mean, "std": std, "weights": folder / f"{weights}.safetensors"},
    )  # fmt: skip
    assert "label-order" in found
