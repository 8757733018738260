"""semcon's corruptions beside the published ones, cell by cell: `python compare.py REFERENCE.npz ... --data DATA`.

REFERENCE: what `reference.py` wrote, one file or a file a size. DATA: the folder with `weights/cifar10` and
`cifar10/test.parquet`. Writes results/parity.json and prints it. Both sides are compared as 8-bit images, as
published: truncated, where Pillow did not round. Of what is the same at every draw: mean and largest difference of a
value. Of the rest, in distribution: each image's mean error to the clean one, its mean and spread over images; SSIM
to the clean image; at 32 px the accuracy of akamaster's ResNet-20, with the 95 % interval of the difference, paired
by image. Our draws are averaged per image.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from environment import environment

from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.published import COMMON, EXTRA, ladder

HERE = Path(__file__).resolve().parent
ROUNDED = ("pixelate", "jpeg_compression")
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TIGHT, CLOSE = 0.5, 0.05  # grey levels where nothing is random; share of the error where something is


def network(data: Path) -> nn.Module:
    """akamaster's CIFAR-10 ResNet-20, normalisation included."""
    folder = data / "weights" / "cifar10"
    specification = importlib.util.spec_from_file_location("models", folder / "models.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    model = module.resnet20()
    (weights,) = folder.glob("akamaster_resnet20*")
    if weights.suffix == ".safetensors":
        from safetensors.torch import load_file

        model.load_state_dict(load_file(weights))
    else:
        model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def labels(data: Path, count: int) -> Tensor:
    import polars

    return torch.tensor(
        polars.read_parquet(data / "cifar10" / "test.parquet", columns=["label"])["label"].to_list()[:count]
    )


def correct(model: nn.Module, images: Tensor, truth: Tensor) -> Tensor:
    """1 where the network names the class, (N,)."""
    mean, spread = (images.new_tensor(each).view(1, 3, 1, 1) for each in (MEAN, SPREAD))
    parts = [model((part - mean) / spread).argmax(1) for part in images.split(250)]
    return (torch.cat(parts) == truth).float()


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of each image, by a Gaussian window of 1.5 px. Source: Wang et al., IEEE TIP 13(4), 2004."""
    a, b = (each.mean(dim=1, keepdim=True) for each in (a, b))
    taps = torch.exp(-0.5 * (torch.arange(-5, 6) / 1.5) ** 2)
    taps = (taps / taps.sum()).view(1, 1, 1, -1)

    def smooth(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, taps), taps.mT)

    first, second = smooth(a), smooth(b)
    one, two, both = smooth(a * a) - first**2, smooth(b * b) - second**2, smooth(a * b) - first * second
    c, d = 0.01**2, 0.03**2
    map_ = (2 * first * second + c) * (2 * both + d) / ((first**2 + second**2 + c) * (one + two + d))
    return map_.mean(dim=(1, 2, 3))


def corrupted(x: Tensor, name: str, level: int, draw: int) -> Tensor:
    """Ours, as 8 bits in [0, 1]."""
    perturbation_name, severities = ladder(name, x.shape[-2])
    perturbation = load("perturbations", perturbation_name)()
    ids = torch.arange(len(x))
    out = []
    for rows in torch.arange(len(x)).split(100):
        unit = perturbation.sample(Keys(ids[rows], draw=draw, scope=perturbation_name), x[rows])
        out.append(perturbation(x[rows], unit, severities[level - 1]))
    values = torch.cat(out) * 255
    return (values.round() if name in ROUNDED else (values + 1e-3).floor()) / 255


def figures(clean: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image: mean error in grey levels, SSIM."""
    return (images - clean).abs().mean(dim=(1, 2, 3)) * 255, similarity(images, clean)


def fixed(name: str) -> bool:
    return load("perturbations", (COMMON | EXTRA)[name]).parameters == "fixed"


def cell(clean: Tensor, theirs: Tensor, name: str, level: int, draws: int) -> tuple[dict[str, Any], list[Tensor]]:
    """What is compared, and our images of every draw."""
    ours = [corrupted(clean, name, level, draw) for draw in range(1 if fixed(name) else draws)]
    error, ssim = figures(clean, theirs)
    pairs = [figures(clean, images) for images in ours]
    own_error, own_ssim = (torch.stack(each).mean(0) for each in zip(*pairs, strict=True))
    gap = own_error - error
    found: dict[str, Any] = {
        "error": [float(error.mean()), float(own_error.mean())],
        "error_gap_standard_error": float(gap.std() / math.sqrt(len(gap))),
        "error_spread": [float(error.std()), float(torch.stack([p[0].std() for p in pairs]).mean())],
        "ssim": [float(ssim.mean()), float(own_ssim.mean())],
    }
    if fixed(name):
        away = (ours[0] - theirs).abs() * 255
        found |= {
            "difference": float(away.mean()),
            "largest": float(away.max()),
            "beyond_2": float((away > 2.5).float().mean()),
        }
    return found, ours


def judged(found: dict[str, Any]) -> bool:
    """Within what we take for parity: see the README."""
    if "difference" in found:
        return found["difference"] <= TIGHT
    (theirs, ours), noise = found["error"], found["error_gap_standard_error"]
    return abs(ours - theirs) <= max(CLOSE * theirs, 2 * noise, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=list(COMMON | EXTRA))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "parity.json")
    options = parser.parse_args()
    reference = {key: value for path in options.reference for key, value in np.load(path).items()}
    sizes = [size for size in (32, 64, 224) if f"{size}/clean" in reference]
    model, cells = network(options.data), {}
    for size in sizes:
        clean = _images(reference[f"{size}/clean"])
        truth = labels(options.data, len(clean))
        for name in options.only:
            for level in range(1, 6):
                theirs = _images(reference[f"{size}/{name}/{level}"])
                found, ours = cell(clean, theirs, name, level, options.draws)
                if size == 32:
                    found |= _accuracy(model, theirs, ours[:2], truth)
                found["within"] = judged(found)
                cells[f"{size}/{name}/{level}"] = _rounded(found)
                print(f"{size}/{name}/{level}", json.dumps(_rounded(found)), flush=True)
    text = {"images": {str(size): len(reference[f"{size}/clean"]) for size in sizes}, "draws": options.draws}
    plain = {"what": __doc__.splitlines()[0].partition(":")[0], **text, "environment": environment(torch.device("cpu"))}
    options.out.write_text(json.dumps(plain | {"cells": cells}, indent=1, allow_nan=False) + "\n")


def _images(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).permute(0, 3, 1, 2).float() / 255


def _accuracy(model: nn.Module, theirs: Tensor, ours: list[Tensor], truth: Tensor) -> dict[str, Any]:
    one = correct(model, theirs, truth)
    two = torch.stack([correct(model, images, truth) for images in ours]).mean(0)
    gap, reach = float((two - one).mean()), 1.96 * float((two - one).std()) / math.sqrt(len(one))
    return {"accuracy": [float(one.mean()), float(two.mean())], "accuracy_gap_95": [gap - reach, gap + reach]}


def _rounded(found: Any) -> Any:
    """Four digits of every number."""
    if isinstance(found, dict):
        return {key: _rounded(value) for key, value in found.items()}
    if isinstance(found, list):
        return [_rounded(each) for each in found]
    return float(f"{found:.4g}") if isinstance(found, float) else found


if __name__ == "__main__":
    with torch.inference_mode():
        main()
