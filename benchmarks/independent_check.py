"""An independent check of semcon's figures: the definitions once more, in plain loops, sharing no code with semcon.

Five CIFAR-10 checkpoints, test images 0..1999, two perturbations (gaussian noise of sigma 0.05; brightness times
1 + U(-0.3, 0.3)), both clipped to [0, 1], with noise from torch's own generator. Every pair of images is compared;
nothing is subsampled, keyed, sketched or run in passes. What semcon prints must agree within sampling error.

    python benchmarks/independent_check.py                              measure; writes results/independent_check.json
    python benchmarks/independent_check.py --compare RUN [--model M]    hold a semcon run against the stored figures

Needs the shared real data (SEMCON_DATA, default ../shared/data beside the repository). Exit 0: all agrees; 1: a figure
does not; 2: something is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import PIL
import polars
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results" / "independent_check.json"
DATA = Path(os.environ.get("SEMCON_DATA", ROOT.parent / "shared" / "data"))
IMAGES, DRAWS, RESAMPLES, SEED, RANDOM_OTHERS = 2000, 3, 300, 20, 20
AT_ONCE = 250
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
KW = ((0.485, 0.456, 0.406), (0.225, 0.225, 0.225))


@dataclass(frozen=True)
class Checkpoint:
    """A builder in models.py, its weights, its normalisation, and the name of its last linear layer."""

    builder: str
    weights: str
    normalisation: tuple[tuple[float, ...], tuple[float, ...]]
    last: str


CHECKPOINTS = (
    Checkpoint("resnet20", "akamaster_resnet20", IMAGENET, "linear"),
    Checkpoint("resnet56", "akamaster_resnet56", IMAGENET, "linear"),
    Checkpoint("resnet2b", "robust_resnet2b", CIFAR, "linear2"),
    Checkpoint("resnet4b", "robust_resnet4b", CIFAR, "linear2"),
    Checkpoint("oval_base", "robust_oval_base_kw", KW, "7"),
)

PERTURBATIONS = (("gaussian_noise", 0.05), ("brightness", 0.3))

# DESIGN section 2, gaussian_noise 0.05: relative, within class, discontinuity, any of 20, flip; error about 0.01.
STATED = {
    "resnet20": (0.483, 0.94, 0.444, 0.85, 0.359),
    "resnet4b": (0.048, 0.080, 0.000, 0.000, 0.056),
}
STATED_TOLERANCE = 0.01

# The columns of the printed table: heading, representation, quantity.
COLUMNS = (
    ("accuracy", None, "accuracy"),
    ("relative", "logits", "relative_change"),
    ("within", "logits", "within_class_change"),
    ("discont.", "logits", "discontinuity"),
    ("any of 20", "logits", "any_nearer_20"),
    ("flip", None, "flip"),
    ("conf.drop", None, "confidence_drop"),
    ("JS rel.", "probabilities", "relative_change"),
    ("feat.rel.", "penultimate", "relative_change"),
    ("pixels", "pixels", "change"),
)

Figure = dict[str, Any]


def stop(message: str) -> NoReturn:
    """Say what is missing and leave with 2."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


# ---------------------------------------------------------------------------------------------- images and models


def read_images() -> tuple[torch.Tensor, np.ndarray]:
    """The first test images as (N, 3, 32, 32) float32 in [0, 1], and their labels (N,)."""
    path = DATA / "cifar10" / "test.parquet"
    if not path.exists():
        stop("expected cifar10/test.parquet in the data folder (SEMCON_DATA, default ../shared/data)")
    table = polars.read_parquet(path, n_rows=IMAGES)
    images = []
    for cell in table["img"]:
        picture = Image.open(io.BytesIO(cell["bytes"])).convert("RGB")
        images.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255)
    return torch.stack(images), table["label"].to_numpy()


def build(checkpoint: Checkpoint) -> torch.nn.Module:
    """The network with its weights, in evaluation mode."""
    folder = DATA / "weights" / "cifar10"
    spec = importlib.util.spec_from_file_location("checkpoint_models", folder / "models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = getattr(module, checkpoint.builder)()
    network.load_state_dict(load_file(folder / f"{checkpoint.weights}.safetensors"), strict=True)
    return network.eval()


def perturb(x: torch.Tensor, name: str, severity: float, draw: int) -> torch.Tensor:
    """One perturbed copy of every image, clipped to [0, 1]."""
    generator = torch.Generator().manual_seed(1000 * SEED + draw)
    if name == "gaussian_noise":
        return (x + severity * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    factor = 1 + severity * (2 * torch.rand(len(x), generator=generator) - 1)
    return (x * factor[:, None, None, None]).clamp(0, 1)


@torch.no_grad()
def look(network: torch.nn.Module, checkpoint: Checkpoint, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Centred logits, probabilities and the input of the last linear layer, each (N, D) float64."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in checkpoint.normalisation)
    inputs: list[torch.Tensor] = []
    layer = network.get_submodule(checkpoint.last)
    hook = layer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    outputs = [network((x[i : i + AT_ONCE] - mean) / std) for i in range(0, len(x), AT_ONCE)]
    hook.remove()
    logits = torch.cat(outputs).double()
    return {
        "logits": (logits - logits.mean(1, keepdim=True)).numpy(),
        "probabilities": torch.softmax(logits, 1).numpy(),
        "penultimate": torch.cat(inputs).double().numpy(),
    }


# ----------------------------------------------------------------------------------------------------- distances


def l2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance of rows."""
    return np.sqrt(((a - b) ** 2).sum(-1))


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of rows, in nats: the mean of KL(p, m) and KL(q, m), m = (p + q) / 2."""
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log(p / m), 0.0).sum(-1)
        right = np.where(q > 0, q * np.log(q / m), 0.0).sum(-1)
    return np.maximum((left + right) / 2, 0.0)


def jensen_shannon_root(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The square root of the divergence, which is a metric."""
    return np.sqrt(jensen_shannon(p, q))


GAUGES: tuple[tuple[str, str, Callable[[np.ndarray, np.ndarray], np.ndarray]], ...] = (
    ("logits", "l2", l2),
    ("probabilities", "jensen_shannon", jensen_shannon),
    ("probabilities", "jensen_shannon_root", jensen_shannon_root),
    ("penultimate", "l2", l2),
)


def pairwise(z: np.ndarray, distance: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Distance of every image to every image, row by row: (N, N)."""
    matrix = np.empty((len(z), len(z)))
    for i in range(len(z)):
        matrix[i] = distance(z[i][None, :], z)
        matrix[i, i] = 0.0
    return matrix


# ---------------------------------------------------------------------------------------------------- quantities


def resamples(images: int) -> np.ndarray:
    """How often each image appears in each bootstrap resample, (N, 1 + RESAMPLES); column 0 is the sample itself."""
    drawn = np.random.default_rng(SEED).multinomial(images, np.full(images, 1 / images), size=RESAMPLES)
    return np.concatenate([np.ones((1, images)), drawn]).T.copy()


def averages(values: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Mean over images in every resample: (draws, N), (N, R) -> (draws, R)."""
    return values @ w / w.sum(0)


def any_of(nearer: np.ndarray, others: np.ndarray, k: int) -> np.ndarray:
    """Chance that k of `others` images, drawn without replacement, hold at least one of the `nearer`."""
    none = np.ones_like(nearer)
    for step in range(k):
        none *= np.clip(others - nearer - step, 0, None) / (others - step)
    return 1 - none


def gauge_quantities(
    changes: np.ndarray, matrix: np.ndarray, labels: np.ndarray, w: np.ndarray
) -> dict[str, np.ndarray]:
    """Everything that compares changes (draws, N) with distances between images (N, N): name -> (draws, R)."""
    same = (labels[:, None] == labels[None, :]).astype(float)
    np.fill_diagonal(same, 0.0)
    others = same @ w
    change = averages(changes, w)
    spread = (w * (matrix @ w)).sum(0) / (w.sum(0) ** 2 - (w**2).sum(0))
    within = (w * (((same * matrix) @ w) / others)).sum(0) / w.sum(0)
    shares, chances = [], []
    for one_draw in changes:
        nearer = (same * (matrix < one_draw[:, None])) @ w
        shares.append((w * (nearer / others)).sum(0) / w.sum(0))
        chances.append((w * any_of(nearer, others, RANDOM_OTHERS)).sum(0) / w.sum(0))
    return {
        "change": change,
        "relative_change": change / spread,
        "within_class_change": change / within,
        "discontinuity": np.stack(shares),
        "any_nearer_20": np.stack(chances),
    }


def figure(cell: Figure, values: np.ndarray) -> Figure:
    """One row of the result: (draws, 1 + RESAMPLES) -> the value, its bootstrap standard error, the value by draw."""
    over_draws = values.mean(0)
    assert np.isfinite(values).all(), cell
    return {
        **cell,
        "value": round(float(over_draws[0]), 6),
        "standard_error": round(float(over_draws[1:].std(ddof=1)), 6),
        "by_draw": [round(float(v), 6) for v in values[:, 0]],
    }


def measure(checkpoint: Checkpoint, x: torch.Tensor, labels: np.ndarray, w: np.ndarray) -> list[Figure]:
    """Every figure of one checkpoint."""
    network = build(checkpoint)
    clean = look(network, checkpoint, x)
    predicted = clean["logits"].argmax(1)
    rows = np.arange(len(labels))
    matrices = [pairwise(clean[representation], distance) for representation, _, distance in GAUGES]
    nothing = {"representation": None, "distance": None}
    start = {"model": checkpoint.builder, "perturbation": None, "severity": None, **nothing}
    figures = [figure({**start, "quantity": "accuracy"}, averages((predicted == labels)[None].astype(float), w))]
    for name, severity in PERTURBATIONS:
        cell = {"model": checkpoint.builder, "perturbation": name, "severity": severity}
        copies = [perturb(x, name, severity, draw) for draw in range(DRAWS)]
        looks = [look(network, checkpoint, copy) for copy in copies]
        pixels = np.stack([(copy - x).double().flatten(1).norm(dim=1).numpy() for copy in copies])
        flips = np.stack([(seen["logits"].argmax(1) != predicted).astype(float) for seen in looks])
        before = clean["probabilities"][rows, predicted]
        drops = np.stack([before - seen["probabilities"][rows, predicted] for seen in looks])
        right = np.stack([(seen["logits"].argmax(1) == labels).astype(float) for seen in looks])
        for quantity, values in (("flip", flips), ("confidence_drop", drops), ("accuracy", right)):
            figures.append(figure({**cell, **nothing, "quantity": quantity}, averages(values, w)))
        place = {"representation": "pixels", "distance": "l2"}
        figures.append(figure({**cell, **place, "quantity": "change"}, averages(pixels, w)))
        for (representation, distance_name, distance), matrix in zip(GAUGES, matrices, strict=True):
            changes = np.stack([distance(clean[representation], seen[representation]) for seen in looks])
            place = {"representation": representation, "distance": distance_name}
            for quantity, values in gauge_quantities(changes, matrix, labels, w).items():
                figures.append(figure({**cell, **place, "quantity": quantity}, values))
    return figures


# ------------------------------------------------------------------------------------------------ what is written


def cpu_model() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def write(result: dict[str, Any]) -> None:
    """The result as JSON, one figure a line; NaN is refused."""
    lines = ",\n".join("  " + json.dumps(f, allow_nan=False) for f in result["figures"])
    text = json.dumps({**result, "figures": []}, indent=1, allow_nan=False)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text.replace('"figures": []', f'"figures": [\n{lines}\n ]') + "\n", encoding="utf-8")


def find(figures: list[Figure], **wanted: Any) -> Figure | None:
    """The first figure whose keys all have the wanted values."""
    return next((f for f in figures if all(f[key] == value for key, value in wanted.items())), None)


def print_table(figures: list[Figure]) -> None:
    """The figures of every checkpoint, a line of standard errors below each."""
    for name, severity in PERTURBATIONS:
        print(f"\n{name} {severity}, {IMAGES} images, {DRAWS} draws (standard errors below)")
        print(f"{'':12}" + "".join(f"{heading:>11}" for heading, _, _ in COLUMNS))
        for checkpoint in CHECKPOINTS:
            cells = []
            for _, representation, quantity in COLUMNS:
                perturbation = None if quantity == "accuracy" else name
                wanted = {"model": checkpoint.builder, "perturbation": perturbation, "quantity": quantity}
                cells.append(find(figures, **wanted, representation=representation))
            print(f"{checkpoint.builder:12}" + "".join(f"{c['value']:11.4f}" if c else f"{'':11}" for c in cells))
            print(f"{'':12}" + "".join(f"{c['standard_error']:11.4f}" if c else f"{'':11}" for c in cells))


def against_the_stated(figures: list[Figure]) -> list[Figure]:
    """The design's figures beside these."""
    quantities = ("relative_change", "within_class_change", "discontinuity", "any_nearer_20", "flip")
    rows = []
    for model, stated in STATED.items():
        for quantity, value in zip(quantities, stated, strict=True):
            place = None if quantity == "flip" else "logits"
            wanted = {"model": model, "perturbation": "gaussian_noise", "representation": place}
            found = find(figures, **wanted, quantity=quantity)
            assert found is not None
            agrees = abs(found["value"] - value) <= STATED_TOLERANCE
            row = {"model": model, "quantity": quantity, "stated": value, "value": found["value"], "agrees": agrees}
            rows.append(row)
    return rows


def run() -> int:
    """Measure all checkpoints, write the result, print it."""
    began = time.perf_counter()
    x, labels = read_images()
    w = resamples(len(x))
    figures: list[Figure] = []
    for checkpoint in CHECKPOINTS:
        figures += measure(checkpoint, x, labels, w)
        print(f"{checkpoint.builder}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    stated = against_the_stated(figures)
    result = {
        "schema": 1,
        "question": "Do semcon's figures follow from the definitions, written a second time without its code?",
        "command": "python benchmarks/independent_check.py",
        "data": {
            "name": "CIFAR-10 test, rows 0 to 1999",
            "images": len(x),
            "images_with_an_exact_copy_earlier": len(x) - len({image.numpy().tobytes() for image in x}),
            "pixels_sha256": hashlib.sha256((x * 255).round().byte().numpy().tobytes()).hexdigest(),
        },
        "draws": DRAWS,
        "resamples": RESAMPLES,
        "seeds": {"perturbations": [1000 * SEED + draw for draw in range(DRAWS)], "bootstrap": SEED},
        "standard_error": "bootstrap over images; both members of every pair are resampled",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "polars": polars.__version__,
            "pillow": PIL.__version__,
        },
        "hardware": {"cpu": cpu_model(), "torch_threads": torch.get_num_threads()},
        "seconds": round(time.perf_counter() - began, 1),
        "stated": stated,
        "figures": figures,
    }
    write(result)
    print_table(figures)
    print("\nagainst the figures stated in the design (gaussian_noise 0.05)")
    for row in stated:
        verdict = "agrees" if row["agrees"] else "DIFFERS"
        print(f"{row['model']:12}{row['quantity']:22}{row['stated']:9.3f}{row['value']:9.4f}  {verdict}")
    return 0 if all(row["agrees"] for row in stated) else 1


# ------------------------------------------------------------------------------------------ a semcon run beside it


def which_model(record: dict[str, Any], asked: str | None) -> str:
    """The checkpoint a run is about: as asked, else the one that its subject names."""
    names = {c.builder: (c.weights, f":{c.builder}") for c in CHECKPOINTS}
    if asked is not None:
        return asked
    text = json.dumps(record.get("subject", ""))
    found = [builder for builder, marks in names.items() if any(mark in text for mark in marks)]
    if len(found) != 1:
        stop(f"expected the record's subject to name one checkpoint, found {found}; pass --model {{{','.join(names)}}}")
    return found[0]


def counterpart(estimates: list[dict[str, Any]], own: Figure) -> dict[str, Any] | None:
    """semcon's estimate of the same figure, over all images and random draws; None where it has none."""
    for e in estimates:
        if e.get("quantity") != own["quantity"] or e.get("subset", "all") != "all" or e.get("mean") is None:
            continue
        if e.get("draws") == "worst" or e.get("statistic") == "median":
            continue
        untouched = e.get("perturbation") in (None, "", "none", "clean", "identity") or e.get("severity") == 0
        if own["perturbation"] is None:
            same_cell = untouched
        else:
            same_cell = e.get("perturbation") == own["perturbation"] and not untouched
            same_cell = same_cell and math.isclose(e.get("severity") or 0, own["severity"], rel_tol=1e-6)
        same_place = own["representation"] is None or (
            e.get("representation") == own["representation"] and e.get("distance") == own["distance"]
        )
        if same_cell and same_place:
            return e
    return None


def compare(folder: Path, asked: str | None) -> int:
    """Print both figures side by side; 1 if any differ by more than 4 combined standard errors and by over 0.02.

    Both rest on the same images, so the combined error, which treats them as independent, is on the generous side;
    a figure beyond 4 errors but within 0.02 is marked, not failed.
    """
    path = folder / "record.json" if folder.is_dir() else folder
    if not path.exists():
        stop("expected a run folder with a record.json in it")
    if not RESULTS.exists():
        stop("expected results/independent_check.json; run this script without --compare first")
    record = json.loads(path.read_text(encoding="utf-8"))
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    model = which_model(record, asked)
    print(f"{model}: this check, the semcon run, difference in combined standard errors")
    heading = ("perturbation", "place", "quantity", "check", "error", "semcon", "error", "z")
    widths = (16, 34, 21, 9, 8, 9, 8, 8)
    print("".join(f"{h:<{n}}" if i < 3 else f"{h:>{n}}" for i, (h, n) in enumerate(zip(heading, widths, strict=True))))
    compared, wrong, other_sizes = 0, 0, set()
    for own in (f for f in stored["figures"] if f["model"] == model):
        theirs = counterpart(record["estimates"], own)
        if theirs is None:
            continue
        compared += 1
        if theirs.get("samples") not in (None, stored["data"]["images"]):
            other_sizes.add(theirs["samples"])
        low, high = theirs.get("low"), theirs.get("high")
        error = 0.0 if low is None or high is None else (high - low) / (2 * 1.959964)
        difference = theirs["mean"] - own["value"]
        combined = math.hypot(own["standard_error"], error)
        z = difference / combined if combined > 0 else (0.0 if abs(difference) < 1e-6 else math.inf)
        bad = abs(z) > 4 and abs(difference) > 0.02
        mark = "  DIFFERS" if bad else "  beyond 4 errors" if abs(z) > 4 else ""
        wrong += bad
        place = "" if own["representation"] is None else f"{own['representation']}.{own['distance']}"
        print(
            f"{own['perturbation'] or '':16}{place:34}{own['quantity']:21}{own['value']:9.4f}"
            f"{own['standard_error']:8.4f}{theirs['mean']:9.4f}{error:8.4f}{z:8.2f}{mark}"
        )
    if not compared:
        stop("expected estimates for gaussian_noise:0.05 or brightness:0.3; the run has none of them")
    if other_sizes:
        print(f"note: the run's figures rest on {sorted(other_sizes)} images, these on {stored['data']['images']}")
    print(f"{compared} figures compared, {wrong} differ")
    return 1 if wrong else 0


def main() -> int:
    """Measure, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", type=Path, metavar="RUN", help="a semcon run folder, held against the results")
    parser.add_argument("--model", choices=[c.builder for c in CHECKPOINTS], help="the run's checkpoint, if unclear")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    return run() if arguments.compare is None else compare(arguments.compare, arguments.model)


if __name__ == "__main__":
    raise SystemExit(main())
