"""Explanations and their measures by semcon, on real images and networks, with everything that was drawn.

    python studies/explanation_parity/ours.py [--data DIR] [--images 32] [--out FILE]

DIR: the folder with `weights/cifar10` and `cifar10/test.parquet` (SEMCON_DATA). FILE: an .npz that `theirs.py` reads in
an environment of its own.
"""

from __future__ import annotations

import argparse
import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from semcon.built import build_subject
from semcon.explaining.curves import deletion
from semcon.explaining.fidelity import Removals, infidelity, max_sensitivity
from semcon.explanations import GradCam, InputXGradient, IntegratedGradients, Lime
from semcon.explanations.lime import superpixels
from semcon.keyed import Keys
from semcon.loading import Batch, batches, scan
from semcon.recipes.sources import parse_data, parse_model
from semcon.subject import Subject

NETWORKS = {
    "resnet20": ("akamaster_resnet20", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "resnet2b": ("robust_resnet2b", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
}
STEPS, DRAWS, RADIUS, PATCH, SHARES = 32, 10, 0.02, 4, 16
LIME = Lime(segments=16, samples=200)


class Exact(nn.Module):
    """The network with its normalisation in float64."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.network = copy.deepcopy(subject.module).double()  # pyright: ignore[reportOptionalMemberAccess]
        self.mean, self.std = (
            torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (subject.mean, subject.std)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) / self.std)


class Signs(TorchFunctionMode):
    """Within the block, `seen` collects which units of every ReLU let something through."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is functional.relu:
            self.seen.append(output > 0)
        return output


def crossed(subject: Subject, x: Tensor) -> list[int]:
    """How many ReLUs semcon's order of the sums puts on the other side of 0 than the plain one, and of how many."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (subject.mean, subject.std))
    with Signs() as own:
        subject(x)
    with Signs() as plain:
        subject.model((x - mean) / std)
    pairs = list(zip(own.seen, plain.seen, strict=True))
    return [sum(int((a != b).sum()) for a, b in pairs), sum(a.numel() for a, _ in pairs)]


def load(data: Path, network: str, images: int) -> tuple[Subject, Batch]:
    """A network with the first images of the CIFAR-10 test set."""
    weights, mean, std = NETWORKS[network]
    folder = data / "weights" / "cifar10"
    built = parse_model(f"file:{folder / 'models.py'}:{network}", str(folder / f"{weights}.safetensors")).build()
    dataset = parse_data(f"parquet:{data / 'cifar10' / 'test.parquet'}", images)
    found = scan(dataset)
    subject = build_subject(
        built, mean=mean, std=std, size=None, classes=None, device="cpu", precision="32",
        common_size=found.common_size, name=network,
    )  # fmt: skip
    return subject, Batch.concat(list(batches(dataset, subject.canvas, found, range(images), batch_size=images)))


@torch.no_grad()
def measured(subject: Subject, batch: Batch) -> dict[str, Any]:
    """Maps, curves and figures, and what they were drawn from."""
    x, keys = batch.x, Keys(batch.ids, 0, 0, "explanation")
    target = subject(x).argmax(1)
    cam = GradCam().settled(subject)
    found: dict[str, Any] = {"x": x, "target": target, "layer": cam.layer, "crossed": crossed(subject, x)}
    maps = {
        "integrated_gradients": IntegratedGradients(STEPS)(subject, x, target, keys),
        "input_x_gradient": InputXGradient()(subject, x, target, keys),
        "grad_cam": cam(subject, x, target, keys),
        "lime": LIME(subject, x, target, keys),
    }
    found |= maps
    exact, fine = subject.variant((0.0,), (1.0,)).replaced(Exact(subject)), x.double()
    found["integrated_gradients_64"] = IntegratedGradients(STEPS)(exact, fine, target, keys)
    found["input_x_gradient_64"] = InputXGradient()(exact, fine, target, keys)
    segments = superpixels(x, LIME.segments)
    shown = keys.within("lime").uniform("shown", (LIME.samples, 2 * LIME.segments)) < 0.5
    shown[:, 0] = True
    found |= {"segments": segments, "shown": shown, "ground": Lime._colours(x, segments, 2 * LIME.segments)}
    own, black = maps["integrated_gradients"], torch.zeros_like(x)
    found["deletion"] = deletion(subject, x, target, own, black, torch.arange(1, SHARES + 1) / SHARES)
    found["sensitivity"] = max_sensitivity(
        InputXGradient(), subject, x, target, keys, radius=RADIUS, draws=DRAWS
    )  # fmt: skip
    noise = keys.within("sensitivity")
    found["noise"] = torch.stack([RADIUS * noise.signed(f"noise {draw}", tuple(x.shape[1:])) for draw in range(DRAWS)])
    removed = Removals.drawn(subject, x, target, keys, 20)
    colour = x.mean((2, 3), keepdim=True)
    change = torch.where(removed.where[:, :, None], x - colour, 0.0)
    told = (own[None, :, None] * change).sum((2, 3, 4))
    found |= {"where": removed.where, "infidelity": infidelity(told, removed.drop)}
    found |= {"scaled": infidelity(told, removed.drop, scaled=True), "blocks": of_blocks(subject, x, target, own)}
    return found


def of_blocks(subject: Subject, x: Tensor, target: Tensor, maps: Tensor) -> Tensor:
    """Infidelity under blocks blackened one after the other, none of them put back: quantus' perturbation."""
    score = subject(x).gather(1, target[:, None]).squeeze(1)
    copy, told, drop = x.clone(), [], []
    for row in range(0, x.shape[2], PATCH):
        for column in range(0, x.shape[3], PATCH):
            copy[:, :, row : row + PATCH, column : column + PATCH] = 0
            told.append((maps[:, None] * (x - copy)).sum((1, 2, 3)))
            drop.append(score - subject(copy).gather(1, target[:, None]).squeeze(1))
    return infidelity(torch.stack(told), torch.stack(drop))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SEMCON_DATA", "../shared/data")))
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("explanations.npz"))
    settings = parser.parse_args()
    arrays: dict[str, Any] = {}
    for network in NETWORKS:
        for name, value in measured(*load(settings.data, network, settings.images)).items():
            arrays[f"{network}/{name}"] = value.numpy() if isinstance(value, Tensor) else np.array(value)
    np.savez(settings.out, **arrays)


if __name__ == "__main__":
    main()
