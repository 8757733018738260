"""Importing torchvision also beside a torch that was built for another device.

The registry's torchvision is built against CUDA; beside a CPU-only torch its compiled operators do not load and the
import fails for want of two schemas (nms, qnms). Classification networks and transforms need neither, so on that one
error they are declared and the import is tried once more.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType

import torch

from semcon.core.errors import MissingPackageError, SemconError

_DECLARED: list[torch.library.Library] = []  # a library's schemas live as long as it


def import_torchvision(name: str = "torchvision") -> ModuleType:
    """torchvision or a submodule of it. Errors: `MissingPackageError`; `SemconError` for a build that cannot load."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise MissingPackageError("torchvision", "timm", "this model source") from None
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise SemconError(_mismatch(error)) from error
    for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
        del sys.modules[module]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # declared by someone else in this process
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.append(library)
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        raise SemconError(_mismatch(error)) from error


def _mismatch(error: RuntimeError) -> str:
    return (
        f"the installed torchvision does not fit torch {torch.__version__} ({error}): "
        "install the two from the same index and for the same device"
    )
