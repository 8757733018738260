"""Which output of the model each class of the data is."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from semcon.core.errors import SemconError
from semcon.report.numbers import counted


def outputs_of_classes(
    data_classes: Sequence[str], model_classes: Sequence[str] | None, outputs: int, *, given: bool
) -> list[int]:
    """The output index of every class of the data, by name; by order where the model's classes have no names.

    `given`: the user named the outputs (`--classes`), so every class of the data must be among them. Errors:
    `SemconError` naming the classes that have no output.
    """
    if model_classes is not None:
        by_name = {name: index for index, name in reversed(list(enumerate(model_classes))) if name}
        missing = [name for name in data_classes if name not in by_name]
        if not missing:
            return [by_name[name] for name in data_classes]
        if given or len(data_classes) != outputs:
            raise SemconError(_missing(missing, by_name, len(data_classes), outputs, given=given))
    if len(data_classes) > outputs or (model_classes is None and len(data_classes) != outputs):
        raise SemconError(
            f"the data have {len(data_classes)} {'class' if len(data_classes) == 1 else 'classes'} and the model "
            f"{counted(outputs, 'output')}: "
            "give --classes FILE, in which line i names output i"
        )
    return list(range(len(data_classes)))


def check_labels(labels: Sequence[int], outputs: int) -> None:
    """Labels that are output indices must be outputs. Errors: `SemconError` with the first that is not."""
    bad = next((label for label in labels if label >= outputs), None)
    if bad is not None:
        raise SemconError(f"label {bad} in the data, but the model has {outputs} outputs (0 to {outputs - 1})")


def check_names(names: Sequence[str] | None, outputs: int) -> None:
    """As many names as outputs. Errors: `SemconError` with both counts."""
    if names is not None and len(names) != outputs:
        raise SemconError(f"{len(names)} class names for {outputs} outputs: line i of the class file names output i")


def _missing(missing: list[str], known: dict[str, int], classes: int, outputs: int, *, given: bool) -> str:
    near = difflib.get_close_matches(missing[0], list(known), n=2)
    shown = ", ".join(repr(name) for name in missing[:5]) + (", ..." if len(missing) > 5 else "")
    hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    where = "the class file" if given else "the model's own class names"
    return (
        f"{len(missing)} of the data's {classes} classes are not among {where} ({outputs} outputs): {shown}.{hint} "
        "Give --classes FILE with the names that the data use, line i for output i."
    )
