"""One training loop, on Lightning Fabric: any objective, any precision and number of processes, resumable anywhere.

Everything that a step depends on is a function of its number and of the checkpoint: the order of the images, the draws,
the learning rate and torch's own seed. On one CPU process an interrupted run therefore ends as an uninterrupted one,
bit for bit.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from semcon.core.concepts import Objective
from semcon.core.errors import SemconError
from semcon.gathering import gathered, processes, rank
from semcon.keyed import Keys
from semcon.neighbourhood import Neighbourhood
from semcon.progress import Progress
from semcon.training.checkpoint import Checkpoint, Metrics
from semcon.training.interrupting import Interrupted
from semcon.training.pool import Load, Order, Pool
from semcon.training.running_means import RunningMeans
from semcon.training.settings import Settings, launched, make_optimizer
from semcon.training.student import Student

LOG_EVERY = 20  # steps between two lines of metrics.jsonl: one fetch from the device each
BEFORE_AVERAGE = 0.5  # share of the run after which the weights' average begins


class Observer(Protocol):
    """Looks at the network now and then, may change the objective, and may end the run."""

    every: int

    def __call__(self, student: Student, step: int) -> tuple[dict[str, float], bool]:
        """Figures for the metrics, and whether to stop."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        ...


@dataclass(frozen=True)
class Trained:
    """What training gave: the network (in place), how many steps were made, and seconds over all parts of the run."""

    student: Student
    steps: int
    images: int
    seconds: float


class _Step(nn.Module):
    """Student and objective as one module, so that a distributed wrapper sees one forward pass a step."""

    def __init__(self, student: Student, objective: Objective, augment: tuple[Neighbourhood, ...]) -> None:
        super().__init__()
        self.student, self.objective, self.augment = student, objective, augment

    def forward(self, load: Load) -> dict[str, Tensor]:
        """Terms (B,) by name."""
        x = load.x
        for neighbourhood in self.augment:
            x = _augmented(neighbourhood, x, load.keys)
        return self.objective(self.student, x, load.y, load.keys)


@torch.no_grad()
def _augmented(neighbourhood: Neighbourhood, x: Tensor, keys: Keys) -> Tensor:
    keys = keys.within(f"augment {neighbourhood.parts[0][0]}")
    moved = neighbourhood.draw(x, keys)
    if any(part.kind == "binary" for _, part in neighbourhood.parts):
        half = keys.within("half").uniform(neighbourhood.parts[0][0]) < 0.5
        moved = moved.where(half.view(-1, 1, 1, 1), x)
    return moved


def train(
    student: Student, pool: Pool, objective: Objective, settings: Settings, *, folder: Path, progress: Progress,
    observer: Observer | None = None, fabric: Any = None,
) -> Trained:  # fmt: skip
    """Train in place, from the folder's checkpoint where there is one; metrics and checkpoints go into `folder`.

    `fabric`: of `launched(settings)`, where something has to be asked of all processes before.
    Errors: `SemconError` for fewer images than a batch, a loss that is not finite (the last good checkpoint stays), or
    a full disk.
    """
    return Trainer(student, pool, objective, settings, folder, progress, fabric).run(observer)


class Trainer:
    """The parts of one run."""

    def __init__(
        self, student: Student, pool: Pool, objective: Objective, settings: Settings, folder: Path,
        progress: Progress, fabric: Any = None,
    ) -> None:  # fmt: skip
        self.fabric = fabric or launched(settings)
        if settings.batch_size < 2 * processes():
            raise SemconError(
                f"a batch of {settings.batch_size} of {len(pool)} images is too small: expected at least 2 images for "
                f"each of {processes()} processes"
            )
        if len(pool) < settings.batch_size:
            raise SemconError(
                f"{len(pool)} images do not fill one batch of {settings.batch_size}: give a smaller --batch-size"
            )
        self.pool, self.settings, self.folder, self.progress = pool, settings, folder, progress
        self.objective, self.student = objective, student
        augment = tuple(Neighbourhood.of(name, limit) for name, limit in settings.augment)
        own = _Step(student, objective, augment)
        parameters = [p for p in student.parameters() if p.requires_grad]
        if settings.compile:
            student.network.compile()
        self.step, self.optimizer = self.fabric.setup(own, make_optimizer(settings, parameters))
        self.average = None
        if settings.average is not None:
            self.average = AveragedModel(student.network, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
        self.order = Order(pool.ids, settings.batch_size, settings.seed)
        self.checkpoint, self.metrics = Checkpoint(folder / "checkpoint.pt"), Metrics(folder / "metrics.jsonl")
        self.log = RunningMeans()
        self.seconds, self.done, self.stopped = 0.0, 0, False

    def run(self, observer: Observer | None) -> Trained:
        """All steps that are left."""
        self._restore(observer)
        size, count = self.settings.batch_size // processes(), self.settings.steps
        share = slice(rank() * size, (rank() + 1) * size)
        began = saved = time.perf_counter()
        before, randomness = self.seconds, torch.get_rng_state()
        self.student.train()
        with Interrupted() as interrupted, self.progress.task("training", total=count, done=self.done):
            steps = range(self.done, count) if not self.stopped else range(0)
            for step, load in zip(
                steps, self.pool.loads(steps, self.order, share=share, seed=self.settings.seed), strict=True
            ):
                self._one(step, load)
                self.done = step + 1
                self.progress.advance(1)
                last = self.done == count
                if last or self.done % LOG_EVERY == 0:
                    self._write_metrics(step, load)
                if observer is not None and (last or self.done % observer.every == 0):
                    self._observe(observer)
                self.seconds = before + time.perf_counter() - began
                due = time.perf_counter() - saved > self.settings.checkpoint_seconds
                if last or self.stopped or interrupted.asked or due:
                    self._save(observer)
                    saved = time.perf_counter()
                if interrupted.asked and not last:
                    raise KeyboardInterrupt
                if self.stopped:
                    break
        self._finish()
        torch.set_rng_state(randomness)
        return Trained(self.student, self.done, self.done * self.settings.batch_size, self.seconds)

    def _one(self, step: int, load: Load) -> None:
        settings = self.settings
        _seed((settings.seed * 1_000_003 + step) * 4099 + rank(), load.x.device)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate(step)
        terms: dict[str, Tensor] = self.step(load)
        loss = self.objective.total(terms)
        self.log.add(step, load.rows, loss, terms)
        if load.x.device.type == "cpu" and not bool(gathered(torch.isfinite(loss.detach())[None]).all()):
            self._refuse()
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        if settings.clip is not None:
            self.fabric.clip_gradients(self.step, self.optimizer, max_norm=settings.clip, error_if_nonfinite=False)
        self.optimizer.step()
        if self.average is not None and step >= BEFORE_AVERAGE * settings.steps:
            self.average.update_parameters(self.student.network)

    def _observe(self, observer: Observer) -> None:
        self.student.eval()
        with torch.no_grad():
            figures, self.stopped = observer(self.student, self.done)
        self.student.train()
        self._tell({"step": self.done, "kind": "look", **figures})

    def _tell(self, line: dict[str, Any]) -> None:
        if rank() == 0:
            self.metrics.write(line)

    def _write_metrics(self, step: int, load: Load) -> None:
        figures = self.log.means()
        if not math.isfinite(figures["loss"]):
            self._refuse()
        self.log.recent.clear()
        rate = self.settings.rate(step)
        line = {"step": step + 1, "kind": "train", "epoch": load.keys.draw, "learning_rate": rate, **figures}
        self._tell({**line, "weights": self.objective.weights(), **_told(self.objective)})

    def _refuse(self) -> None:
        step, rows, bad = self.log.first_bad()
        names = ", ".join(self.pool.titles(rows)[:3])
        raise SemconError(
            f"the loss is not finite at step {step + 1} (terms: {', '.join(bad) or 'none alone'}; batch of "
            f"{len(rows)}: {names}, ...). {self._kept}. Try a lower learning rate or alpha, --set clip=1, or look "
            "at these images"
        )

    @property
    def _kept(self) -> str:
        if self.checkpoint.step == 0:
            return "There is no checkpoint yet"
        return f"The checkpoint of step {self.checkpoint.step} is kept in {self.folder}"

    def _save(self, observer: Observer | None) -> None:
        finite = all(bool(torch.isfinite(value).all()) for value in self.student.network.state_dict().values())
        if not finite:
            raise SemconError(
                f"the weights are not finite at step {self.done}. {self._kept}. Try a lower learning rate or alpha, or "
                "--set clip=1"
            )
        if rank() != 0:
            return
        self.checkpoint.write(
            {
                "step": self.done,
                "seconds": self.seconds,
                "stopped": self.stopped,
                "metrics": self.metrics.size,
                "log": (self.log.steps, self.log.sums),
                "precision": self.fabric.strategy.precision.state_dict(),
                "network": self.student.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "objective": self.objective.state_dict(),
                "observer": None if observer is None else observer.state_dict(),
            }
        )

    def _restore(self, observer: Observer | None) -> None:
        state = self.checkpoint.read()
        if state is None:
            self._cut(0)
            return
        try:
            self.student.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.objective.load_state_dict(state["objective"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise SemconError(
                f"the checkpoint in {self.folder} is of another network or objective ({str(error).splitlines()[0]}): "
                "use the same recipe, or remove the folder"
            ) from None
        if observer is not None and state["observer"] is not None:
            observer.load_state_dict(state["observer"])
        self.done, self.seconds, self.stopped = state["step"], state["seconds"], state["stopped"]
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.log.steps = state["log"][0]
        self.log.sums = {name: value.to(self.pool.device) for name, value in state["log"][1].items()}
        self._cut(state["metrics"])

    def _cut(self, size: int) -> None:
        if rank() == 0:
            self.metrics.cut(size)

    def _finish(self) -> None:
        """The average takes the network's place, its batch-norm statistics estimated anew; evaluation mode."""
        if self.average is not None and int(self.average.n_averaged) > 0:
            self.student.network.load_state_dict(self.average.module.state_dict())
            steps = range(min(50, self.order.steps_per_epoch))
            with torch.no_grad(), self.student.train().estimating():
                for load in self.pool.loads(steps, self.order, share=slice(None), seed=self.settings.seed):
                    self.step.module(load)
        self.student.eval()
        self.optimizer.zero_grad(set_to_none=True)
        if self.settings.compile:
            self.student.network._compiled_call_impl = None  # the user's module as it came


def _seed(seed: int, device: torch.device) -> None:
    """torch's own generators; `torch.manual_seed` formats a traceback each time where CUDA has not been started."""
    torch.default_generator.manual_seed(seed)
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).manual_seed(seed)


def _told(objective: Objective) -> dict[str, float]:
    """What the constraint tells of itself: the share of steps at the floor, the running mean distance."""
    constraint: Any = getattr(objective, "constraint", None)
    if constraint is None:
        return {}
    return {"floored_share": constraint.floored_share, "spread": float(constraint.scales[0])}
