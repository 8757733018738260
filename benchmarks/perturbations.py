"""Images per second of each perturbation beside torchvision, PIL and kornia's augmentation.

    python benchmarks/perturbations.py [--sizes 32,224] [--repeats 5] [--device cpu] [--out FILE]

Every library perturbs the same batch, each image with parameters of its own, as in training or measuring: semcon and
kornia as batches, torchvision's functions and PIL image by image (they take one parameter for all). PIL works on 8-bit
images that are in memory. Medians of several repeats in one run, all with the same number of threads. Keyed draws are
included for semcon, random ones for kornia; torchvision and PIL are given their parameters. A missing entry means that
the library has no such operation, or that it cannot run here.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kornia.augmentation as K
import numpy as np
import torch
from environment import environment
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

from semcon.core.registry import available, load
from semcon.keyed import Keys
from semcon.torchvision_import import import_torchvision

F = import_torchvision("torchvision.transforms.functional")


def per_image(work: Callable[[Any, int], Any]) -> Callable[[Any], list[Any]]:
    return lambda images: [work(image, number) for number, image in enumerate(images)]


def torchvision_calls(size: int) -> dict[str, Callable[[Tensor], Any]]:
    side, sigma = 0.1 * size, max(0.3, 2 * size / 224)
    kernel = 2 * round(3 * sigma) + 1
    middle = F.InterpolationMode.BILINEAR
    affine = {"translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], "interpolation": middle}
    one = {
        "brightness": lambda x, i: F.adjust_brightness(x, 1 + 0.01 * (i % 20)),
        "contrast": lambda x, i: F.adjust_contrast(x, 1 + 0.01 * (i % 20)),
        "saturation": lambda x, i: F.adjust_saturation(x, 1 + 0.01 * (i % 20)),
        "hue": lambda x, i: F.adjust_hue(x, 0.01 * (i % 20)),
        "gamma": lambda x, i: F.adjust_gamma(x, 1 + 0.01 * (i % 20)),
        "grayscale": lambda x, i: F.rgb_to_grayscale(x, 3),
        "gaussian_blur": lambda x, i: F.gaussian_blur(x, [kernel, kernel], [sigma, sigma]),
        "posterize": lambda x, i: F.posterize((x * 255).to(torch.uint8), 4),
        "translation": lambda x, i: F.affine(x, 0.0, **{**affine, "translate": [side * 0.01 * (i % 20), 1.5]}),
        "rotation": lambda x, i: F.rotate(x, float(i % 20), interpolation=middle),
        "scale": lambda x, i: F.affine(x, 0.0, **{**affine, "scale": 1 + 0.01 * (i % 20)}),
        "horizontal_flip": lambda x, i: F.hflip(x),
        "occlusion": lambda x, i: F.erase(x, i % 8, i % 8, size // 5, size // 5, torch.tensor(0.5)),
        "gaussian_noise": lambda x, i: (x + 0.05 * torch.randn_like(x)).clamp(0, 1),
    }
    calls: dict[str, Callable[[Tensor], Any]] = {name: per_image(work) for name, work in one.items()}
    jitter = import_torchvision("torchvision.transforms").ColorJitter(0.2, 0.2, 0.2, 0.05)
    calls["color_jitter"] = per_image(lambda x, i: jitter(x))
    return calls


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    decoded = Image.open(buffer)
    decoded.load()
    return decoded


def shifted_hue(image: Image.Image, shift: int) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    return Image.merge("HSV", (hue.point(lambda h: (h + shift) % 256), saturation, value)).convert("RGB")


def pil_calls(size: int) -> dict[str, Callable[[list[Image.Image]], Any]]:
    sigma, bilinear, affine = 2 * size / 224, Image.Resampling.BILINEAR, Image.Transform.AFFINE
    one = {
        "brightness": lambda x, i: ImageEnhance.Brightness(x).enhance(1 + 0.01 * (i % 20)),
        "contrast": lambda x, i: ImageEnhance.Contrast(x).enhance(1 + 0.01 * (i % 20)),
        "saturation": lambda x, i: ImageEnhance.Color(x).enhance(1 + 0.01 * (i % 20)),
        "hue": lambda x, i: shifted_hue(x, i % 20),
        "gamma": lambda x, i: x.point(lambda v: 255 * (v / 255) ** 1.1),
        "grayscale": lambda x, i: x.convert("L").convert("RGB"),
        "gaussian_blur": lambda x, i: x.filter(ImageFilter.GaussianBlur(sigma)),
        "jpeg": lambda x, i: jpeg(x, 60),
        "posterize": lambda x, i: ImageOps.posterize(x, 4),
        "translation": lambda x, i: x.transform(x.size, affine, (1, 0, 0.3 * (i % 20), 0, 1, 1.5), bilinear),
        "rotation": lambda x, i: x.rotate(i % 20, bilinear),
        "scale": lambda x, i: x.transform(x.size, affine, (1.1, 0, -0.05 * size, 0, 1.1, -0.05 * size), bilinear),
        "horizontal_flip": lambda x, i: x.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }
    return {name: per_image(work) for name, work in one.items()}


def kornia_calls(size: int) -> dict[str, Callable[[Tensor], Any]]:
    sigma = max(0.3, 2 * size / 224)
    kernel = 2 * round(3 * sigma) + 1
    return {
        "brightness": K.RandomBrightness((0.8, 1.2), p=1.0),
        "contrast": K.RandomContrast((0.8, 1.2), p=1.0),
        "saturation": K.RandomSaturation((0.8, 1.2), p=1.0),
        "hue": K.RandomHue((-0.05, 0.05), p=1.0),
        "color_jitter": K.ColorJitter(0.2, 0.2, 0.2, 0.05, p=1.0),
        "gamma": K.RandomGamma((0.8, 1.2), (1.0, 1.0), p=1.0),
        "grayscale": K.RandomGrayscale(p=1.0),
        "gaussian_noise": K.RandomGaussianNoise(0.0, 0.05, p=1.0),
        "salt_and_pepper": K.RandomSaltAndPepperNoise(0.05, p=1.0),
        "gaussian_blur": K.RandomGaussianBlur((kernel, kernel), (sigma, sigma), p=1.0),
        "jpeg": K.RandomJPEG((60.0, 60.0), p=1.0),
        "posterize": K.RandomPosterize((4.0, 4.0), p=1.0),
        "translation": K.RandomTranslate((-0.1, 0.1), (-0.1, 0.1), p=1.0),
        "rotation": K.RandomRotation(15.0, p=1.0),
        "scale": K.RandomAffine(0.0, scale=(0.8, 1.2), p=1.0),
        "horizontal_flip": K.RandomHorizontalFlip(p=1.0),
        "occlusion": K.RandomErasing((0.04, 0.04), (1.0, 1.0), value=0.5, p=1.0),
    }


def own_calls(x: Tensor) -> dict[str, Callable[[Tensor], Any]]:
    ids = torch.arange(len(x), device=x.device)

    def call(name: str) -> Callable[[Tensor], Any]:
        perturbation = load("perturbations", name)()
        severity = perturbation.ladder[len(perturbation.ladder) // 2]
        return lambda images: perturbation(images, perturbation.sample(Keys(ids, scope=name), images), severity)

    return {name: call(name) for name in available("perturbations")}


def rate(work: Callable[[Any], Any], data: Any, repeats: int, device: torch.device, *, own: bool) -> float | None:
    """Images per second; None where a peer's operation cannot run here. An error of ours is an error."""
    times: list[float] = []
    try:
        for _ in range(repeats + 1):
            start = time.perf_counter()
            work(data)
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    except (RuntimeError, NotImplementedError, ImportError, ValueError) as error:
        if own:
            raise
        print(f"    not run: {str(error).splitlines()[0][:90]}")
        return None
    return len(data) / statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="32,224")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "perturbations.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    results: dict[str, Any] = {}
    for size in [int(part) for part in options.sizes.split(",")]:
        count = 256 if size <= 64 else 16
        count *= 8 if device.type == "cuda" else 1
        generator = np.random.default_rng(0)
        coarse = generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        pictures = [Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC) for image in coarse]
        x = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in pictures]).float() / 255
        x = x.to(device)
        libraries = {
            "semcon": (own_calls(x), x), "torchvision": (torchvision_calls(size), x),
            "kornia": (kornia_calls(size), x),
        }  # fmt: skip
        if device.type == "cpu":
            libraries["pil"] = (pil_calls(size), pictures)
        table: dict[str, dict[str, float | None]] = {}
        for name in available("perturbations"):
            table[name] = {
                library: rate(calls[name], data, options.repeats, device, own=library == "semcon")
                if name in calls
                else None
                for library, (calls, data) in libraries.items()
            }
            shown = "  ".join(f"{key} {value:>9.0f}" for key, value in table[name].items() if value)
            print(f"{size:>4} px  {name:<16} {shown}", flush=True)
        results[str(size)] = table
    plain = {"what": "images per second, medians", "environment": environment(device), "results": results}
    options.out.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
