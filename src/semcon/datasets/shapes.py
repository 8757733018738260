"""Shapes: generated pictures whose object, colour, texture, position and background are known."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcon.core.errors import SemconError, UnknownNameError
from semcon.keyed import sample_id

KINDS = ("circle", "square", "triangle", "star", "cross")
TEXTURES = ("plain", "stripes", "checks", "dots", "noise")


@dataclass(frozen=True)
class _Recipe:
    """Everything about one picture: positions and sizes as shares of the side, colours as hue shares."""

    kind: int
    texture: int
    background: int
    hue: float
    ground_hue: float
    x: float
    y: float
    radius: float
    angle: float
    phase: float


class Shapes:
    """Textured shapes on textured backgrounds; picture i depends on (seed, i, size) alone.

    The class is the shape (circle, square, triangle, star, cross). `mask(i)`: (H, W) bool of the object. `factors(i)`:
    its colour, texture, position and background. `background`: how often the background's texture is that of the
    class (circles on plain ground, squares on stripes, ...) and not of another; None where it is drawn freely.
    `attributes(i)`: textures of object and background, and `bias` (aligned or conflicting) where there is one.
    """

    builtin = True
    form = "shapes:[n=2000&size=64&seed=0&background=.95]"

    def __init__(
        self, *, n: int = 2000, size: int = 64, seed: int = 0, background: float | None = None,
        limit: int | None = None,
    ) -> None:  # fmt: skip
        if background is not None and not 0 <= background <= 1:
            raise SemconError(f"background of shapes is a share from 0 to 1, got {background:g}")
        self.background = background
        told = "" if background is None else f", background={background:g}"
        self.name, self.source = "shapes", f"builtin:shapes(size={size}, seed={seed}{told})"
        self.classes = KINDS
        self.size, self.seed = size, seed
        self._length = min(n, limit or n)
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size
        self._x, self._y = np.meshgrid(axis, axis)
        self._latest: dict[int, tuple[int, int]] = {}  # by thread: its last picture and that one's id

    @classmethod
    def parse(cls, text: str, *, limit: int | None = None) -> Shapes:
        """`OPTION=VALUE&...`. Errors: `SemconError` for what is no option or no number."""
        options: dict[str, Any] = {
            key: value for key, _, value in (part.partition("=") for part in text.split("&") if part)
        }
        unknown = [key for key in options if key not in ("n", "size", "seed", "background")]
        if unknown:
            raise UnknownNameError("option of shapes:", unknown[0], ("n", "size", "seed", "background"))
        try:
            background = float(options.pop("background")) if "background" in options else None
            whole = {key: int(value) for key, value in options.items()}
        except ValueError:
            raise SemconError(f"cannot read {text!r}: expected numbers, such as size=32&background=.95") from None
        return cls(**whole, background=background, limit=limit)

    def __len__(self) -> int:
        return self._length

    def label(self, index: int) -> int | None:
        """The shape's kind."""
        return index % len(KINDS)

    def title(self, index: int) -> str:
        """`star 7`."""
        return f"{KINDS[index % len(KINDS)]} {index}"

    def identity(self, index: int) -> int:
        """Hash of the pixels; the picture that this thread has just drawn is not drawn again."""
        drawn, found = self._latest.get(get_ident(), (-1, 0))
        return found if drawn == index else sample_id(self.image(index).tobytes())

    def image(self, index: int) -> NDArray[np.uint8]:
        """(size, size, 3) uint8."""
        picture = self._drawn(index)
        self._latest[get_ident()] = index, sample_id(picture.tobytes())
        return picture

    def _drawn(self, index: int) -> NDArray[np.uint8]:
        recipe = self._recipe(index)
        generator = np.random.default_rng((self.seed, index, 1))
        inside = self._coverage(recipe)[..., None]
        ground = self._painted(recipe.background, recipe.ground_hue, recipe.phase, 0.45, 0.75, generator)
        object_ = self._painted(recipe.texture, recipe.hue, recipe.phase + 0.37, 0.85, 0.9, generator)
        return ((ground * (1 - inside) + object_ * inside) * 255).round().astype(np.uint8)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Where the object is, (size, size)."""
        return self._coverage(self._recipe(index)) > 0.5

    def factors(self, index: int) -> dict[str, Any]:
        """colour and background_colour (hue), texture, background, x, y, radius (shares of circle and side)."""
        recipe = self._recipe(index)
        return {
            "colour": recipe.hue, "background_colour": recipe.ground_hue, "texture": TEXTURES[recipe.texture],
            "background": TEXTURES[recipe.background], "x": recipe.x, "y": recipe.y, "radius": recipe.radius,
        }  # fmt: skip

    def attributes(self, index: int) -> dict[str, str]:
        """`texture`, `background`, and `bias` where the background goes with the class."""
        recipe = self._recipe(index)
        found = {"texture": TEXTURES[recipe.texture], "background": TEXTURES[recipe.background]}
        if self.background is None:
            return found
        return found | {"bias": "aligned" if recipe.background == recipe.kind else "conflicting"}

    def _recipe(self, index: int) -> _Recipe:
        generator = np.random.default_rng((self.seed, index))
        texture, background = generator.integers(0, len(TEXTURES), 2)
        hue = float(generator.random())
        apart = float(generator.uniform(0.2, 0.8))
        x, y = generator.uniform(0.35, 0.65, 2)
        if self.background is not None:
            own, other = np.random.default_rng((self.seed, index, 2)).random(2)
            step = 0 if own < self.background else 1 + int(other * (len(TEXTURES) - 1))
            background = (index + step) % len(TEXTURES)
        return _Recipe(
            index % len(KINDS), int(texture), int(background), hue, (hue + apart) % 1, float(x), float(y),
            float(generator.uniform(0.22, 0.33)), float(generator.uniform(-0.35, 0.35)), float(generator.random()),
        )  # fmt: skip

    def _coverage(self, recipe: _Recipe) -> NDArray[np.float32]:
        """How much of every pixel the object covers, edges softened over one pixel."""
        c, s = np.cos(recipe.angle), np.sin(recipe.angle)
        dx, dy = (self._x - recipe.x) / recipe.radius, (self._y - recipe.y) / recipe.radius
        u, v = c * dx + s * dy, c * dy - s * dx
        outside = _OUTLINES[recipe.kind](u, v) * recipe.radius * self.size
        return np.clip(0.5 - outside, 0, 1).astype(np.float32)

    def _painted(
        self, texture: int, hue: float, phase: float, saturation: float, value: float, generator: np.random.Generator
    ) -> NDArray[np.float32]:
        first = np.array(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32)
        second = np.array(colorsys.hsv_to_rgb((hue + 0.04) % 1, saturation, value * 0.62), dtype=np.float32)
        blend = self._pattern(texture, phase, generator)[..., None]
        return (first * (1 - blend) + second * blend).astype(np.float32)

    def _pattern(self, texture: int, phase: float, generator: np.random.Generator) -> NDArray[np.float32]:
        across, down = 2 * np.pi * (8 * self._x + phase), 2 * np.pi * (8 * self._y + phase)
        match TEXTURES[texture]:
            case "stripes":
                pattern = np.sin(across * np.cos(phase * 6) + down * np.sin(phase * 6)) > 0
            case "checks":
                pattern = np.sin(across) * np.sin(down) > 0
            case "dots":
                pattern = np.sin(across) + np.sin(down) > 1.1
            case "noise":
                pattern = generator.random((self.size, self.size), dtype=np.float32)
            case _:
                pattern = np.zeros_like(self._x)
        return pattern.astype(np.float32)


def _polygon(u: NDArray[np.float32], v: NDArray[np.float32], corners: int, start: float) -> NDArray[np.float32]:
    """Signed distance (about) to a regular polygon inscribed in the unit circle; negative inside."""
    angles = start + 2 * np.pi * (np.arange(corners) + 0.5) / corners
    apothem = np.cos(np.pi / corners)
    sides = [np.cos(angle) * u + np.sin(angle) * v - apothem for angle in angles]
    return np.max(sides, axis=0)


def _star(u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Five points, from the radius that a ray at this angle has to the outline."""
    sector = 2 * np.pi / 5
    angle = np.abs((np.arctan2(v, u) + np.pi / 2 + sector / 2) % sector - sector / 2)
    inner, half = 0.42, sector / 2
    outline = inner * np.sin(half) / (np.sin(half - angle) * inner + np.sin(angle))
    return np.hypot(u, v) - outline


def _cross(u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    first = np.maximum(np.abs(u) - 1, np.abs(v) - 0.34)
    return np.minimum(first, np.maximum(np.abs(v) - 1, np.abs(u) - 0.34))


_OUTLINES = (
    lambda u, v: np.hypot(u, v) - 1,
    lambda u, v: _polygon(u, v, 4, 0.0),
    lambda u, v: _polygon(u, v, 3, -np.pi / 2),
    _star,
    _cross,
)
