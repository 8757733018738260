"""What an audit costs beside the forward passes it must make, and how much memory it holds.

    python benchmarks/audit.py [--repeats 5] [--device cpu] [--only ratio|memory] [--out FILE]

Ratio: wall time of a whole audit (reading, two passes, rows on disk, estimates, gallery, report) over the wall time of
bare forward passes of as many normalised images in the same batches, before and after it in turn, in one run; medians.
Networks: ResNet-20 for 32 px (1000 images) and ResNet-18 for 224 px (50 images), random weights, centred logits with
L2, Gaussian noise and brightness at five severities and three draws each, no search, no gradient norm; then other
configurations at 32 px. The audit feeds convolutions on a CPU in the order of memory that suits them, the bare passes
do not: that is how the ratio can fall below 1. Memory: peak resident memory of audits of 10 000 and 100 000 generated
images in processes of their own, less the bytes of their rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from environment import environment
from torch import Tensor, nn
from torch.nn import functional

import semcon
from semcon.datasets.shapes import Shapes

HERE = Path(__file__).parent
CLASSES = 5  # as many as the generated images have


class Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.Conv2d(after, after, 3, 1, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.pad = (after - before) // 2

    def forward(self, x: Tensor) -> Tensor:
        out = self.norms[1](self.second(functional.relu(self.norms[0](self.first(x)))))
        if self.pad:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return functional.relu(out + x)


def resnet20() -> nn.Module:
    """He et al. (arXiv 1512.03385), section 4.2."""
    blocks = [Block(16, 16, 1) for _ in range(3)]
    blocks += [
        Block(16, 32, 2),
        Block(32, 32, 1),
        Block(32, 32, 1),
        Block(32, 64, 2),
        Block(64, 64, 1),
        Block(64, 64, 1),
    ]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES)).eval()


def resnet18() -> nn.Module:
    """timm's, random weights."""
    from semcon.torchvision_import import import_torchvision

    import_torchvision()
    import timm

    return timm.create_model("resnet18", num_classes=CLASSES).eval()


PLAIN: dict[str, Any] = {
    "perturbations": ["gaussian_noise", "brightness"], "layers": [], "budget": "standard", "critical": False,
    "gradient_norm": False,
}  # fmt: skip
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "logits L2, noise and brightness": {**PLAIN, "gauges": ["logits.l2"]},
    "the default gauges": {**PLAIN, "layers": None},
    "the fast budget, every perturbation": {"budget": "fast"},
}


def passes(record: semcon.RunRecord) -> int:
    """Images that went through the network."""
    return record.record.timing.forward_images


def audited(network: nn.Module, data: Shapes, device: str, options: dict[str, Any]) -> tuple[float, int]:
    """Seconds and forward images of one audit."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        record = semcon.audit(
            network, data, mean=0.5, std=0.25, limit=len(data), device=device, out=Path(folder) / "run", **options
        )
        return time.perf_counter() - start, passes(record)


def bare(network: nn.Module, x: Tensor, images: int, batch_size: int) -> float:
    """Seconds for that many images through the network, in the same batches, nothing else."""
    start = time.perf_counter()
    done = 0
    with torch.no_grad():
        while done < images:
            for part in x.split(batch_size):
                float(network(part)[0, 0])
                done += len(part)
                if done >= images:
                    break
    return time.perf_counter() - start


def ratio(
    build: Callable[[], nn.Module], size: int, images: int, device: str, repeats: int, options: dict[str, Any]
) -> Any:
    """Medians of the audit, of the bare passes, and of their ratio."""
    from semcon.canvas import images_per_pass

    network, data = build().to(device), Shapes(n=images, size=size)
    batch_size = images_per_pass(size, size, torch.device(device))
    x = torch.rand(min(images, 512), 3, size, size, device=device)
    audited(network, Shapes(n=64, size=size), device, options)
    audits, bares, ratios = [], [], []
    count, alone = 0, 0.0
    for repeat in range(repeats):
        if repeat % 2:
            alone = bare(network, x, count, batch_size)
        seconds, count = audited(network, data, device, options)
        if not repeat % 2:
            alone = bare(network, x, count, batch_size)
        audits.append(seconds)
        bares.append(alone)
        ratios.append(seconds / alone)
    return {
        "size": size, "images": images, "forward_images": count, "batch_size": batch_size,
        "audit_seconds": statistics.median(audits), "bare_seconds": statistics.median(bares),
        "ratio": statistics.median(ratios), "ratios": ratios,
        "bare_images_per_second": count / statistics.median(bares),
    }  # fmt: skip


def memory(images: int) -> dict[str, float]:
    """Peak memory of an audit in a process of its own, in MB."""
    command = [sys.executable, __file__, "--one", str(images)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def one(images: int) -> None:
    """In the process of its own: audit that many generated images through a tiny network."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 5)).eval()
    with tempfile.TemporaryDirectory() as folder:
        record = semcon.audit(
            network, Shapes(n=images, size=32), mean=0.5, std=0.25, limit=images, layers=[], gradient_norm=False,
            perturbations=["gaussian_noise:0.05", "brightness:0.2"], out=Path(folder) / "run",
        )  # fmt: skip
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table = record.samples
        rows = (table.rows.estimated_size() + table.images.estimated_size()) / 2**20
    print(json.dumps({"images": images, "peak_mb": peak, "rows_mb": rows, "beyond_rows_mb": peak - rows}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=("ratio", "memory"))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "audit.json")
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return
    plain = json.loads(options.out.read_text()) if options.out.exists() else {}
    plain |= {"what": __doc__.splitlines()[0], "environment": environment(torch.device(options.device))}
    if options.only != "memory":
        ratios: dict[str, Any] = {}
        for name, settings in CONFIGURATIONS.items():
            ratios[f"ResNet-20, 32 px: {name}"] = ratio(resnet20, 32, 1000, options.device, options.repeats, settings)
            print(name, json.dumps(ratios[f"ResNet-20, 32 px: {name}"]), flush=True)
        first = next(iter(CONFIGURATIONS))
        large = ratio(resnet18, 224, 50, options.device, options.repeats, CONFIGURATIONS[first])
        ratios[f"ResNet-18, 224 px: {first}"] = large
        print(json.dumps(large), flush=True)
        plain["ratio"] = ratios
    if options.only != "ratio":
        found = [memory(images) for images in (10_000, 100_000)]
        growth = found[1]["beyond_rows_mb"] / found[0]["beyond_rows_mb"] - 1
        plain["memory"] = {"audits": found, "growth_beyond_rows": growth}
        print(json.dumps(plain["memory"]))
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
