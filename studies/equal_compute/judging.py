"""What a finished network is judged by: outcomes per image, so that networks are paired; attacks of the study's own."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import torch
from tasks import Task
from torch import Tensor

from semcon.built import build_subject
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.recipes.sources import parse_model
from semcon.training.student import Student


class Images:
    """A split as tensors: `x` (N, 3, H, W) in [0, 1], `y` (N,)."""

    def __init__(self, data: Any) -> None:
        pixels = torch.stack([torch.from_numpy(data.image(i).copy()) for i in range(len(data))])
        x = pixels.permute(0, 3, 1, 2).float() / 255
        self.x = x.expand(-1, 3, -1, -1).contiguous()
        self.y = torch.tensor([data.label(i) for i in range(len(data))])
        self.ids = torch.tensor([data.identity(i) for i in range(len(data))])

    def copies(self, name: str, severity: float) -> Tensor:
        perturbation = load("perturbations", name)()
        return perturbation(self.x, perturbation.sample(Keys(self.ids, 1, 0, name), self.x), severity)


def student_of(folder: Path, size: int) -> Student:
    subject = build_subject(
        parse_model(f"run:{folder}", None).build(), mean=None, std=None, size=None, classes=None, device="cpu",
        precision="32", common_size=(size, size), name=None,
    )  # fmt: skip
    return Student.of(subject).eval().requires_grad_(False)


def pgd(student: Student, x: Tensor, y: Tensor, eps: float, steps: int, restarts: int = 2) -> Tensor:
    """Adversarial images of the smallest margin found, margin loss, independent of semcon's search."""
    best, found = x.clone(), torch.full((len(x),), torch.inf)
    generator = torch.Generator().manual_seed(0)
    for _ in range(restarts):
        moved = (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
        for step in range(steps + 1):
            margins, gradient = _margins(student, moved, y)
            better = margins < found
            found, best = torch.where(better, margins, found), best.where(~better.view(-1, 1, 1, 1), moved)
            if step < steps:
                moved = (moved - 2.5 * eps / steps * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return best


def _margins(student: Student, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    margins, gradients = [], []
    for part, labels in zip(x.split(200), y.split(200), strict=True):
        part = part.detach().requires_grad_()
        logits = student(part)
        own = logits.gather(1, labels[:, None]).squeeze(1)
        margin = own - logits.scatter(1, labels[:, None], -torch.inf).max(1).values
        gradients.append(torch.autograd.grad(margin.sum(), part)[0])
        margins.append(margin.detach())
    return torch.cat(margins), torch.cat(gradients)


@torch.no_grad()
def predictions(student: Student, x: Tensor) -> Tensor:
    return torch.cat([student(part) for part in x.split(500)])


def relative(clean: Tensor, moved: Tensor) -> float:
    clean, moved = (z - z.mean(1, keepdim=True) for z in (clean, moved))
    pairs = torch.cdist(clean, clean).sum() / (len(clean) * (len(clean) - 1))
    return float((clean - moved).norm(dim=1).mean() / pairs)


def judged(student: Student, images: Images, task: Task, transfer: dict[float, Tensor]) -> dict[str, Any]:
    """Right on clean images; right, flipped and relative change per perturbation; right under PGD and transfer."""
    clean = predictions(student, images.x)
    label = clean.argmax(1)
    out: dict[str, Any] = {
        "clean": bits(label == images.y),
        "logit_norm": float((clean - clean.mean(1, keepdim=True)).norm(dim=1).mean()),
    }
    seen = [("seen", *part.split(":")) for part in task.seen]
    unseen = [(family, name, severity) for family, parts in task.unseen.items() for name, severity in parts]
    for family, name, severity in (*seen, *unseen):
        moved = predictions(student, images.copies(name, float(severity)))
        out[f"{family}/{name}:{severity}"] = {
            "right": bits(moved.argmax(1) == images.y), "flip": bits(moved.argmax(1) != label),
            "relative_change": relative(clean, moved),
        }  # fmt: skip
    x, y = images.x[: task.attacked], images.y[: task.attacked]
    for eps in task.eps:
        attacked = predictions(student, pgd(student, x, y, eps, task.attack_steps))
        out[f"pgd/{eps:.4g}"] = bits(attacked.argmax(1) == y)
        out[f"transfer/{eps:.4g}"] = bits(predictions(student, transfer[eps]).argmax(1) == y)
    return out


def bits(values: Tensor) -> str:
    """Booleans as hexadecimal, so that results stay small and paired."""
    text = "".join("1" if value else "0" for value in values.tolist())
    return f"{len(text)}:{int(text, 2):x}"


def chosen_score(student: Student, images: Images, task: Task) -> float:
    """What a knob is chosen by: the mean of clean accuracy and of accuracy under the seen perturbations."""
    clean = float((predictions(student, images.x).argmax(1) == images.y).float().mean())
    seen = []
    for part in task.seen:
        name, severity = part.split(":")
        copies = images.copies(name, float(severity))
        seen.append(float((predictions(student, copies).argmax(1) == images.y).float().mean()))
    return (clean + statistics.mean(seen)) / 2
