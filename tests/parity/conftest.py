"""The reference libraries, as fixtures; torchvision's tensor functions also beside a torch built for other devices."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor

from semcon.core.errors import MissingPackageError
from semcon.torchvision_import import import_torchvision


@pytest.fixture(scope="session")
def tv() -> ModuleType:
    """torchvision.transforms.functional, which needs none of the compiled operators of torchvision."""
    pytest.importorskip("PIL")
    try:
        return import_torchvision("torchvision.transforms.functional")
    except MissingPackageError:
        pytest.skip("torchvision is not installed")


@pytest.fixture(scope="session")
def photographs() -> Tensor:
    """Six real crops of 96 by 64 pixels, (6, 3, 96, 64) in [0, 1], whole 8-bit values."""
    datasets = pytest.importorskip("sklearn.datasets")
    crops = []
    for name in ("china.jpg", "flower.jpg"):
        image = torch.from_numpy(datasets.load_sample_image(name).copy()).permute(2, 0, 1)
        crops += [image[:, 60:156, left : left + 64] for left in (40, 220, 400)]
    return torch.stack(crops).float() / 255
