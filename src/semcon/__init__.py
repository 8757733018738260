"""Measure how semantically continuous an image classifier is, train or repair it to be more so, and prove it.

`semcon.audit(model, data, ...)` returns a `RunRecord`; `semcon.RunRecord.load(folder)` reads one.
`semcon.train(recipe)` and `semcon.repair(recipe)` return run folders; `semcon.ContinuityConstraint` goes into a loop of
your own. Importing this package loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semcon.comparing.compare import compare
    from semcon.constraint import ContinuityConstraint, Options
    from semcon.neighbourhood import Neighbourhood
    from semcon.recipes.audit import audit
    from semcon.recipes.repair import RepairRecipe, repair
    from semcon.recipes.train import TrainRecipe, train
    from semcon.run_record import RunRecord

__version__ = "0.1.0"
__all__ = [
    "ContinuityConstraint", "Neighbourhood", "Options", "RepairRecipe", "RunRecord", "TrainRecipe", "__version__",
    "audit", "compare", "repair", "train",
]  # fmt: skip

_PLACES = {
    "ContinuityConstraint": "constraint", "Neighbourhood": "neighbourhood", "Options": "constraint",
    "RepairRecipe": "recipes.repair", "RunRecord": "run_record", "TrainRecipe": "recipes.train",
    "audit": "recipes.audit", "compare": "comparing.compare", "repair": "recipes.repair", "train": "recipes.train",
}  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"semcon.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'semcon' has no attribute {name!r}")
