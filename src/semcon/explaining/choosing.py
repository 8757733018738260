"""Which explanations are looked at: what was asked for by name, or what a budget has for a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from semcon.core.concepts import Explanation
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.registry import available, file_name, load
from semcon.subject import Subject

_USUAL = {
    "fast": ("grad_cam", "integrated_gradients"),
    "standard": ("grad_cam", "integrated_gradients", "input_x_gradient"),
    "full": ("grad_cam", "integrated_gradients", "input_x_gradient", "smooth_grad", "occlusion"),
}
_LIGHT: dict[str, dict[str, int]] = {"integrated_gradients": {"steps": 8}}
"""Settings below the full budget: maps at 8 nodes have a cosine of .987 with those at 128 (ResNet-20 on CIFAR-10)."""
_BLACK_BOX = ("occlusion", "rise")
_LAYERED = "grad_cam"


def chosen(names: Sequence[str] | None, budget: str, *, gradients: bool) -> tuple[Explanation, ...]:
    """Explanations by name, `grad_cam:LAYER` with a layer; None leaves them to the budget.

    Errors: `UnknownNameError`; `SemconError` for one given twice, a layer where none is looked at, or one that needs
    gradients of a model that has none.
    """
    if names is None:
        usual = _USUAL[budget] if gradients else _BLACK_BOX
        light = {} if budget == "full" else _LIGHT
        return tuple(load("explanations", name)(**light.get(name, {})) for name in usual)
    if not names:
        raise SemconError(f"name at least one explanation, of {', '.join(available('explanations'))}")
    found = tuple(_named(text) for text in names)
    kinds = [file_name(type(one)) for one in found]
    for number, (kind, one) in enumerate(zip(kinds, found, strict=True)):
        if kind in kinds[:number]:
            raise SemconError(f"the explanation {kind} was given twice")
        if one.needs_gradient and not gradients:
            free = [name for name in available("explanations") if not load("explanations", name).needs_gradient]
            raise SemconError(
                f"the explanation {kind} needs gradients, and the model has none: expected one of {', '.join(free)}"
            )
    return found


def settled(explanations: Sequence[Explanation], subject: Subject, *, asked: bool) -> tuple[Explanation, ...]:
    """For a model. Where nobody `asked` for it, one that needs a layer which this model lacks is left out."""
    found: list[Explanation] = []
    for one in explanations:
        try:
            found.append(one.settled(subject))
        except UnknownNameError:
            raise
        except SemconError:
            if asked:
                raise
    if not found:
        raise SemconError("none of the usual explanations suits this model: name one with --explanations")
    return tuple(found)


def as_settings(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """As plain JSON; layers apart: those of two architectures differ, and their maps can be compared all the same."""
    named = {file_name(type(one)): asdict(one) for one in explanations}  # pyright: ignore[reportArgumentType]
    layers = {name: own.pop("layer") for name, own in named.items() if "layer" in own}
    return {"explanations": named, "explained_layers": layers}


def _named(text: str) -> Explanation:
    name, colon, layer = text.partition(":")
    kind: type[Explanation] = load("explanations", name)
    if not colon:
        return kind()
    if name != _LAYERED or not layer:
        raise SemconError(f"expected the name of an explanation, or {_LAYERED}:LAYER, got {text!r}")
    return load("explanations", name)(layer)
