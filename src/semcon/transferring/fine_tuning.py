"""The whole network trained on, with a new last layer."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from torch import nn

from semcon.attribution import last_linear
from semcon.core.errors import SemconError
from semcon.core.registry import load
from semcon.loading import Batch
from semcon.measuring.fitting import fitting
from semcon.progress import Silent
from semcon.subject import Subject
from semcon.training.loop import train
from semcon.training.pool import Pool
from semcon.training.settings import Settings
from semcon.training.student import Student
from semcon.transferring.readouts import Guess
from semcon.transferring.target import Target

RATE = 0.02  # the peak of SGD's one cycle


def fine_tuned(
    subject: Subject, target: Target, *, steps: int, batch_size: int, seed: int
) -> Guess:  # fmt: skip
    """What a copy of the network says of the judged images, after so many steps of cross-entropy on the others.

    SGD with one cycle that peaks at 0.02, whatever the network. Errors: `SemconError` where there is no last linear
    layer to put a new one in the place of.
    """
    student = with_new_head(subject, len(target.classes), seed)
    settings = Settings(
        steps=steps, batch_size=min(batch_size, len(target.train)), learning_rate=RATE, seed=seed,
        accelerator=subject.device.type, checkpoint_seconds=float("inf"),
    )  # fmt: skip
    pool = Pool(
        target.train.dataset, subject.canvas, target.train.scan, target.train.labels, device=subject.device
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="semcon-") as folder:
        trained = train(
            student, pool, load("objectives", "cross_entropy")(), settings, folder=Path(folder), progress=Silent()
        )
    network = trained.student.eval()

    @torch.no_grad()
    def look(batch: Batch) -> Guess:
        return Guess.of(network(batch.x.to(subject.device)).softmax(1).cpu())

    parts = [part for batch in target.test.read(subject.canvas, 100) for part in fitting(batch, look)]
    return Guess(torch.cat([part.prediction for part in parts]), torch.cat([part.confidence for part in parts]))


def with_new_head(subject: Subject, classes: int, seed: int) -> Student:
    """A copy of the network, all of it to be trained, whose last linear layer is new wherever it stands.

    Errors: `SemconError` where there is none, and where what it says are not the logits.
    """
    module = copy.deepcopy(subject.module)
    assert module is not None
    module.requires_grad_()
    canvas = subject.canvas
    name = last_linear(module, torch.rand(2, subject.channels, canvas.height, canvas.width, device=subject.device))
    head = None if name is None else module.get_submodule(name)
    if name is None or not isinstance(head, nn.Linear):
        raise SemconError(
            f"fine-tuning puts a new layer in the place of the last linear one, and {subject.name} has none: leave it "
            "out (--budget standard)"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = nn.Linear(head.in_features, classes).to(head.weight)
    places = [place for place, layer in module.named_modules(remove_duplicate=False) if layer is head]
    for place in filter(None, places):
        module.set_submodule(place, fresh)
    module = fresh if module is head else module
    student = Student(module, mean=subject.mean, std=subject.std, channels=subject.channels, penultimate=name)
    _check_logits(student.to(subject.device), subject, classes)
    return student


def _check_logits(student: Student, subject: Subject, classes: int) -> None:
    probe = torch.rand(2, 3, *subject.size, device=subject.device)
    student.eval()  # the training puts it back
    try:
        with torch.no_grad():
            shape = tuple(student(probe).shape)
        why = "" if shape == (2, classes) else f": its output is {shape}"
    except (RuntimeError, ValueError, IndexError) as error:
        why = f" ({error})"
    if why:
        raise SemconError(
            f"fine-tuning gives {subject.name} a last layer of {classes} classes, and what comes after it, or another "
            f"use of it, does not take that{why}: leave it out (--budget standard)"
        )
