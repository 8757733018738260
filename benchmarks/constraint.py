"""What the constraint costs beside what it gains, by the share of the batch that is copied; and what the loop costs.

    python benchmarks/constraint.py [--repeats 3] [--device cpu] [--only cost|gain|loop] [--out FILE]

Cost: seconds of one step with the constraint over cross-entropy's, interleaved in one run, medians of the paired
ratios; the digit network at 28 px and ResNet-20 at 32 px, batches of 128; P is Gaussian noise, brightness or contrast,
one a sample. Gain: digit networks trained for 600 steps, `--repeats` seeds; relative change and flips on 1000 held-out
digits, means over the three perturbations of the penalty at their limits; the share of the full gain kept is (control -
share) / (control - all); beside it the mean norm of the centred logits, the mean distance between different images
while training ran (`spread`), and the share of steps at the divisor's floor. Loop: seconds of 200 steps of
`semcon.training.loop`, start and last checkpoint included, over a bare PyTorch loop of the same steps; pairs of runs
in turn, the order changing, medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from environment import environment
from torch import Tensor
from torch.nn import functional

from semcon.alpha import Alpha
from semcon.constraint import ContinuityConstraint, Options
from semcon.core.concepts import Objective
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.loading import scan
from semcon.neighbourhood import Neighbourhood
from semcon.networks import build
from semcon.objectives.continuity import Continuity
from semcon.objectives.cross_entropy import CrossEntropy
from semcon.progress import Silent
from semcon.subject import Subject
from semcon.training.loop import train
from semcon.training.pool import Order, Pool
from semcon.training.settings import Settings
from semcon.training.student import Student

HERE = Path(__file__).parent
SHARES = (0.125, 0.25, 0.5, 1.0)
SEEN = {"gaussian_noise": 0.3, "brightness": 0.5, "contrast": 0.5}
BATCH, STEPS, LOOP_STEPS = 128, 600, 200


def objective(share: float, seed: int = 0, ramp: int = 0) -> Objective:
    if share == 0:
        return CrossEntropy()
    near = Neighbourhood.of(tuple(SEEN), tuple(SEEN.values()))
    return Continuity(ContinuityConstraint(near, options=Options(share=share, ramp=ramp), seed=seed), Alpha(4.0))


def student(name: str, seed: int, device: torch.device) -> Student:
    if name == "digits":
        return Student(build(name, 10, seed), mean=(0.1307,), std=(0.3081,), channels=1).to(device)
    return Student(build(name, 10, seed), mean=(0.5,), std=(0.25,)).to(device)


def stepped(
    network: Student, loss: Objective, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, keys: Keys
) -> float:
    start = time.perf_counter()
    total = loss.total(loss(network, x, y, keys))
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def costs(device: torch.device, repeats: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, size, rounds in (("digits", 28, 8 * repeats), ("resnet20", 32, 4 * repeats)):
        network = student(name, 0, device).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(BATCH, 3, size, size, generator=generator).to(device)
        y = torch.randint(10, (BATCH,), generator=generator).to(device)
        losses = {share: objective(share).to(device) for share in (0.0, *SHARES)}
        times: dict[float, list[float]] = {share: [] for share in losses}
        for visit in range(rounds + 1):
            keys = Keys(torch.arange(BATCH, device=device), 0, visit, "train")
            for share, loss in losses.items():
                times[share].append(stepped(network, loss, optimizer, x, y, keys))
        base = times[0.0][1:]
        found[name] = {
            f"{share:g}": {
                "seconds": statistics.median(times[share][1:]),
                "ratio": statistics.median(one / other for one, other in zip(times[share][1:], base, strict=True)),
            }
            for share in losses
        }
        print(name, json.dumps(found[name]), flush=True)
    return found


def pools() -> tuple[Pool, Pool]:
    digits = load("datasets", "mnist5k")()
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0)).tolist()
    canvas = Subject(build("digits", 10, 0), name="", canvas=_canvas(), channels=1).canvas
    made = []
    for part in (digits.subset(order[:4000]), digits.subset(order[4000:])):
        scanned = scan(part)
        made.append(Pool(part, canvas, scanned, scanned.labels, device=torch.device("cpu")))
    return made[0], made[1]


def _canvas() -> Any:
    from semcon.canvas import Canvas

    return Canvas(28, 28)


@torch.no_grad()
def looked(network: Student, held: Pool) -> dict[str, float]:
    x = held.take(torch.arange(len(held)))
    clean = network(x)
    clean = clean - clean.mean(1, keepdim=True)
    spread = torch.cdist(clean, clean).sum() / (len(x) * (len(x) - 1))
    changes, flips = [], []
    for name, severity in SEEN.items():
        perturbation = load("perturbations", name)()
        moved = network(perturbation(x, perturbation.sample(Keys(held.ids, 1, 0, name), x), severity))
        moved = moved - moved.mean(1, keepdim=True)
        changes.append(float((clean - moved).norm(dim=1).mean() / spread))
        flips.append(float((clean.argmax(1) != moved.argmax(1)).float().mean()))
    accuracy = float((clean.argmax(1) == held.labels).float().mean())
    return {
        "accuracy": accuracy, "relative_change": statistics.mean(changes), "flip": statistics.mean(flips),
        "centred_logit_norm": float(clean.norm(dim=1).mean()),
    }  # fmt: skip


def gains(repeats: int) -> dict[str, Any]:
    fit, held = pools()
    runs: list[dict[str, Any]] = []
    for seed in range(repeats):
        for share in (0.0, *SHARES):
            network = student("digits", seed, torch.device("cpu"))
            settings = Settings(STEPS, BATCH, "adam", seed=seed, checkpoint_seconds=1e9, accelerator="cpu")
            loss = objective(share, seed, ramp=round(0.3 * STEPS))
            with tempfile.TemporaryDirectory() as folder:
                train(network, fit, loss, settings, folder=Path(folder), progress=Silent())
                lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
            told = {} if share == 0 else {
                "floored_share": lines[-1]["floored_share"],
                "spread": {str(line["step"]): round(line["spread"], 3) for line in lines if line["step"] % 100 == 0},
            }  # fmt: skip
            runs.append({"share": share, "seed": seed, **looked(network, held), **told})
            print(json.dumps(runs[-1]), flush=True)
    kept: dict[str, Any] = {}
    for quantity in ("relative_change", "flip"):
        mean = {
            share: statistics.mean(run[quantity] for run in runs if run["share"] == share) for share in (0.0, *SHARES)
        }
        kept[quantity] = {f"{share:g}": (mean[0.0] - mean[share]) / (mean[0.0] - mean[1.0]) for share in SHARES}
    return {"runs": runs, "share_of_full_gain": kept}


def own_loop(fit: Pool, seed: int) -> float:
    network = student("digits", seed, torch.device("cpu"))
    settings = Settings(LOOP_STEPS, BATCH, "adam", seed=seed, checkpoint_seconds=1e9, accelerator="cpu")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train(network, fit, CrossEntropy(), settings, folder=Path(folder), progress=Silent())
    return time.perf_counter() - start


def bare_loop(fit: Pool, seed: int) -> float:
    network = student("digits", seed, torch.device("cpu")).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    order = Order(fit.ids, BATCH, seed)
    start = time.perf_counter()
    for step in range(LOOP_STEPS):
        rows, _ = order.rows(step)
        x = fit.take(rows)
        loss = functional.cross_entropy(network(x), fit.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def loop(repeats: int) -> dict[str, Any]:
    fit, _ = pools()
    own_loop(fit, 0), bare_loop(fit, 0)
    times: dict[str, list[float]] = {"own": [], "bare": []}
    for seed in range(repeats):
        for name, run in (("own", own_loop), ("bare", bare_loop))[:: 1 if seed % 2 else -1]:
            times[name].append(run(fit, seed))
    return {
        "seconds": statistics.median(times["own"]),
        "bare_seconds": statistics.median(times["bare"]),
        "over_bare": statistics.median(a / b for a, b in zip(times["own"], times["bare"], strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=("cost", "gain", "loop"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "constraint.json")
    options = parser.parse_args()
    torch.set_num_threads(1) if options.device == "cpu" else None
    plain = json.loads(options.out.read_text()) if options.out.exists() else {}
    plain |= {"what": __doc__.splitlines()[0], "environment": environment(torch.device(options.device))}
    if options.only in (None, "cost"):
        plain["cost"] = costs(torch.device(options.device), options.repeats)
    if options.only in (None, "loop"):
        plain["loop"] = loop(max(9, options.repeats))
        print(json.dumps(plain["loop"]), flush=True)
    if options.only in (None, "gain"):
        plain["gain"] = gains(options.repeats)
        print(json.dumps(plain["gain"]["share_of_full_gain"]))
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
