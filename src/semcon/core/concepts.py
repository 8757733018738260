"""Perturb, look, compare: the abstract types that every open folder implements."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from semcon.core.errors import SemconError
from semcon.core.registry import file_name
from semcon.keyed import Keys

Unit = dict[str, Tensor]
"""A perturbation's parameters in unit scale, each (B, ...)."""


@dataclass(frozen=True)
class Context:
    """What some perturbations need besides the image: `mask` (B, 1, H, W) of the object, known `factors`."""

    mask: Tensor | None = None
    factors: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def of(self, rows: Tensor) -> Context:
        """That of some of the images, by index (M,)."""
        mask = None if self.mask is None else self.mask[rows]
        return Context(mask, {name: value[rows] for name, value in self.factors.items()})


class Perturbation(ABC):
    """A change of the canvas that carries no meaning. Subclasses are frozen dataclasses, one file each.

    The canvas is (B, 3, H, W) float in [0, 1]. Draw, then apply: `sample` draws parameters in unit scale from keys,
    `apply` scales them by a severity per sample. The parameter set says what a search may do:

    - "box": every unit parameter lies in [-1, 1] elementwise;
    - "ball": the one unit parameter has L2 norm at most 1 over all but the batch dimension;
    - "unbounded": random, without a bounded set (Gaussian noise); a search can only take the best of k draws;
    - "fixed": no parameters at all; every draw is the same.
    """

    family: ClassVar[
        Literal[
            "photometric", "noise", "blur_and_coding", "geometry", "weather", "occlusion", "frequency",
            "shape_and_texture", "additive_ball",
        ]
    ]  # fmt: skip
    unit: ClassVar[str]
    source: ClassVar[str]
    kind: ClassVar[Literal["continuous", "discrete", "binary"]] = "continuous"
    parameters: ClassVar[Literal["box", "ball", "unbounded", "fixed"]]
    ladder: ClassVar[tuple[float, ...]]
    maximum: ClassVar[float] = math.inf
    monotone: ClassVar[bool] = True  # mean pixel change never falls over the ladder
    image_gradient: ClassVar[bool] = True  # autograd reaches the image
    parameter_gradient: ClassVar[bool] = True  # autograd reaches the unit parameters
    moves_pixels: ClassVar[bool] = False  # maps aligned with the image move along
    default: ClassVar[bool] = True  # part of an audit that names no perturbations
    needs_mask: ClassVar[bool] = False  # where the object is, as `Context.mask`
    version: ClassVar[int] = 1

    @abstractmethod
    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """Unit parameters for a batch, on the device of `like` (B, C, H, W); an empty dict where fixed."""

    @abstractmethod
    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """The perturbed copy, clipped to [0, 1], same shape; pure. `severity`: (B,) >= 0, same dtype as x."""

    def carry(self, aligned: Tensor, unit: Unit, severity: Tensor) -> Tensor:
        """How a map (B, C, H, W) aligned with the image moves; unchanged unless pixels do."""
        return aligned

    def __call__(self, x: Tensor, unit: Unit, severity: Tensor | float, context: Context | None = None) -> Tensor:
        """`apply` with severity 0 exactly the identity. `severity`: a number or (B,).

        Always in the canvas's own precision: where a model runs under autocast, blur or JPEG would lose what is asked.
        """
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self(x, unit, severity, context)
        if not isinstance(severity, Tensor):
            some = bool(torch.tensor(severity, dtype=x.dtype, device="cpu") != 0)  # asked without waiting for a device
            severity = x.new_full((len(x),), severity)
            if some:
                return self.apply(x, unit, severity, context)
        return torch.where((severity == 0).view(-1, 1, 1, 1), x, self.apply(x, unit, severity, context))

    def check_severity(self, severity: float) -> float:
        """The severity as a float, or a `SemconError`: NaN, negative, above `maximum`, fractional where discrete."""
        name = file_name(type(self))
        if not math.isfinite(severity) or severity < 0 or severity > self.maximum:
            limit = "" if math.isinf(self.maximum) else f" and {self.maximum:g}"
            bound = f"between 0{limit}" if limit else "a finite number, at least 0"
            raise SemconError(f"severity of {name} must be {bound} ({self.unit}), got {severity:g}")
        if self.kind != "continuous" and severity != round(severity):
            raise SemconError(f"severity of {name} must be a whole number ({self.unit}), got {severity:g}")
        return float(severity)


def object_mask(context: Context | None, perturbation: Perturbation) -> Tensor:
    """(B, 1, H, W), 1 on the object. Errors: `SemconError` where the data set knows no masks."""
    if context is None or context.mask is None:
        raise SemconError(
            f"{file_name(type(perturbation))} needs to know where the object is, and there are no masks: expected a "
            "data set with `mask(index)`, such as builtin:shapes; or leave this perturbation out"
        )
    return context.mask


class Distance(ABC):
    """Two representations to one number per sample: 0 where equal, larger is farther. Never a similarity."""

    source: ClassVar[str]
    homogeneous: ClassVar[bool]  # distance(k a, k b) = k ** degree * distance(a, b): relative figures are scale-free
    wants: ClassVar[Literal["vector", "probabilities", "scores"]] = "vector"

    @abstractmethod
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,). Differentiable unless the docstring says otherwise, without NaN at equality."""

    @abstractmethod
    def pairwise(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, D), (R, D) -> (B, R): every row of a against every row of b."""


@dataclass
class View:
    """What one forward pass shows of a batch.

    `canvas`: (B, 3, H, W) in [0, 1]; `logits`: (B, K) as the model gives them; `layers`: outputs by name (B, ...),
    with the input of the last linear layer under "penultimate".
    """

    canvas: Tensor
    logits: Tensor
    layers: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


class Representation(ABC):
    """Anything that yields one tensor per sample from a view of the model. Subclasses are frozen dataclasses."""

    gives: ClassVar[Literal["vector", "probabilities", "scores"]] = "vector"

    @property
    @abstractmethod
    def name(self) -> str:
        """As in the tables: `logits`, `layer3.2`."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose outputs it reads."""
        return ()

    @abstractmethod
    def __call__(self, view: View) -> Tensor:
        """(B, ...); one tensor per sample."""


_SERVES = {
    "vector": ("vector",),
    "scores": ("vector", "scores"),
    "probabilities": ("vector", "scores", "probabilities"),
}


def check_compatible(representation: Representation, distance: Distance) -> None:
    """Errors: `SemconError` for a distance that means nothing on this representation, as Jensen-Shannon on logits."""
    if distance.wants not in _SERVES[representation.gives]:
        raise SemconError(
            f"the distance {file_name(type(distance))} wants {distance.wants}, and the representation "
            f"{representation.name} gives {representation.gives}: choose another pair, such as {representation.name}.l2"
        )


@dataclass(frozen=True)
class Gauge:
    """A representation read with a distance: one column family of the table, named `logits.l2`."""

    representation: Representation
    distance_name: str
    distance: Distance

    @property
    def name(self) -> str:
        """`REPRESENTATION.DISTANCE`."""
        return f"{self.representation.name}.{self.distance_name}"


class Learner(Protocol):
    """A network in training: canvas (B, 3, H, W) in [0, 1] to logits (B, K), or to a view with layers."""

    def __call__(self, x: Tensor) -> Tensor:
        """One forward pass."""
        ...

    def view(self, x: Tensor, layers: Sequence[str] = (), *, leaves: bool = False) -> View:
        """One forward pass, with the outputs of these layers; `leaves`: the autograd graph begins there."""
        ...


class Explained(Learner, Protocol):
    """A classifier whose layers can be asked for: what an explanation needs to settle on one."""

    def layer_names(self) -> list[str]:
        """Every layer that `view` can be asked for."""
        ...

    def spatial_layer(self) -> str | None:
        """The last layer that still knows where; None where there is none."""
        ...


class Explanation(ABC):
    """Where in the image the score of a class comes from: one map per image. Subclasses are frozen dataclasses.

    Where it `needs_gradient`, the map is differentiable with respect to x: give x with `requires_grad`.
    """

    source: ClassVar[str]
    needs_gradient: ClassVar[bool]
    stochastic: ClassVar[bool] = False
    signed: ClassVar[bool] = True  # negative where the image speaks against the class

    def settled(self, subject: Explained) -> Self:
        """For this classifier. Errors: `SemconError` where it has no layer to look at; `UnknownNameError`."""
        return self

    @property
    @abstractmethod
    def passes(self) -> float:
        """Forward passes per image, a backward pass counted as two."""

    @abstractmethod
    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """(B, 3, H, W) canvas, (B,) classes to explain -> (B, H, W) float; more where the class gains more."""


class Objective(nn.Module, ABC):
    """What is minimised: the weighted sum of the means of some terms, one number per sample each.

    `passes`: what a step costs per image, in forward passes of the network, a backward pass counted as two
    (cross-entropy: 3); the perturbations themselves are not counted.
    """

    source: ClassVar[str]

    @property
    @abstractmethod
    def passes(self) -> float:
        """Forward passes per image and step."""

    @abstractmethod
    def forward(self, model: Learner, x: Tensor, y: Tensor, keys: Keys) -> dict[str, Tensor]:
        """(B, 3, H, W) canvas, (B,) int64 labels, keys of sample and visit -> terms (B,) by name."""

    def weights(self) -> dict[str, float]:
        """What each term's mean is multiplied by; 1 where it is not named."""
        return {}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch: a number."""
        weights = self.weights()
        parts = [weights.get(name, 1.0) * values.mean() for name, values in terms.items()]
        return torch.stack(parts).sum()


@runtime_checkable
class Dataset(Protocol):
    """Images in a fixed order, read at random access; labels optional.

    `name`: for titles. `source`: as the user gave it. `classes`: names of the labels, or None where labels are plain
    output indices or missing. `image` gives (H, W, C) uint8 or float32 in [0, 1], C in {1, 3}.

    How text reaches a class in `datasets/`: with `builtin = True` by `builtin:NAME`, called with `limit` alone; with a
    class method `parse(text, *, limit)` by `NAME:TEXT`, where `form` tells users what to write.

    A data set that knows more of its images has `attributes(index)`, by name, for groups: `{"colour": "red"}`.
    A data set that knows where the object is has `mask(index)` too, (H, W) bool, for perturbations that need it.
    """

    name: str
    source: str
    classes: Sequence[str] | None

    def __len__(self) -> int: ...
    def label(self, index: int) -> int | None:
        """The class of image `index` (an index into `classes`, else an output index); None without labels."""
        ...

    def title(self, index: int) -> str:
        """What a person would call it: a file name, a row number."""
        ...

    def identity(self, index: int) -> int:
        """63-bit hash of the encoded bytes (arrays: of the pixels): `semcon.keyed.sample_id`."""
        ...

    def image(self, index: int) -> Any:
        """Decoded pixels, (H, W, C) numpy. Errors: `UnreadableImageError`."""
        ...
