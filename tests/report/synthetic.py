"""Believable records for tests of what people read: made up, of any size, with names that try to break the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from semcon.core.pictured import GalleryEntry
from semcon.core.record import (
    CanvasRecord,
    DataRecord,
    Estimate,
    Finding,
    GaugeInfo,
    PerturbationRecord,
    ProfileRow,
    Record,
    SearchRecord,
    SettingsRecord,
    SubjectRecord,
    TimingRecord,
    write_record,
)

PLAIN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
HOSTILE = (
    "<script>window.hacked=1</script>",
    "\"quoted\" & 'single'",
    "Ñandú 鳥 😀",
    "</style><img src=x onerror=window.hacked=2>",
    "a" * 300,
    "{{ 7 * 7 }} {% raw %}",
    "\u202egpj.exe",
    "class:colon, comma",
    "javascript:window.hacked=3",
    "&lt;already&gt;",
)
HOSTILE_TITLE = '<script>alert(1)</script>"><img src=http://example.invalid/x onerror=window.hacked=4>.png'

# fmt: off
_PERTURBATIONS = (  # name, family, unit, kind, parameters, severities
    ("brightness", "photometric", "factor 1 + s, signed", "continuous", "box", (0.05, 0.1, 0.2, 0.3, 0.5)),
    ("gaussian_noise", "noise", "standard deviation on [0, 1]", "continuous", "unbounded",
     (0.01, 0.02, 0.05, 0.1, 0.2)),
    ("horizontal_flip", "geometry", "0 or 1", "binary", "fixed", (1.0,)),
    ("contrast", "photometric", "factor 1 + s, signed", "continuous", "box", (0.05, 0.1, 0.2, 0.3, 0.5)),
    ("hue", "photometric", "share of the hue circle, signed", "continuous", "box", (0.01, 0.02, 0.04, 0.08, 0.15)),
    ("saturation", "photometric", "factor 1 + s, signed", "continuous", "box", (0.1, 0.2, 0.4, 0.6, 0.9)),
    ("gamma", "photometric", "exponent 1 + s, signed", "continuous", "box", (0.05, 0.1, 0.2, 0.3, 0.5)),
    ("color_jitter", "photometric", "factors 1 + s, signed; hue s / 4", "continuous", "box",
     (0.05, 0.1, 0.2, 0.3, 0.4)),
    ("grayscale", "photometric", "blend, 0 to 1", "continuous", "fixed", (0.1, 0.25, 0.5, 0.75, 1.0)),
    ("salt_and_pepper", "noise", "per cent of the pixels", "continuous", "unbounded", (0.2, 0.5, 1.5, 4.0, 10.0)),
    ("gaussian_blur", "blur_and_coding", "standard deviation in pixels of a 224 px canvas", "continuous", "fixed",
     (0.5, 1.0, 2.0, 4.0, 6.0)),
    ("jpeg", "blur_and_coding", "100 - quality", "discrete", "fixed", (40.0, 60.0, 75.0, 85.0, 90.0)),
    ("posterize", "blur_and_coding", "8 - bits", "discrete", "fixed", (2.0, 3.0, 4.0, 5.0, 6.0)),
    ("rotation", "geometry", "degrees, signed", "continuous", "box", (2.0, 5.0, 10.0, 15.0, 30.0)),
    ("translation", "geometry", "per cent of the side, signed", "continuous", "box", (1.0, 2.0, 4.0, 8.0, 15.0)),
    ("scale", "geometry", "factor 1 + s, signed", "continuous", "box", (0.02, 0.05, 0.1, 0.2, 0.3)),
    ("occlusion", "occlusion", "side in per cent of the image's side", "continuous", "box",
     (5.0, 10.0, 17.0, 25.0, 35.0)),
    ("linf", "additive_ball", "1/255", "continuous", "box", (1.0, 2.0, 4.0, 8.0, 16.0)),
    ("l2", "additive_ball", "norm over the whole image, 1/255", "continuous", "ball",
     (64.0, 128.0, 256.0, 512.0, 1024.0)),
)
_LAYERS = (  # representation, distance, how much more it changes than the pixels
    ("pixels", "l2", 0.35), ("layer1", "l2", 0.45), ("layer2", "l2", 0.6), ("layer3", "l2", 0.8),
    ("penultimate", "l2", 0.9), ("penultimate", "cosine", 0.5), ("logits", "l2", 1.0), ("logits", "cosine", 0.6),
    ("probabilities", "jensen_shannon", 1.3),
)
# fmt: on
_IMAGES = 2000


def record(
    *,
    classes: Sequence[str] = PLAIN,
    perturbations: int = 3,
    labelled: bool = True,
    worst: bool = True,
    name: str = "ResNet-20",
    sensitivity: float = 1.0,
    gallery: Sequence[GalleryEntry] = (),
    findings: Sequence[Finding] | None = None,
) -> Record:
    """A record whose figures follow a smooth formula: larger severities change more, deeper layers amplify."""
    used = tuple(
        PerturbationRecord(
            name=name, family=family, unit=unit, source="definition", kind=kind, parameters=parameters, version=1,
            severities=severities, draws=3,
        )
        for name, family, unit, kind, parameters, severities in _PERTURBATIONS[:perturbations]
    )  # fmt: skip
    gauges = tuple(
        GaugeInfo(
            name=f"{representation}.{distance}", representation=representation, distance=distance, dimension=640,
            projected=None, projection_error=None, homogeneous=distance != "jensen_shannon",
        )
        for representation, distance, _ in _LAYERS
    )  # fmt: skip
    estimates = tuple(_estimates(used, classes if labelled else (), labelled, worst, sensitivity))
    return Record(
        semcon="0.1.0",
        created="2026-01-15T09:30:00+00:00",
        subject=SubjectRecord(
            name=name, source="file:models.py:resnet20", weights="resnet20.safetensors", outputs=len(classes),
            classes=tuple(classes), parameters=272_474, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
            channels=3, differentiable=True, preprocessing="given", fingerprint="a1b2c3d4e5f60718",
            canvas=CanvasRecord(height=32, width=32, resize=None, interpolation="bicubic", crop="centre"),
        ),
        data=DataRecord(
            name="cifar10/test", source="parquet:cifar10/test.parquet", images=_IMAGES, labelled=labelled,
            classes=tuple(classes) if labelled else None, class_of_output=None, skipped=(),
            fingerprint="0011223344556677", median_size=(32, 32),
        ),
        settings=SettingsRecord(
            seed=0, draws=3, budget="standard", limit=_IMAGES, gradient_norm=True, critical=True,
            worst=SearchRecord(steps=20, restarts=2, best_of=20) if worst else None, evaluation_version=1,
            primary="logits.l2", perturbations=used, inert=("grayscale",), gauges=gauges,
            command="semcon audit file:models.py:resnet20 parquet:cifar10/test.parquet --limit 2000",
        ),
        environment={
            "semcon": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "device": "cpu", "hardware": "a processor",
            "threads": 2, "precision": "32", "platform": "Linux",
        },
        timing=TimingRecord(seconds=312.5, estimated_seconds=290.0, images_per_second=640.0, forward_images=200_000),
        estimates=estimates,
        profile=tuple(_profile(used, estimates)),
        findings=tuple(FINDINGS if findings is None else findings),
        verdict=(
            f"Over {perturbations} perturbations the output of {name} moves 0.41 times as far as between two images.",
            "It changes most under noise, where 24 % of the predictions flip at the highest severity.",
            "Accuracy on the untouched images is 0.917 [0.904, 0.928]; no figure is read without it.",
        ),
        gallery=tuple(gallery),
    )  # fmt: skip


FINDINGS = (
    Finding(
        code="few-images", severity="note", message="The intervals are wider than the differences being read.",
        remedy="Audit more images: --limit 5000.",
    ),
    Finding(
        code="normalisation-missing", severity="issue",
        message="Mean 0 and std 1 were used; with <b>ImageNet's</b> the accuracy is 0.92 instead of 0.31.",
        remedy="Give --mean .485,.456,.406 --std .229,.224,.225.",
    ),
    Finding(
        code="duplicates", severity="warning", message="12 images occur twice.", remedy="Remove them, or ignore this."
    ),
)  # fmt: skip


def _estimates(
    used: Sequence[PerturbationRecord], classes: Sequence[str], labelled: bool, worst: bool, sensitivity: float
) -> Iterator[Estimate]:
    if labelled:
        yield _rate("accuracy", None, None, "random", 0.917)
    yield _estimate("gradient_norm", None, None, "random", 1.8 * sensitivity, statistic="median")
    for place, perturbation in enumerate(used):
        strength = sensitivity * (0.35 + 0.13 * ((place * 5) % 7))
        yield _estimate(
            "critical_severity", perturbation.name, None, "random", 0.6 * max(perturbation.severities),
            statistic="median", censored=0.31,
        )  # fmt: skip
        for rung, severity in enumerate(perturbation.severities):
            share = (rung + 1) / len(perturbation.severities)
            for draws in ("random", "worst") if worst else ("random",):
                extra = 1.6 if draws == "worst" else 1.0
                change = extra * strength * share
                yield from _cell(perturbation.name, severity, draws, change, labelled)
        yield from _by_class(perturbation.name, max(perturbation.severities), strength, classes)


def _by_class(name: str, severity: float, change: float, classes: Sequence[str]) -> Iterator[Estimate]:
    for number, class_name in enumerate(classes):
        weight, subset = 0.5 + (number * 3 % 10) / 10, f"class:{class_name}"
        yield _rate("flip", name, severity, "random", 0.6 * change * weight, subset)
        for quantity in ("relative_change", "within_class_change"):
            yield _ratio(quantity, name, severity, "random", change * weight, ("logits", "l2"), subset)


def _cell(name: str, severity: float, draws: str, change: float, labelled: bool) -> Iterator[Estimate]:
    flip = min(1.0, 0.55 * change)
    yield _rate("flip", name, severity, draws, flip)
    yield _estimate("confidence_drop", name, severity, draws, 0.4 * flip)
    if labelled:
        yield _rate("accuracy", name, severity, draws, 0.917 * (1 - 0.8 * flip))
    for representation, distance, gain in _LAYERS:
        yield _ratio("relative_change", name, severity, draws, change * gain, (representation, distance))
        if labelled:
            yield _ratio("within_class_change", name, severity, draws, 1.7 * change * gain, (representation, distance))
            yield _estimate(
                "discontinuity", name, severity, draws, min(1.0, change**2 * gain), representation=representation,
                distance=distance,
            )  # fmt: skip


def _estimate(
    quantity: str, perturbation: str | None, severity: float | None, draws: str, mean: float, **others: object
) -> Estimate:
    half = 0.04 * mean + 0.002
    plain: dict[str, object] = {
        "quantity": quantity, "perturbation": perturbation, "severity": severity, "draws": draws, "mean": mean,
        "low": max(0.0, mean - half), "high": mean + half, "representation": None, "distance": None, "subset": "all",
        "statistic": "mean", "samples": _IMAGES,
    }  # fmt: skip
    return Estimate.model_validate({**plain, **others})


def _ratio(
    quantity: str, perturbation: str, severity: float, draws: str, mean: float, gauge: tuple[str, str],
    subset: str = "all",
) -> Estimate:  # fmt: skip
    return _estimate(
        quantity, perturbation, severity, draws, mean, representation=gauge[0], distance=gauge[1], subset=subset,
        statistic="ratio",
    )  # fmt: skip


def _rate(
    quantity: str, perturbation: str | None, severity: float | None, draws: str, mean: float, subset: str = "all"
) -> Estimate:
    mean = min(1.0, mean)
    half = 1.96 * math.sqrt(mean * (1 - mean) / _IMAGES) + 1e-3
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return _estimate(quantity, perturbation, severity, draws, mean, low=low, high=high, subset=subset)


def _profile(used: Sequence[PerturbationRecord], estimates: Sequence[Estimate]) -> Iterator[ProfileRow]:
    for family in dict.fromkeys(p.family for p in used):
        names = tuple(p.name for p in used if p.family == family)
        for quantity in (
            "relative_change",
            "within_class_change",
            "discontinuity",
            "flip",
            "accuracy",
            "confidence_drop",
        ):
            cells = [
                e.mean for e in estimates
                if e.quantity == quantity and e.perturbation in names and e.draws == "random" and e.subset == "all"
                and (e.representation, e.distance) in ((None, None), ("logits", "l2")) and e.mean is not None
            ]  # fmt: skip
            mean = sum(cells) / len(cells) if cells else None
            half = None if mean is None else 0.03 * mean + 0.004
            yield ProfileRow(
                family=family, quantity=quantity, mean=mean, low=None if mean is None or half is None else mean - half,
                high=None if mean is None or half is None else mean + half, samples=_IMAGES, perturbations=names,
            )  # fmt: skip


def picture(seed: int, side: int, noise: float = 0.0) -> Image.Image:
    """A soft coloured disc on a gradient; `noise` on top."""
    rng = np.random.default_rng(seed)
    hue, back = rng.uniform(0.2, 1, 3), rng.uniform(0, 0.8, 3)
    cx, cy, radius = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.4)
    v, h = np.mgrid[0:side, 0:side] / side
    inside = 1 / (1 + np.exp(40 * (np.hypot(h - cx, v - cy) - radius)))
    canvas = inside[..., None] * hue + (1 - inside[..., None]) * back * (0.5 + 0.5 * v[..., None])
    canvas = canvas + noise * np.random.default_rng(seed + 1).normal(size=canvas.shape)
    return Image.fromarray((canvas.clip(0, 1) * 255).astype(np.uint8))


def gallery(
    folder: Path, *, classes: Sequence[str] = PLAIN, perturbations: int = 3, each: int = 4, side: int = 32,
    worst: bool = True, figure1: bool = True,
) -> list[GalleryEntry]:  # fmt: skip
    """Entries with pictures saved under `folder`/gallery."""
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    entries: list[GalleryEntry] = []
    for place, (name, _, _, _, _, severities) in enumerate(_PERTURBATIONS[:perturbations]):
        severity = severities[len(severities) // 2]
        for number in range(each):
            position = place * 7 + number
            for draws in ("random", "worst") if worst else ("random",):
                extra = 1.7 if draws == "worst" else 1.0
                change = extra * (2.0 + 0.31 * ((place * 3 + number * 5) % 11))
                other = figure1 and (draws == "worst" or number != 3)
                files = {}
                pictures = {"image": (position, 0.0), "copy": (position, 0.05 * extra), "other": (position + 500, 0.0)}
                for role, (seed, noise) in pictures.items():
                    if role == "other" and not other:
                        continue
                    path = f"gallery/{name}-{severity:g}-{draws}-{position}-{role}.{'png' if side <= 64 else 'jpg'}"
                    picture(seed, side, noise).save(folder / path, quality=88)
                    files[role] = path
                flipped = (place + number) % 2 == 0
                entries.append(
                    GalleryEntry(
                        perturbation=name, severity=severity, draws="worst" if draws == "worst" else "random", draw=0,
                        class_name=classes[position % len(classes)], sample=10_000 + position, position=position,
                        other_position=900 + number if other else None,
                        title=HOSTILE_TITLE if position == 0 else f"test/{position:05d}.png",
                        other_title=f"test/{900 + number:05d}.png" if other else None, gauge="logits.l2", change=change,
                        other_distance=0.8 * change if other else None, pixel_change=0.9 + 0.2 * number,
                        pixel_other=9.5 + number if other else None, relative=change / 9.0, figure1=other,
                        prediction=classes[position % len(classes)],
                        prediction_copy=classes[(position + flipped) % len(classes)],
                        prediction_other=classes[position % len(classes)] if other else None, confidence=0.97,
                        confidence_copy=0.61, files=files,
                    )
                )  # fmt: skip
    return sorted(entries, key=lambda entry: -(entry.relative or 0))


def run(folder: Path, **options: object) -> Path:
    """A run folder on disk, gallery and record."""
    own = {key: options.pop(key) for key in ("each", "side", "figure1") if key in options}
    shared = {key: options[key] for key in ("classes", "perturbations", "worst") if key in options}
    entries = gallery(folder, **shared, **own)  # type: ignore[arg-type]
    write_record(record(**options, gallery=entries), folder)  # type: ignore[arg-type]
    return folder
