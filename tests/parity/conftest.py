"""The reference libraries, as fixtures; torchvision's tensor functions also beside a torch built for other devices."""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

_DEFINED: list[torch.library.Library] = []  # a library's schemas live as long as it


@pytest.fixture(scope="session")
def tv() -> ModuleType:
    """torchvision.transforms.functional, which needs none of the compiled operators of torchvision."""
    pytest.importorskip("PIL")
    try:
        import torchvision.transforms.functional as functional
    except ModuleNotFoundError:
        pytest.skip("torchvision is not installed")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            with contextlib.suppress(RuntimeError):  # defined by someone else in this process
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DEFINED.append(library)
        import torchvision.transforms.functional as functional
    return functional


@pytest.fixture(scope="session")
def photographs() -> Tensor:
    """Six real crops of 96 by 64 pixels, (6, 3, 96, 64) in [0, 1], whole 8-bit values."""
    datasets = pytest.importorskip("sklearn.datasets")
    crops = []
    for name in ("china.jpg", "flower.jpg"):
        image = torch.from_numpy(datasets.load_sample_image(name).copy()).permute(2, 0, 1)
        crops += [image[:, 60:156, left : left + 64] for left in (40, 220, 400)]
    return torch.stack(crops).float() / 255
