"""Corrupt images with the published code, in an environment of its own: `python reference.py CODE DATA OUT.npz`.

CODE: the folder with the authors' make_cifar_c.py, make_tinyimagenet_c.py and make_imagenet_c.py and their pictures of
frost, from github.com/hendrycks/robustness (ImageNet-C/create_c). DATA: the folder with `cifar10/test.parquet` and
`imagenette/val`. The environment needs numpy, scipy, scikit-image, OpenCV, Pillow, pyarrow and imagecorruptions-imaug;
it is never semcon's own.

Only the functions of the scripts are run, as they stand. What they call that has since been renamed or removed is put
in its place: numpy.float_, fromstring, scikit-image's multichannel, Pillow's mode. ImageMagick's motion blur, which
they reach through wand, is replaced by that of imagecorruptions-imaug. Draws are seeded per corruption and level.
Written: arrays `SIZE/clean` and `SIZE/CORRUPTION/LEVEL`, uint8 (N, SIZE, SIZE, 3), the first 500 test images of
CIFAR-10 at 32 px, photographs of Imagenette at 64 px (the first eight of each of eight classes) and at 224 px (the
first of each).
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as parquet
import scipy.ndimage
import skimage
import skimage.filters
from imagecorruptions import corruptions as imaug
from PIL import Image

SCRIPTS = {32: "make_cifar_c.py", 64: "make_tinyimagenet_c.py", 224: "make_imagenet_c.py"}
NAMES = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression", "speckle_noise",
    "gaussian_blur", "spatter", "saturate",
)  # fmt: skip


class Numpy(types.ModuleType):
    """numpy with two old names."""

    float_, fromstring = np.float64, staticmethod(np.frombuffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class Pictures(types.ModuleType):
    """Pillow's Image, whose `fromarray` takes the mode from the array."""

    def __getattr__(self, name: str) -> Any:
        return getattr(Image, name)

    @staticmethod
    def fromarray(array: np.ndarray, mode: str = "") -> Image.Image:
        return Image.fromarray(array)


class MotionImage:
    """In place of wand's image: decode, blur, encode."""

    def __init__(self, blob: bytes) -> None:
        self.pixels = np.asarray(Image.open(io.BytesIO(blob)))

    def motion_blur(self, radius: float, sigma: float, angle: float) -> None:
        smeared = imaug._motion_blur(self.pixels, radius=radius, sigma=sigma, angle=angle)
        self.pixels = np.clip(smeared.round(), 0, 255).astype(np.uint8)

    def make_blob(self) -> bytes:
        out = io.BytesIO()
        Image.fromarray(self.pixels).save(out, "PNG")
        return out.getvalue()


def gaussian(image: np.ndarray, sigma: float, multichannel: bool = False, **settings: Any) -> np.ndarray:
    """scikit-image's, with the setting's old name."""
    return skimage.filters.gaussian(image, sigma, channel_axis=-1 if multichannel else None, **settings)


def functions(script: Path) -> dict[str, Any]:
    """The functions of a script, and nothing else of it."""
    tree = ast.parse(script.read_text("utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names: dict[str, Any] = {
        "np": Numpy("numpy"), "sk": skimage, "cv2": cv2, "PILImage": Pictures("Image"), "BytesIO": io.BytesIO,
        "gaussian": gaussian, "scizoom": scipy.ndimage.zoom, "map_coordinates": scipy.ndimage.map_coordinates,
        "MotionImage": MotionImage,
    }  # fmt: skip
    skimage.util, skimage.color  # noqa: B018  (loads them)
    exec(compile(tree, str(script), "exec"), names)
    return names


def small(data: Path) -> np.ndarray:
    """The first 500 test images of CIFAR-10."""
    rows = parquet.read_table(data / "cifar10" / "test.parquet").slice(0, 500).column("img").to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows])


def photographs(data: Path, each: int, size: int) -> np.ndarray:
    """Some images of each of eight classes: the shorter side to 8 / 7 of the size, the middle of it."""
    folders = sorted(path for path in (data / "imagenette" / "val").iterdir() if path.is_dir())[:8]
    files = [file for folder in folders for file in sorted(folder.iterdir())[:each]]
    return np.stack([_cropped(Image.open(file).convert("RGB"), size) for file in files])


def _cropped(image: Image.Image, size: int) -> np.ndarray:
    scale = size * 8 / 7 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BILINEAR)
    left, top = ((side - size) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("code", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=NAMES)
    parser.add_argument("--sizes", nargs="*", type=int, default=list(SCRIPTS))
    options = parser.parse_args()
    out, written = options.out.resolve(), {}
    for size in options.sizes:
        clean = small(options.data) if size == 32 else photographs(options.data, 8 if size == 64 else 1, size)
        written[f"{size}/clean"] = clean
    os.chdir(options.code)  # where its pictures of frost are
    for size in options.sizes:
        published = functions(Path(SCRIPTS[size]))
        for name in options.only:
            for level in range(1, 6):
                np.random.seed(zlib.crc32(f"{size}/{name}/{level}".encode()))
                images = [Image.fromarray(image) for image in written[f"{size}/clean"]]
                made = [np.uint8(published[name](image, level)) for image in images]
                written[f"{size}/{name}/{level}"] = np.stack(made)
            print(f"{size} px  {name}", file=sys.stderr, flush=True)
    np.savez_compressed(out, **written)


if __name__ == "__main__":
    main()
