"""The constraint in a Lightning `Trainer`: a callback that adds it to the loss of `training_step`, and logs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from torch import Tensor, nn

from semcon.constraint import ContinuityConstraint
from semcon.core.errors import MissingPackageError, SemconError
from semcon.training.student import Student
from semcon.viewing import to_logits

try:
    from lightning.pytorch import Callback  # pyright: ignore[reportMissingImports]
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError:
        raise MissingPackageError("pytorch-lightning", "lightning", "the Lightning callback") from None


def _first(batch: Any) -> Tensor:
    return batch[0]


class ContinuityCallback(Callback):  # pyright: ignore[reportUntypedBaseClass, reportGeneralTypeIssues]
    """Adds alpha times the penalty to what `training_step` returns, a loss or a dict with "loss".

    `images`: a batch -> its images (B, 3, H, W) in [0, 1], before normalisation. `mean`, `std`: how the module wants
    them normalised (none where it does so itself). The clean side is what the module's forward gave in the same step,
    where it was called with as many images; else images and copies go through it together. Logs `continuity` and
    `alpha`; the constraint's state is in Lightning's checkpoint.
    """

    def __init__(
        self, constraint: ContinuityConstraint, alpha: float = 4.0, *, images: Callable[[Any], Tensor] = _first,
        mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,),
    ) -> None:  # fmt: skip
        super().__init__()
        self.constraint, self.alpha, self.images, self.mean, self.std = constraint, alpha, images, mean, std
        self._undo: list[Callable[[], None]] = []

    def setup(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        """Wrap `training_step` for the fit."""
        if stage != "fit":
            return
        self._restore()  # of a fit that was stopped by an error: Lightning tears nothing down then
        student = Student(pl_module, mean=self.mean, std=self.std).to(next(pl_module.parameters()).device)
        seen: list[Any] = []
        module: Any = pl_module
        original, own = module.training_step, module.__dict__.get("training_step")

        @wraps(original)  # Lightning reads the signature
        def training_step(batch: Any, *rest: Any) -> Any:
            seen.clear()
            hook = pl_module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
            try:
                returned = original(batch, *rest)
            finally:
                hook.remove()
            loss = returned["loss"] if isinstance(returned, dict) else returned
            if not isinstance(loss, Tensor):
                raise SemconError(f"training_step must give a loss or a dict with 'loss', gave {type(loss).__name__}")
            penalty = self._penalty(student.to(loss.device), self.images(batch).to(loss.device), seen).mean()
            seen.clear()
            module.log_dict({"continuity": penalty.detach(), "alpha": self.alpha})
            total = loss + self.alpha * penalty
            return {**returned, "loss": total} if isinstance(returned, dict) else total

        def restore() -> None:
            if own is not None:
                module.training_step = own
            else:
                module.__dict__.pop("training_step", None)

        module.training_step = training_step
        self._undo.append(restore)

    def teardown(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        """Give the module back as it was."""
        self._restore()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """The same where the fit ends in an error or Ctrl-C."""
        self._restore()

    def state_dict(self) -> dict[str, Any]:
        """The constraint's."""
        return self.constraint.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The constraint's."""
        self.constraint.load_state_dict(state_dict)

    def _restore(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _penalty(self, student: Student, x: Tensor, outputs: list[Any]) -> Tensor:
        if outputs and not self.constraint.layers and len(outputs[-1]) == len(x):
            return self.constraint(student, x, to_logits(outputs[-1], len(x)))
        return self.constraint.together(student, x)[1]
