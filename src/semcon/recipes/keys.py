"""Keys of a recipe: from TOML and KEY=VALUE, validated, and back to plain JSON."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from semcon.core.errors import SemconError, UnknownNameError
from semcon.recipes.sources import numbers

if TYPE_CHECKING:
    pass

LISTS = ("perturb", "augment", "representation", "distance", "wish")


Recipe = TypeVar("Recipe", bound=BaseModel)


def validated(kind: type[Recipe], settings: dict[str, Any]) -> Recipe:
    """A recipe from its keys: one value stands for a list of one, text for numbers.

    Errors: `UnknownNameError` for a key that does not exist; `SemconError` naming the key, what came and what is
    expected.
    """
    plain: dict[str, Any] = {
        key: [value] if key in LISTS and isinstance(value, str) else value for key, value in settings.items()
    }
    for key in ("mean", "std"):
        if plain.get(key) is not None:
            plain[key] = numbers(plain[key], key)
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        every = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # what is too much explains
        first = every[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise UnknownNameError("setting", name, kind.model_fields) from None
        if first["type"] == "missing":
            raise SemconError(f"the recipe names no {name}: expected {name} = ... or --{name}") from None
        raise SemconError(f"{name.replace('_', '-')}: {first['msg'].lower()}, got {first['input']!r}") from None


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The keys of a TOML recipe. Errors: `SemconError` for what cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SemconError(f"cannot read the recipe {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SemconError(f"{path} is no TOML file: {error}") from None


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` each, values as in TOML, else text. Errors: `SemconError` for what has no `=`."""
    found: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise SemconError(f"expected KEY=VALUE, got {text!r}")
        try:
            found[key.strip().replace("-", "_")] = tomllib.loads(f"value = {value.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip().replace("-", "_")] = value.strip()
    return found


def plain(recipe: BaseModel) -> dict[str, Any]:
    """A recipe as JSON; Python objects by what they call themselves."""
    return {name: _text(value) for name, value in recipe}


def _text(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_text(part) for part in cast("tuple[Any, ...]", value)]
    return value if isinstance(value, str | int | float | None) else str(getattr(value, "source", type(value).__name__))
