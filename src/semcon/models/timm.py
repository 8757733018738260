"""Timm: any network of timm by name, or from the Hugging Face Hub through timm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from semcon.built import Built, Preprocessing
from semcon.weights import load_weights
from semcon.canvas import Canvas
from semcon.core.errors import MissingPackageError, SemconError, UnknownNameError
from semcon.torchvision_import import import_torchvision


@dataclass(frozen=True)
class Timm:
    """`name`: `resnet18`, `resnet18.a1_in1k`, `hf-hub:ORG/NAME`.

    `weights`: None fetches the pretrained ones, "none" keeps random ones, else a file. Preprocessing is the network's
    own configuration: input size, crop share and mode, interpolation, mean and std. ImageNet's classes are known.
    """

    name: str
    weights: str | None = None

    def build(self) -> Built:
        """Errors: `UnknownNameError` with near names; `SemconError` where weights cannot be fetched."""
        try:
            import_torchvision()
            import timm
            from timm.data import resolve_data_config  # pyright: ignore[reportPrivateImportUsage]
        except ModuleNotFoundError:
            raise MissingPackageError("timm", "timm", f"timm:{self.name}") from None
        remote = self.name.startswith("hf-hub:")
        if not remote:
            _check_name(self.name)
        try:
            network = timm.create_model(self.name, pretrained=self.weights is None)
        except Exception as error:  # hubs fail in many ways: no network, no such repository, no such tag
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise SemconError(
                f"cannot fetch {self.name} ({type(error).__name__}: {reason[:200]}): "
                "give --weights FILE, or --weights none for random weights"
            ) from None
        if self.weights is not None:
            load_weights(network, self.weights)
        config = resolve_data_config({}, model=network)
        source = self.name if remote else f"timm:{self.name}"
        return Built(
            network.eval(), self.name.rpartition("/")[2], source, _preprocessing(config), _class_names(network),
            weights=self.weights,
        )  # fmt: skip


def _check_name(name: str) -> None:
    import timm
    from timm.models import get_arch_pretrained_cfgs  # pyright: ignore[reportPrivateImportUsage]

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UnknownNameError("timm model", name, timm.list_models())
    tags = [known.partition(".")[2] for known in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        raise UnknownNameError(f"tag of timm:{architecture}", tag, tags)


def _class_names(network: Any) -> tuple[str, ...] | None:
    """The names that come with the weights, else ImageNet's WordNet identifiers (n01440764, ...) where it is that."""
    from timm.data import ImageNetInfo, infer_imagenet_subset  # pyright: ignore[reportPrivateImportUsage]

    named = network.pretrained_cfg.get("label_names")
    subset = infer_imagenet_subset(network)
    if not named and subset is not None:
        named = ImageNetInfo(subset).label_names()
    return tuple(named) if named and len(named) == network.num_classes else None


def _preprocessing(config: dict[str, Any]) -> Preprocessing:
    _, height, width = config["input_size"]
    share = config.get("crop_pct") or 1.0
    mode = config.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise SemconError(
            f"semcon has no crop mode {mode!r}, which this network's configuration asks for: build it in a file of "
            "your own, file:PATH.py:BUILDER, and give --size, --mean and --std"
        )
    canvas = Canvas(
        height, width, resize=math.floor(min(height, width) / share), interpolation=config["interpolation"], crop=mode
    )
    return Preprocessing(canvas, tuple(config["mean"]), tuple(config["std"]), "timm configuration")
