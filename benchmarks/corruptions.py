"""Images per second of the nineteen common corruptions beside imagecorruptions-imaug and corrupt-tta.

    python benchmarks/corruptions.py [--sizes 32,224] [--repeats 5] [--device cpu] [--level 3]
        [--peer PACKAGE=PYTHON ...] [--out FILE]

PACKAGE: imagecorruptions or corrupt_tta; PYTHON: the interpreter of an environment that holds it, which is not ours, as
both need OpenCV. Every library corrupts images of the same size and content at one published level: semcon a batch in
one process, keyed draws included; the peers image by image, as they are made, in one process with the threads of their
own choice and in two. The peers have the parameters of 224 px at any size, semcon those of 32 px at 32. Medians over
repeats that take turns, in one run. A ratio is semcon's over the faster of a peer's two ways. Beside it stands what
others on the machine change less: processor milliseconds for an image, semcon on one thread, a peer in one process.
On a GPU semcon's batches are 32 times as large, and the processor's time is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import environment
from PIL import Image
from torch import Tensor

from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.published import COMMON, EXTRA, ladder

NAMES = list(COMMON | EXTRA)
WORKER = Path(__file__).parent / "corruption_peer.py"
OURS = "semcon"
Table = dict[str, dict[str, float]]


class Peer:
    """A package in an environment of its own, in one process or two."""

    def __init__(self, package: str, python: str, processes: int) -> None:
        self.processes = processes
        self.name, command = f"{package}, {processes} process{'es' * (processes > 1)}", [python, str(WORKER)]
        self.process = subprocess.Popen(
            [*command, package, str(processes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, file: str, name: str, level: int) -> tuple[float, float]:
        """Of the clock, and of processors."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"file": file, "name": name, "level": level}), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended while it ran {name}")
        wall, processor = json.loads(answer)
        return wall, processor


def pictures(count: int, size: int) -> np.ndarray:
    """Smooth colours, (N, size, size, 3) uint8."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)) for image in coarse]
    )


def own(x: Tensor, name: str, level: int, clock: Callable[[], float]) -> float:
    """Seconds for a batch."""
    kind, severities = ladder(name, x.shape[-2])
    perturbation, keys = load("perturbations", kind)(), Keys(torch.arange(len(x), device=x.device), scope=kind)
    start = clock()
    perturbation(x, perturbation.sample(keys, x), severities[level - 1])
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def own_processor(x: Tensor, name: str, level: int) -> float:
    """Processor seconds for a batch on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return own(x, name, level, time.process_time)
    finally:
        torch.set_num_threads(threads)


def measured(size: int, peers: list[Peer], options: argparse.Namespace, folder: str) -> tuple[Table, Table]:
    """Images per second by corruption and library, and processor milliseconds for an image."""
    counts = {OURS: 256 if size <= 64 else 16, "peer": 64 if size <= 64 else 8}
    counts[OURS] *= 32 if options.device != "cpu" else 1  # a GPU is not full before
    file = f"{folder}/{size}.npy"
    np.save(file, pictures(counts["peer"], size))
    x = torch.from_numpy(pictures(counts[OURS], size)).permute(0, 3, 1, 2).float().div_(255).contiguous()
    x, rates, processor = x.to(options.device), {}, {}
    for name in NAMES:
        times: dict[str, list[float]] = {OURS: []} | {peer.name: [] for peer in peers}
        spent: dict[str, list[float]] = {OURS: []} | {peer.name: [] for peer in peers if peer.processes == 1}
        for _ in range(options.repeats + 1):  # the first warms up: compiled functions, pages, thread pools
            times[OURS].append(own(x, name, options.level, time.perf_counter) / counts[OURS])
            for peer in peers:
                wall, own_time = peer.seconds(file, name, options.level)
                times[peer.name].append(wall / counts["peer"])
                if peer.processes == 1:
                    spent[peer.name].append(own_time / counts["peer"])
        for _ in range(options.repeats + 1 if options.device == "cpu" else 0):
            spent[OURS].append(own_processor(x, name, options.level) / counts[OURS])
        rates[name] = {key: 1 / statistics.median(each[1:]) for key, each in times.items()}
        processor[name] = {key: 1000 * statistics.median(each[1:]) for key, each in spent.items() if each}
        print(f"{size:>4} px  {name:<18}", "  ".join(f"{k} {v:.0f}" for k, v in rates[name].items()), flush=True)
    return rates, processor


def compared(table: Table) -> dict[str, Any]:
    """Images per second beside each package: the geometric mean of the ratios, and the corruptions that are slower."""
    found: dict[str, Any] = {}
    for package in {key.partition(",")[0] for row in table.values() for key in row if key != OURS}:
        ratios = {
            name: row[OURS] / max(value for key, value in row.items() if key.startswith(package))
            for name, row in table.items()
        }
        mean = statistics.geometric_mean(ratios.values())
        found[package] = {"geometric_mean": mean, "slower": {n: r for n, r in ratios.items() if r < 1}, "times": ratios}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="32,224")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], metavar="PACKAGE=PYTHON")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "corruptions.json")
    options = parser.parse_args()
    named = [peer.partition("=")[::2] for peer in options.peer]
    peers = [Peer(package, python, processes) for package, python in named for processes in (1, 2)]
    with tempfile.TemporaryDirectory() as folder:
        sizes = [int(part) for part in options.sizes.split(",")]
        found = {str(size): measured(size, peers, options, folder) for size in sizes}
    for peer in peers:
        peer.process.terminate()
    plain = {
        "what": f"images per second at level {options.level}, medians",
        "environment": environment(torch.device(options.device)),
        "load_average_15_minutes": os.getloadavg()[2],  # beyond the processors: the clock's figures mean little
        "images_per_second": {size: rates for size, (rates, _) in found.items()},
        "beside": {size: compared(rates) for size, (rates, _) in found.items()},
        "processor_milliseconds": {size: spent for size, (_, spent) in found.items()},
        "beside_by_processor": {
            size: compared(_inverse(spent)) for size, (_, spent) in found.items() if options.device == "cpu"
        },
    }
    options.out.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n")
    for kind in ("beside", "beside_by_processor"):
        for size, beside in plain[kind].items():
            for package, row in beside.items():
                mean, slower = row["geometric_mean"], row["slower"] or "none"
                print(f"{kind}, {size} px, {package}: {mean:.1f} times; slower: {slower}")


def _inverse(table: Table) -> Table:
    return {name: {key: 1 / value for key, value in row.items()} for name, row in table.items()}


if __name__ == "__main__":
    with torch.inference_mode():
        main()
