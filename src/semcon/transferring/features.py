"""What a layer says of every image, worked out once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from semcon.attribution import as_grid
from semcon.core.errors import SemconError
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.fitting import fitting
from semcon.measuring.image_rows import not_finite
from semcon.subject import Subject
from semcon.transferring.target import Images
from semcon.viewing import PENULTIMATE

LOGITS = "logits"
HELD = 16  # images that kept features are held against
NEAR = 0.01  # of their norm: devices and precisions differ by less, other images and networks by more


def feature_layer(subject: Subject, wanted: str | None) -> str:
    """The layer that features come from: the wanted one, the input of the last linear layer, or the logits.

    Errors: `UnknownNameError` with near names for a layer that the model lacks; `SemconError` for one of a black box.
    """
    if wanted is not None and wanted != LOGITS:
        if subject.module is None:
            raise SemconError(f"a black box has no layer {wanted!r}: leave out --transfer-layer, or give the nn.Module")
        probe = torch.rand(2, 3, subject.canvas.height, subject.canvas.width, device=subject.device)
        with torch.no_grad():
            subject.view(probe, (wanted,))
        return wanted
    return PENULTIMATE if wanted is None and subject.has_penultimate else LOGITS


def features(
    subject: Subject, images: Images, layer: str, batch_size: int, advance: Callable[[float], None]
) -> Tensor:  # fmt: skip
    """(N, D) float32 on the CPU. Maps and tokens are averaged over their places.

    Kept under `$SEMCON_CACHE` (`~/.cache/semcon` by default) by the network, its preprocessing, the images and the
    layer; an empty `SEMCON_CACHE` keeps nothing. A black box, which has no fingerprint, is looked at every time. Of two
    networks of the same weights (max pooling for mean pooling) each has its own: they say different things of noise.
    What was kept is held against what the layer says of a few images now, and done again where it is not the same.
    """
    kept = _file(subject, images, layer)
    known = None if kept is None else _known(kept)
    if known is not None and _same(known, subject, images, layer):
        advance(len(images))
        return known

    def look(batch: Batch) -> Tensor:
        found = _said(subject, batch.x.to(subject.device), layer)
        advance(len(found))
        if not bool(found.isfinite().all()):
            raise not_finite(batch, ~found.isfinite().all(1), "logits" if layer == LOGITS else layer, "of the target")
        return found

    found = torch.cat([part for batch in images.read(subject.canvas, batch_size) for part in fitting(batch, look)])
    if kept is not None:
        _keep(found, kept)
    return found


def _same(known: Tensor, subject: Subject, images: Images, layer: str) -> bool:
    """Whether these are the features of the first images, of as many as there are."""
    few = images.part(torch.arange(min(HELD, len(images))))
    said = torch.cat([_said(subject, batch.x.to(subject.device), layer) for batch in few.read(subject.canvas, HELD)])
    alike = known.shape == (len(images), *said.shape[1:])
    return alike and bool((known[: len(said)] - said).norm() <= NEAR * said.norm())


@torch.no_grad()
def _said(subject: Subject, x: Tensor, layer: str) -> Tensor:
    """What the layer says of images on the canvas."""
    value = subject(x) if layer == LOGITS else subject.view(x, (layer,)).layers[layer]
    return pooled(value, *subject.size).float().cpu()


def pooled(value: Tensor, height: int, width: int) -> Tensor:
    """(B, D), (B, D, h, w), (B, h, w, D) or tokens (B, T, D) -> (B, D): the mean over places, of tokens over all."""
    if value.dim() == 4 and value.shape[1:3] != (1, 1):
        grid = as_grid(value, height, width)
        return (value if grid is None else grid).mean(dim=(2, 3))
    return value.mean(dim=1) if value.dim() == 3 else value.flatten(1)


def _file(subject: Subject, images: Images, layer: str) -> Path | None:
    folder = os.environ.get("SEMCON_CACHE", str(Path.home() / ".cache" / "semcon"))
    if not folder or subject.fingerprint is None:
        return None
    order = hashlib.blake2b(images.scan.ids.numpy().tobytes(), digest_size=8).hexdigest()
    noise = Keys(torch.arange(2), scope="features", device=subject.device)
    said = _said(subject, noise.uniform("probe", (3, *subject.size)), layer)
    behaviour = (said / said.abs().max() * 1000).round().tolist()
    made = (
        subject.fingerprint, behaviour, subject.mean, subject.std, subject.channels, subject.canvas, subject.precision,
        layer,
    )  # fmt: skip
    name = hashlib.blake2b(repr((*made, order)).encode(), digest_size=16).hexdigest()
    return Path(folder) / "features" / f"{name}.safetensors"


def _known(path: Path) -> Tensor | None:
    """What was kept; None where nothing was, or what is there cannot be read."""
    try:
        return load_file(path)["features"]
    except (OSError, SafetensorError, KeyError):
        return None


def _keep(found: Tensor, path: Path) -> None:
    """Whole or not at all; a disk that takes no more is no reason to stop."""
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"features": found.contiguous()}, temporary)
        os.replace(temporary, path)
    except (OSError, SafetensorError):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
