"""Wall time of explanations and their measures beside captum and quantus, on the same network and images.

    python benchmarks/explanations.py [--data DIR] [--peers DIR] [--repeats 3] [--images 64] [--device cuda]
        [--out FILE]

DIR: the folder with `weights/cifar10` and `cifar10/test.parquet` (SEMCON_DATA); without it nothing is measured.
`--peers`: where captum and quantus are installed (a site-packages folder); what is missing is left out, as is quantus,
which takes numpy, on a GPU. ResNet-20 on CIFAR-10. Steps, samples, squares and noise draws are equal, so that the
network's own passes bound every ratio; deletion is the same curve at 16 shares of the pixels, for which quantus, which
counts channels, makes 48 passes. captum stands as it comes, and in passes of about 64 canvases where it can be told:
as it comes LIME takes one canvas a pass, the others all at once. The agreement of the results is
`studies/explanation_parity`. Both take turns within a repeat; medians of the repeats and of their ratios, in wall and
in processor time, which is the steadier of the two on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from environment import environment
from torch import Tensor, nn

from semcon.built import build_subject
from semcon.explaining.curves import deletion
from semcon.explaining.fidelity import Removals, infidelity, max_sensitivity
from semcon.explanations import GradCam, InputXGradient, IntegratedGradients, Lime, SmoothGrad
from semcon.explanations.lime import superpixels
from semcon.keyed import Keys
from semcon.loading import Batch, batches, scan
from semcon.recipes.sources import parse_data, parse_model
from semcon.subject import Subject

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEPS, SAMPLES, DRAWS, SQUARES, SHARES, PATCH, PASS = 32, 16, 10, 64, 16, 4, 64
IN_PASSES = "captum, in passes"
Work = Callable[[], Any]


class Normalised(nn.Module):
    """What the peers take: a module from [0, 1] to logits, or probabilities."""

    def __init__(self, network: nn.Module, *, probabilities: bool = False) -> None:
        super().__init__()
        self.network, self.probabilities = network, probabilities
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network((x - self.mean) / self.std)
        return logits.softmax(1) if self.probabilities else logits


def load(data: Path, images: int, device: str = "cpu") -> tuple[Subject, Batch]:
    folder = data / "weights" / "cifar10"
    model = parse_model(f"file:{folder / 'models.py'}:resnet20", str(folder / "akamaster_resnet20.safetensors"))
    dataset = parse_data(f"parquet:{data / 'cifar10' / 'test.parquet'}", images)
    found = scan(dataset)
    subject = build_subject(
        model.build(), mean=MEAN, std=STD, size=None, classes=None, device=device, precision="32",
        common_size=found.common_size, name="resnet20",
    )  # fmt: skip
    return subject, Batch.concat(list(batches(dataset, subject.canvas, found, range(images), batch_size=images)))


def cases(subject: Subject, batch: Batch) -> dict[str, dict[str, Work]]:
    """By what is done, who does it; the first is semcon."""
    x, keys = batch.x.to(subject.device), Keys(batch.ids, 0, 0, "explanation", subject.device)
    with torch.no_grad():
        target = subject(x).argmax(1)
    cam, integrated = GradCam().settled(subject), IntegratedGradients(STEPS)
    maps = integrated(subject, x, target, keys)
    product, black = InputXGradient(), torch.zeros_like(x)
    shares = torch.arange(1, SHARES + 1, device=x.device) / SHARES

    def of_squares() -> Tensor:
        removed = Removals.drawn(subject, x, target, keys, SQUARES)
        return infidelity(removed.told_by(maps), removed.drop)

    found: dict[str, dict[str, Work]] = {
        "integrated gradients": {"semcon": lambda: integrated(subject, x, target, keys)},
        "GradCAM": {"semcon": lambda: cam(subject, x, target, keys)},
        "SmoothGrad": {"semcon": lambda: SmoothGrad(SAMPLES)(subject, x, target, keys)},
        "LIME": {"semcon": lambda: Lime(segments=16, samples=200)(subject, x, target, keys)},
        "deletion": {"semcon": lambda: deletion(subject, x, target, maps, black, shares)},
        "infidelity": {"semcon": of_squares},
        "max-sensitivity": {
            "semcon": lambda: max_sensitivity(product, subject, x, target, keys, draws=DRAWS),
        },
    }
    network = subject.module
    assert network is not None
    logits = Normalised(network).to(x.device).eval()
    for add in (_captum, _quantus) if x.device.type == "cpu" else (_captum,):
        try:
            for name, peers in add(logits, x, target, maps, str(cam.layer)).items():
                found[name] |= peers
        except ImportError as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


def _captum(logits: nn.Module, x: Tensor, target: Tensor, maps: Tensor, layer: str) -> dict[str, dict[str, Work]]:
    from captum import attr, metrics

    probabilities = Normalised(logits.network, probabilities=True).to(x.device).eval()  # pyright: ignore[reportArgumentType]
    module = dict(logits.network.named_modules())[layer]  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    segments = superpixels(x, 16).to(x.device)
    expanded = maps[:, None].expand_as(x)

    def integrated(canvases: int | None) -> None:
        attr.IntegratedGradients(logits).attribute(
            x, target=target, n_steps=STEPS, method="gausslegendre", internal_batch_size=canvases
        )

    def smooth(samples: int | None) -> None:
        attr.NoiseTunnel(attr.Saliency(logits)).attribute(
            x, target=target, nt_samples=SAMPLES, nt_samples_batch_size=samples, stdevs=0.15, abs=False
        )

    def lime(canvases: int) -> None:
        for row in range(len(x)):
            attr.Lime(probabilities).attribute(
                x[row : row + 1], target=int(target[row]), feature_mask=segments[row][None, None].expand(1, 3, -1, -1),
                n_samples=200, perturbations_per_eval=canvases,
            )  # fmt: skip

    def squares(inputs: Tensor) -> tuple[Tensor, Tensor]:
        where = torch.zeros_like(inputs)
        corner = torch.randint(0, inputs.shape[2] - 7, (len(inputs), 2))
        for row, (top, left) in enumerate(corner.tolist()):
            where[row, :, top : top + 8, left : left + 8] = 1
        return where * inputs, inputs * (1 - where)

    def of_squares(canvases: int | None) -> None:
        metrics.infidelity(
            logits, squares, x, expanded, target=target, n_perturb_samples=SQUARES, max_examples_per_batch=canvases
        )

    def sensitivity(canvases: int | None) -> None:
        metrics.sensitivity_max(
            lambda inputs, target: attr.InputXGradient(logits).attribute(inputs, target=target), x.clone(),
            n_perturb_samples=DRAWS, max_examples_per_batch=canvases, target=target,
        )  # fmt: skip

    def told(work: Callable[[Any], None], own: int | None, few: int) -> dict[str, Work]:
        return {"captum": lambda: work(own), IN_PASSES: lambda: work(few)}

    return {
        "integrated gradients": told(integrated, None, PASS),
        "GradCAM": {"captum": lambda: attr.LayerAttribution.interpolate(
            attr.LayerGradCam(logits, module).attribute(x, target=target), x.shape[2:], "bilinear")},  # pyright: ignore[reportArgumentType]
        "SmoothGrad": told(smooth, None, 1),
        "LIME": told(lime, 1, PASS),
        "infidelity": told(of_squares, None, PASS),
        "max-sensitivity": told(sensitivity, None, PASS),
    }  # fmt: skip


def _quantus(logits: nn.Module, x: Tensor, target: Tensor, maps: Tensor, _: str) -> dict[str, dict[str, Work]]:
    import quantus
    from captum import attr

    given = {"model": logits, "x_batch": x.numpy(), "y_batch": target.numpy(), "channel_first": True, "device": "cpu"}
    own = maps[:, None].numpy()

    def explain(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> Any:
        data = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_()
        found = attr.InputXGradient(model).attribute(data, target=torch.as_tensor(targets))
        return found.sum(1, keepdim=True).detach().numpy()

    flipping = quantus.PixelFlipping(features_in_step=1024 // SHARES, perturb_baseline=0.0, normalise=False)
    blocks = quantus.Infidelity(perturb_patch_sizes=[PATCH], n_perturb_samples=1, perturb_baseline=0.0)
    sensitive = quantus.MaxSensitivity(nr_samples=DRAWS, lower_bound=0.02)
    return {
        "deletion": {"quantus": lambda: flipping(**given, a_batch=own, softmax=True)},
        "infidelity": {"quantus": lambda: blocks(**given, a_batch=own)},
        "max-sensitivity": {"quantus": lambda: sensitive(**given, a_batch=None, explain_func=explain)},
    }


def timed(work: Work) -> tuple[float, float]:
    """Wall and processor seconds."""
    began = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def measured(found: dict[str, dict[str, Work]], repeats: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, peers in found.items():
        times: dict[str, list[tuple[float, float]]] = {peer: [] for peer in peers}
        for work in peers.values():
            work()
        for _ in range(repeats):
            for peer, work in peers.items():
                times[peer].append(timed(work))
        result[name] = {peer: _told(each, times["semcon"]) for peer, each in times.items()}
        print(name, result[name], flush=True)
    return result


def _told(own: list[tuple[float, float]], semcon: list[tuple[float, float]]) -> dict[str, float]:
    """Medians of wall and processor seconds, and of both over semcon's in the same repeat."""
    told: dict[str, float] = {}
    for place, kind in enumerate(("wall", "processor")):
        told[f"{kind}_seconds"] = round(statistics.median(one[place] for one in own), 4)
        if own is not semcon:
            ratios = [one[place] / ours[place] for one, ours in zip(own, semcon, strict=True)]
            told[f"{kind}_times_semcon"] = round(statistics.median(ratios), 2)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SEMCON_DATA", "../shared/data")))
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args()
    if not settings.data.is_dir():
        raise SystemExit(f"no such folder: {settings.data}")
    if settings.peers:
        sys.path.append(str(settings.peers))
    warnings.simplefilter("ignore")
    with torch.no_grad():
        subject, batch = load(settings.data, settings.images, settings.device)
    result = {
        "what": "explanations and their measures beside captum and quantus: seconds, and times those of semcon",
        "environment": environment(torch.device(settings.device)), "images": settings.images, "network": "resnet20",
        "repeats": settings.repeats, "cases": measured(cases(subject, batch), settings.repeats),
    }  # fmt: skip
    if settings.out:
        settings.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
