"""The folder is the registry: a component's name is its file's name, and listing imports nothing.

`available("perturbations")` lists the files of that folder and what other packages registered under the entry-point
group `semcon.perturbations`; `load("perturbations", "gaussian_noise")` imports that one file and returns its class
`GaussianNoise`.
"""

from __future__ import annotations

import importlib
import re
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from semcon.core.errors import SemconError, UnknownNameError

PACKAGE = Path(__file__).parent.parent
KINDS = (
    "perturbations", "distances", "representations", "datasets", "models", "checks", "evaluations", "objectives",
    "explanations",
)  # fmt: skip


def class_name(name: str) -> str:
    """`gaussian_noise` -> `GaussianNoise`."""
    return "".join(part.capitalize() for part in name.split("_"))


def file_name(component: type) -> str:
    """`GaussianNoise` -> `gaussian_noise`: what users type, back from a class."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", component.__name__).lower()


def available(kind: str) -> list[str]:
    """The names of one kind, sorted. Errors: `UnknownNameError` for a kind that does not exist."""
    return sorted(_own(kind) | set(_third_party(kind)))


def load(kind: str, name: str) -> type[Any]:
    """The class behind a name. Errors: `UnknownNameError` with the nearest names."""
    if name in _own(kind):
        return getattr(importlib.import_module(f"semcon.{kind}.{name}"), class_name(name))
    points = _third_party(kind)
    if name not in points:
        raise UnknownNameError(kind.removesuffix("s"), name, available(kind))
    component = points[name].load()
    if not isinstance(component, type):
        raise SemconError(f"entry point {points[name].value} of group semcon.{kind} is not a class")
    return component


def lazy_members(kind: str) -> tuple[Any, Any]:
    """`__getattr__` and `__dir__` for a kind's package, so that `from semcon.perturbations import Hue` works lazily."""
    names = {class_name(name): name for name in available(kind)}

    def getattr_(attribute: str) -> Any:
        if attribute in names:
            return load(kind, names[attribute])
        raise AttributeError(f"module 'semcon.{kind}' has no attribute {attribute!r}")

    return getattr_, lambda: sorted(names)


def _own(kind: str) -> set[str]:
    if kind not in KINDS:
        raise UnknownNameError("kind", kind, KINDS)
    return {path.stem for path in (PACKAGE / kind).glob("*.py") if not path.stem.startswith("_")}


def _third_party(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"semcon.{kind}")}
