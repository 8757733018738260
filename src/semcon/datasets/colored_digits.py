"""Colored digits: digits whose colour goes with the label as often as one likes."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from semcon.core.concepts import Dataset
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.registry import available, load
from semcon.keyed import sample_id

Where = Literal["foreground", "background", "texture"]
RED, GREEN = (0.9, 0.15, 0.1), (0.1, 0.75, 0.15)
JITTER = 0.05  # standard deviation of a colour's channels
FLIPPED = 0.25  # labels that the two-class form turns round
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class ColoredDigits:
    """Every image of a base data set of digits gets a colour (a texture) that is its class's, another's, or none.

    Form "ten": every class has a mean colour, ten hues around the circle, with jitter; an image has its own class's
    with probability `correlation`, else that of another class. Form "two" (arXiv 1907.02893): the label is whether the
    digit is 5 or more, turned round for a quarter of the images; it is red or green as the label says but for a share
    `environments` of the images, one environment of several drawn for each. `grey`: a share that has no colour (no
    texture) at all. `where`: the colour is the digit's or that of the ground; "texture": stripes of a class's direction
    across the digit, without colour.

    `attributes(i)`: `bias` (aligned, conflicting or grey) and `colour`, of form "two" `environment` too. What an image
    gets depends on (seed, its pixels, its class among those of the base) alone. Errors: `SemconError` for form "two" of
    classes that are no digits.
    """

    builtin = True
    form = "colored_digits:[BASE][?correlation=.95&where=foreground&grey=0&seed=0 or ?form=two&environments=.1/.2&...]"

    def __init__(
        self, base: Dataset | None = None, *, correlation: float = 0.95, form: Literal["ten", "two"] = "ten",
        where: Where = "foreground", grey: float = 0.0, environments: Sequence[float] = (0.1, 0.2), seed: int = 0,
        limit: int | None = None,
    ) -> None:  # fmt: skip
        for name, value in {"correlation": correlation, "grey": grey}.items():
            if not 0 <= value <= 1:
                raise SemconError(f"{name} of colored_digits is a share from 0 to 1, got {value:g}")
        if seed < 0:
            raise SemconError(f"seed of colored_digits is a whole number from 0 on, got {seed}")
        if form not in ("ten", "two"):
            raise UnknownNameError("form of colored_digits", form, ("ten", "two"))
        if where not in ("foreground", "background", "texture"):
            raise UnknownNameError("place of the colour", where, ("foreground", "background", "texture"))
        if not environments or not all(0 <= share <= 1 for share in environments):
            raise SemconError(f"environments of colored_digits are shares from 0 to 1, got {environments}")
        self.base: Dataset = base if base is not None else load("datasets", "mnist5k")(limit=limit)
        self.correlation, self.two, self.where, self.grey = correlation, form == "two", where, grey
        self.environments, self.seed = tuple(environments), seed
        self._digits = _digits(self.base) if self.two else None
        self._length = min(len(self.base), limit or len(self.base))
        self.name = "colored_digits"
        told = (
            f"environments={'/'.join(f'{e:g}' for e in environments)}" if self.two else f"correlation={correlation:g}"
        )
        self.source = f"colored_digits:{self.base.source}?{told}&form={form}&where={where}&grey={grey:g}&seed={seed}"
        self.classes: Sequence[str] | None = ("0 to 4", "5 to 9") if self.two else self.base.classes
        self.severity_limits: Mapping[str, float] = getattr(self.base, "severity_limits", {})

    @classmethod
    def parse(cls, text: str, *, limit: int | None = None) -> ColoredDigits:
        """`[BASE][?OPTION=VALUE&...]`; BASE: mnist5k, parquet:FILE or folder:DIR. Errors: `SemconError`."""
        base, _, query = text.partition("?")
        options: dict[str, Any] = {
            key: value for key, _, value in (part.partition("=") for part in query.split("&") if part)
        }
        known = ("correlation", "form", "where", "grey", "environments", "seed")
        unknown = [key for key in options if key not in known]
        if unknown:
            raise UnknownNameError("option of colored_digits:", unknown[0], known)
        form = options.get("form", "ten")
        idle = {"ten": "environments", "two": "correlation"}.get(form)
        if idle in options:
            raise SemconError(f"{idle} is no option of colored_digits:?form={form}, which has its own: leave it out")
        try:
            for key in {"correlation", "grey"} & set(options):
                options[key] = float(options[key])
            if "environments" in options:
                options["environments"] = tuple(float(share) for share in options["environments"].split("/"))
            if "seed" in options:
                options["seed"] = int(options["seed"])
        except ValueError:
            raise SemconError(f"cannot read {query!r}: expected numbers, such as correlation=.95&grey=.3") from None
        return cls(_base(base), **options, limit=limit)

    def __len__(self) -> int:
        return self._length

    def label(self, index: int) -> int | None:
        """The digit; of form "two" whether it is 5 or more, a quarter of them turned round."""
        own = self._own(index)
        if not self.two:
            return own
        digit = own if self._digits is None else self._digits[own]
        return int(digit >= 5) ^ int(self._draws(index)[3] < FLIPPED)

    def title(self, index: int) -> str:
        """That of the digit."""
        return self.base.title(index)

    def identity(self, index: int) -> int:
        """Hash of the pixels."""
        return sample_id(self.image(index).tobytes())

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        grey, key = self._grey(index), self._key(index)
        if key is None:
            return (np.repeat(grey[..., None], 3, axis=2) * 255).round().astype(np.uint8)
        if self.where == "texture":
            return (np.repeat((grey * _stripes(key / self._kinds, grey.shape))[..., None], 3, 2) * 255).astype(np.uint8)
        colour = self._colour(index, key)
        ink = grey[..., None]
        picture = ink * colour if self.where == "foreground" else ink + (1 - ink) * colour * 0.7
        return (picture * 255).round().astype(np.uint8)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Where there is ink, (H, W)."""
        return self._grey(index) > 0.3

    def attributes(self, index: int) -> dict[str, str]:
        """`bias`, `colour`, and of form "two" `environment`."""
        key, label = self._key(index), self.label(index)
        bias = "grey" if key is None else "aligned" if key == label else "conflicting"
        found = {"bias": bias, "colour": "none" if key is None else str(key)}
        return found | ({"environment": f"{self.environments[self._environment(index)]:g}"} if self.two else {})

    @cached_property
    def _classes(self) -> Sequence[int]:
        """Those that colours belong to: all that the data name, else those that images have."""
        if self.two:
            return range(2)
        if self.base.classes is not None:
            return range(len(self.base.classes))
        return sorted({self._own(index) for index in range(len(self.base))})

    @cached_property
    def _kinds(self) -> int:
        """Colours around the circle: ten, where no more classes are known."""
        return len(self._classes) if self.two or self.base.classes is not None else max(10, self._classes[-1] + 1)

    def _draws(self, index: int) -> NDArray[np.float64]:
        """Uniform numbers of an image: grey or not, aligned or not, whose colour, turned round or not, environment."""
        return np.random.default_rng((self.seed, self.base.identity(index))).random(5)

    def _environment(self, index: int) -> int:
        return int(self._draws(index)[4] * len(self.environments))

    def _key(self, index: int) -> int | None:
        """Which class's colour an image has; None for grey."""
        u, label = self._draws(index), self.label(index)
        if u[0] < self.grey or label is None:
            return None
        apart = self.environments[self._environment(index)] if self.two else 1 - self.correlation
        if u[1] >= apart:
            return label
        others = len(self._classes) - 1
        return self._classes[(self._classes.index(label) + 1 + int(u[2] * others)) % (others + 1)]

    def _colour(self, index: int, key: int) -> NDArray[np.float64]:
        mean = (RED, GREEN)[key] if self.two else colorsys.hsv_to_rgb(key / self._kinds, 0.85, 0.95)
        noise = np.random.default_rng((self.seed, self.base.identity(index), 1)).normal(0, JITTER, 3)
        return np.clip(np.array(mean) + noise, 0, 1)

    def _own(self, index: int) -> int:
        """The class of the base."""
        label = self.base.label(index)
        if label is None:
            raise SemconError(
                f"colored_digits needs labels, and {self.base.title(index)} of {self.base.source} has none"
            )
        return label

    def _grey(self, index: int) -> NDArray[np.float64]:
        """(H, W) in [0, 1]."""
        image = np.asarray(self.base.image(index))
        return (image / 255 if image.dtype == np.uint8 else image).mean(axis=2)


def _base(text: str) -> Dataset | None:
    """Whole, so that an image's colour does not hang on how many others are looked at."""
    prefix, _, rest = text.removeprefix("builtin:").partition(":")
    if not text:
        return None
    if prefix not in available("datasets") or prefix == "colored_digits":
        raise UnknownNameError("base of colored_digits", prefix, ("mnist5k", "parquet", "folder"))
    kind = load("datasets", prefix)
    return kind.parse(rest) if rest else kind()


def _digits(base: Dataset) -> list[int] | None:
    """Which digit every class is, by its name, such as 7, "7 - seven" or seven; None for classes without names.

    Errors: `SemconError` where a class is no digit.
    """
    if base.classes is None:
        return None
    found: list[int] = []
    for name in base.classes:
        first = name.lower().partition(" ")[0]
        if first not in WORDS and not (len(first) == 1 and first.isdecimal()):
            raise SemconError(f"form=two of colored_digits needs digits, and {base.source} has the class {name!r}")
        found.append(WORDS.index(first) if first in WORDS else int(first))
    return found


def _stripes(turn: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(H, W) from 0.25 to 1, five waves across, at `turn` of half a circle."""
    down, across = (np.arange(side) / side for side in shape)
    along = across * np.cos(np.pi * turn) + down[:, None] * np.sin(np.pi * turn)
    return 0.25 + 0.75 * (np.sin(2 * np.pi * 5 * along) > 0)
