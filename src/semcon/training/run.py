"""One training run, end to end: network, data and objective to a run folder with weights, record and metrics."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semcon import __version__
from semcon.core.concepts import Dataset, Objective
from semcon.core.errors import SemconError
from semcon.core.files import write_whole
from semcon.core.record import CanvasRecord, TrainingRecord
from semcon.core.training_record import FILE, NetworkRecord, TrainingRun
from semcon.environment import emulated, environment
from semcon.gathering import rank
from semcon.labelling import check_labels, check_names, outputs_of_classes
from semcon.loading import Scan
from semcon.partial import check_free, partial_of
from semcon.progress import Progress
from semcon.subject import Subject
from semcon.training.loop import Observer, Trained, train
from semcon.training.pool import Pool
from semcon.training.settings import Settings, launched
from semcon.training.student import Student
from semcon.weights import plain_state

WEIGHTS, RECIPE = "weights.safetensors", "recipe.json"


@dataclass(frozen=True)
class Plan:
    """What a recipe decides about a training run besides the subject and the data.

    `make`: the objective for a student. `network`: how to build the network again. `recipe`: every setting, resolved.
    `out`: the run folder; the run grows beside it as NAME.partial. `concluding`: what is still to be written into it.
    """

    make: Callable[[Student], Objective]
    settings: Settings
    network: NetworkRecord
    recipe: dict[str, Any]
    out: Path
    resume: bool = False
    classes_given: bool = False
    workers: int | None = None
    concluding: Callable[[Path], None] | None = None
    observer: Callable[[Student, Objective], Observer] | None = field(default=None, repr=False)


def labels_of(subject: Subject, dataset: Dataset, scan: Scan, *, given: bool) -> Tensor:
    """Labels as output indices, (N,). Errors: `SemconError` for missing labels or classes that the model lacks."""
    if bool((scan.labels < 0).any()):
        count = int((scan.labels < 0).sum())
        raise SemconError(f"training needs labels: {count} of {len(scan.labels)} images of {dataset.source} have none")
    if dataset.classes is None:
        check_labels(scan.labels.tolist(), subject.outputs)
        return scan.labels
    return torch.tensor(outputs_of_classes(dataset.classes, subject.classes, subject.outputs, given=given))[scan.labels]


def run_training(subject: Subject, dataset: Dataset, scan: Scan, plan: Plan, progress: Progress) -> Path:
    """Train, write the run folder, say where it is. The subject's network is trained in place."""
    check_names(subject.classes, subject.outputs)
    labels = labels_of(subject, dataset, scan, given=plan.classes_given)
    fabric = launched(plan.settings)
    plan = replace(plan, out=fabric.broadcast(plan.out))  # of processes that look for a free name each finds another
    folder = partial_of(plan.out)
    new = not folder.exists()
    if rank() == 0:
        growing(plan.out, plan.recipe, resume=plan.resume)
    fabric.barrier()
    with gone_if_idle(folder, new=new):
        return _trained(subject, (dataset, scan, labels), plan, fabric, progress)


def _trained(
    subject: Subject, images: tuple[Dataset, Scan, Tensor], plan: Plan, fabric: Any, progress: Progress
) -> Path:
    dataset, scan, labels = images
    folder = partial_of(plan.out)
    pool = Pool(dataset, subject.canvas, scan, labels, device=fabric.device, workers=plan.workers)
    student = Student.of(subject)
    objective = plan.make(student).to(subject.device)
    progress.say(
        f"training {subject.name} ({subject.outputs} outputs) on {len(pool)} images with "
        f"{_words(type(objective).__name__)}, {plan.settings.steps} "
        f"steps of {plan.settings.batch_size}, on {fabric.device}{emulated(fabric.device, plan.settings.precision)}"
    )
    observer = None if plan.observer is None else plan.observer(student, objective)
    trained = train(
        student, pool, objective, plan.settings, folder=folder, progress=progress, observer=observer, fabric=fabric
    )
    if rank() == 0:
        write_trained(folder, subject, objective, trained, plan)
        if plan.concluding is not None:
            plan.concluding(folder)
        os.replace(folder, plan.out)
        (plan.out / "checkpoint.pt").unlink()  # last: a kill before the new name leaves it to resume from
    fabric.barrier()
    return plan.out


@contextmanager
def gone_if_idle(folder: Path, *, new: bool) -> Iterator[None]:
    """Where something stops a run before its first checkpoint, a folder that is new goes: nothing to resume."""
    try:
        yield
    except BaseException:
        if new and rank() == 0 and not (folder / "checkpoint.pt").exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def growing(out: Path, recipe: dict[str, Any], *, resume: bool, what: str = "training") -> Path:
    """The folder beside `out` in which a run grows; with `resume` the one that is there, of the same recipe.

    Errors: `SemconError` for a folder that is taken, or a recipe that differs, naming the setting.
    """
    check_free(out, resume=resume, what=what, sign=RECIPE)
    folder = partial_of(out)
    before = folder / RECIPE
    if before.exists():
        was = _recipe(before)
        now = json.loads(json.dumps(recipe))
        different = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
        if different:
            told = "; ".join(f"{key} was {was.get(key)!r}, is {now.get(key)!r}"[:200] for key in different[:3])
            raise SemconError(f"cannot resume {folder}: {told}. Use the same recipe, or remove the folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SemconError(f"cannot write to {folder}: {error.strerror}. Choose another --out") from None
    write_whole(before, (json.dumps(recipe, indent=1) + "\n").encode())
    return folder


def _recipe(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise SemconError(f"{path} is damaged ({error}): remove the folder to begin again") from None


def write_trained(folder: Path, subject: Subject, objective: Objective, trained: Trained, plan: Plan) -> None:
    """Weights and `training.json`, the latter last: a folder that has it is whole."""
    from safetensors.torch import save

    write_whole(folder / WEIGHTS, save(plain_state(trained.student.network)))
    record = TrainingRun(
        semcon=__version__, created=datetime.now(UTC).isoformat(timespec="seconds"), network=plan.network,
        weights=WEIGHTS, canvas=CanvasRecord(**asdict(subject.canvas)), mean=subject.mean, std=subject.std,
        channels=subject.channels, classes=subject.classes, recipe=plan.recipe, environment=environment(subject),
        training=TrainingRecord(
            objective=_words(type(objective).__name__), seed=plan.settings.seed, steps=trained.steps,
            images=trained.images, passes=trained.images * objective.passes, seconds=trained.seconds,
            parameters=subject.parameters or 0, hardware=str(environment(subject)["hardware"]),
        ),
    )  # fmt: skip
    write_whole(folder / FILE, record.to_text().encode())


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
