"""The semantic continuity constraint: Loss + alpha DS(x, P(x)), one differentiable penalty per sample.

    constraint = ContinuityConstraint("gaussian_noise", severity=0.2)
    loss = cross_entropy(logits, y) + 4 * constraint(model, x, logits).mean()

The same triple as the audit, with gradients on: what is trained is what is measured. Source: arXiv 2011.09789.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from semcon.attribution import last_linear
from semcon.core.concepts import Distance, Representation, View, check_compatible
from semcon.core.errors import SemconError
from semcon.core.registry import available, load
from semcon.gathering import everywhere, gathered, rank
from semcon.keyed import Keys
from semcon.neighbourhood import Named, Neighbourhood
from semcon.search import SearchSettings
from semcon.viewing import Viewer, to_logits

MOMENTUM = 0.99  # of the running mean of the divisor
Model = Callable[[Tensor], Any]
Look = tuple[Representation, Distance]


@dataclass(frozen=True)
class Options:
    """How the copies are made and how their change is counted.

    `severities`: "uniform" draws each sample's severity up to the limit, so that mild changes are held small too;
    "fixed" takes the limit. `combine`: with several perturbations "one" of them per sample, so that the cost stays, or
    the "chain" of all. `worst_of`: the largest change of so many draws, for the tails that a single draw misses.
    `ascent_steps`: gradient search over the parameters instead; best of as many draws where there is no bounded set.
    `relative`: divided by the mean distance between different samples of the batch, so that shrinking the
    representation gains nothing; None: yes, unless `stop_gradient`. `stop_gradient`: the clean side is a fixed target;
    the relative form then loses its property and is used only when asked for. `share`: of the batch that pays for a
    copy; the others' penalty is 0 and that of the chosen is scaled, so that the mean keeps its meaning. `floor`: the
    divisor is never below this share of its running mean, so that a collapsing batch cannot blow the penalty up.
    `ramp`: steps over which the penalty grows from 0 to its full weight, so that early features are not held still.
    """

    severities: Literal["uniform", "fixed"] = "uniform"
    combine: Literal["one", "chain"] = "one"
    worst_of: int = 1
    ascent_steps: int = 0
    relative: bool | None = None
    stop_gradient: bool = False
    share: float = 1.0
    floor: float = 0.1
    ramp: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SemconError(f"share is a part of the batch, above 0 and at most 1: got {self.share:g}")
        if self.worst_of < 1 or self.ascent_steps < 0 or self.ramp < 0:
            raise SemconError("worst_of must be at least 1, ascent_steps and ramp at least 0")
        if self.worst_of > 1 and self.ascent_steps:
            raise SemconError("worst_of and ascent_steps are two searches for the same: give one of them")
        if not 0 <= self.floor < 1:
            raise SemconError(f"floor is a share of the running mean, at least 0 and below 1: got {self.floor:g}")

    @property
    def is_relative(self) -> bool:
        """Whether the change is divided by the batch's own mean distance."""
        return not self.stop_gradient if self.relative is None else self.relative

    @property
    def search(self) -> SearchSettings | None:
        """How the copies are searched; None where they are drawn."""
        if self.worst_of == 1 and not self.ascent_steps:
            return None
        return SearchSettings(self.ascent_steps, restarts=1, best_of=max(self.worst_of, self.ascent_steps))


@dataclass(frozen=True)
class Copies:
    """Perturbed samples: `x` (M, 3, H, W), `rows` (M,) of the batch, `weight` that keeps the mean's meaning."""

    x: Tensor
    rows: Tensor
    weight: float


class ContinuityConstraint(nn.Module):
    """How far a model's representation moves under perturbations of its input, per sample, to be minimised.

    `perturbation`: a name, a `Perturbation`, several, or a `Neighbourhood`. `severity`: the limit, or one each; None
    takes the fourth rung of the default ladder. `representation`: `logits` (centred), `probabilities`, `penultimate`, a
    layer's name, or several, whose penalties are averaged. `distance`: a name, or one each. Draws are keyed by `seed`,
    the module's own count of steps (in its `state_dict`) and the sample's place in the global batch; or by `keys`.
    """

    step: Tensor
    floored: Tensor
    scales: Tensor

    def __init__(
        self, perturbation: Named | Sequence[Named] | Neighbourhood, distance: str | Sequence[str] = "l2",
        representation: str | Sequence[str] = "logits", severity: float | Sequence[float] | None = None,
        *, options: Options | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.options, self.seed = options or Options(), seed
        if isinstance(perturbation, Neighbourhood):
            self.neighbourhood = perturbation
        else:
            self.neighbourhood = Neighbourhood.of(
                perturbation, severity, severities=self.options.severities, chain=self.options.combine == "chain"
            )
        self.looks = _looks(representation, distance)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("floored", torch.zeros((), dtype=torch.int64))
        self.register_buffer("scales", torch.zeros(len(self.looks)))
        self._viewer: tuple[object, Viewer] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that a view must hold."""
        return tuple(dict.fromkeys(layer for representation, _ in self.looks for layer in representation.layers))

    @property
    def floored_share(self) -> float:
        """The share of steps at which a divisor was at its floor."""
        return float(self.floored) / max(1, int(self.step))

    def forward(self, model: Model, x: Tensor, clean: Tensor | View, keys: Keys | None = None) -> Tensor:
        """One penalty per sample, (B,); counts a step. The copies take a forward pass of their own.

        `model`: canvas to logits, or anything with `.view(x, layers)`. `x`: (B, 3, H, W) in [0, 1], before any
        normalisation. `clean`: what the model gave for x, logits (B, K) or a `View` that holds `layers`.
        """
        view = clean if isinstance(clean, View) else View(x, to_logits(clean, len(x)))
        missing = [layer for layer in self.layers if layer not in view.layers]
        if missing:
            raise SemconError(f"the clean side lacks layer {missing[0]!r}: give constraint.view(model, x), not logits")
        copies = self.copies(model, x, keys)
        return self.penalty(view, self.view(model, copies.x), copies)

    def together(self, model: Model, x: Tensor, keys: Keys | None = None) -> tuple[View, Tensor]:
        """The clean view and the penalty (B,) from one joint forward pass of images and copies; counts a step.

        Batch norm then normalises both with the same statistics (docs/training.md says what that is worth).
        """
        copies = self.copies(model, x, keys)
        clean, copy = self.views(model, x, copies)
        return clean, self.penalty(clean, copy, copies)

    def views(self, model: Model, x: Tensor, copies: Copies) -> tuple[View, View]:
        """What the model shows of the images (B) and of their copies (M), in one joint pass."""
        return split_view(self.view(model, torch.cat([x, copies.x])), len(x))

    def view(self, model: Model, x: Tensor) -> View:
        """One forward pass with the layers that the constraint looks at."""
        own: Any = getattr(model, "view", None)
        if callable(own):
            seen: Any = own(x, self.layers)
            return seen
        return self._viewer_of(model, x).view(x, lambda images: to_logits(model(images), len(images)), self.layers)

    @torch.no_grad()
    def copies(self, model: Model, x: Tensor, keys: Keys | None = None) -> Copies:
        """The perturbed samples of this step, without gradient; searched in evaluation mode where options say so."""
        if self.step.device != x.device:
            self.to(x.device)  # the counters only: a loop of one's own need not think of it
        keys = self._own_keys(x) if keys is None else keys.within("constraint")
        self.step += 1
        rows, weight = self._chosen(keys)
        part, mine, search = x[rows], keys.of(rows), self.options.search
        if search is None:
            return Copies(self.neighbourhood.draw(part, mine), rows, weight)
        with evaluating(model):
            targets = self._vectors(self.view(model, part))

            def farness(members: Tensor, copy: Tensor) -> Tensor:
                pairs = zip(self.looks, targets, self._vectors(self.view(model, copy)), self._units(x), strict=True)
                return torch.stack([look[1](z[members], moved) / unit for look, z, moved, unit in pairs]).sum(0)

            return Copies(self.neighbourhood.worst(part, mine, farness, search), rows, weight)

    def penalty(self, clean: View, copy: View, copies: Copies) -> Tensor:
        """Penalties (B,) from two views: each row of `copies` against its own clean row, weighted; the others 0."""
        with torch.autocast(clean.canvas.device.type, enabled=False):
            before, after = self._vectors(clean), self._vectors(copy)
            total, floored = before[0].new_zeros(len(copies.rows)), []
            for number, ((_, distance), z, moved) in enumerate(zip(self.looks, before, after, strict=True)):
                kept = z.detach() if self.options.stop_gradient else z
                change = distance(kept[copies.rows], moved)
                if self.options.is_relative:
                    divisor, low = self._divisor(number, distance, z)
                    change = change / divisor
                    floored.append(low)
                total = total + change
            if floored:
                self.floored += torch.stack(floored).any().long()
            ramp = (self.step / self.options.ramp).clamp(max=1).to(total) if self.options.ramp else 1.0
            whole = total.new_zeros(len(clean.logits))
            return whole.index_put((copies.rows,), total * (copies.weight / len(self.looks)) * ramp)

    def _divisor(self, number: int, distance: Distance, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean distance between different samples of the global batch, with its gradient, and whether it is bounded."""
        every = everywhere(z)
        if len(every) < 2:
            raise SemconError(
                "the relative penalty is divided by the distance between different samples, and this batch has one: "
                "give at least 2 images, or Options(relative=False)"
            )
        pairs = distance.pairwise(every, every)
        mean = (pairs.sum() - pairs.diagonal().sum()) / (len(every) * (len(every) - 1))
        with torch.no_grad():
            scale = self.scales[number]
            moved = torch.where(scale > 0, MOMENTUM * scale + (1 - MOMENTUM) * mean, mean).to(scale)
            self.scales[number] = torch.where(moved.isfinite(), moved, scale)  # an overflow is no size
            floor = (self.options.floor * self.scales[number]).to(mean).clamp(min=torch.finfo(mean.dtype).tiny)
            floor = floor.where(self.scales[number] > 0, torch.inf)  # nothing differs yet: no change can be told
            low = mean < floor
        return torch.maximum(mean, floor), low

    def _vectors(self, view: View) -> list[Tensor]:
        """(B, D) per look, at least float32: half precision loses the small changes that are asked about."""
        flat = [representation(view).flatten(1) for representation, _ in self.looks]
        return [z.float() if z.dtype in (torch.float16, torch.bfloat16) else z for z in flat]

    def _units(self, like: Tensor) -> list[Tensor]:
        """What a search divides each look's change by, so that none drowns the others."""
        return [torch.where(scale > 0, scale, 1).to(like) for scale in self.scales]

    def _own_keys(self, x: Tensor) -> Keys:
        ids = torch.arange(len(x), device="cpu") + rank() * len(x)
        return Keys(ids, self.seed, int(self.step), "constraint", x.device)

    def _chosen(self, keys: Keys) -> tuple[Tensor, float]:
        """The rows that get a copy: those of smallest hash in the global batch, ceil(share B) of them."""
        everyone = torch.arange(len(keys.ids), device="cpu")
        if self.options.share == 1:
            return everyone, 1.0
        order = keys.here().within("share").bits("order").to(torch.int64)
        orders = gathered(order, keys.device)
        count = math.ceil(self.options.share * len(orders) - 1e-9)
        last = orders.sort().values[count - 1]
        return everyone[order <= last], len(orders) / int((orders <= last).sum())  # more than `count`: equal images

    def _viewer_of(self, model: Model, x: Tensor) -> Viewer:
        if self._viewer is None or self._viewer[0] is not model:
            module, last = (model if isinstance(model, nn.Module) else None), None
            if module is not None and {*self.layers} - {name for name, _ in module.named_modules()}:
                with evaluating(module):
                    last = last_linear(module, x[:2])
            self._viewer = (model, Viewer(module, last))
        return self._viewer[1]


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Within the block a module's batch norms and dropouts are as in evaluation and keep their statistics."""
    training = [m for m in model.modules() if m.training] if isinstance(model, nn.Module) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def split_view(view: View, count: int) -> tuple[View, View]:
    """The view of the first `count` images, and that of the others."""
    first = {name: value[:count] for name, value in view.layers.items()}
    rest = {name: value[count:] for name, value in view.layers.items()}
    return View(view.canvas[:count], view.logits[:count], first), View(view.canvas[count:], view.logits[count:], rest)


def _looks(representations: str | Sequence[str], distances: str | Sequence[str]) -> tuple[Look, ...]:
    names = [representations] if isinstance(representations, str) else list(representations)
    kinds = [distances] * len(names) if isinstance(distances, str) else list(distances)
    if len(kinds) != len(names) or not names:
        raise SemconError(f"expected one distance, or one for each of {len(names)} representations, got {len(kinds)}")
    looks: list[Look] = []
    for name, kind in zip(names, kinds, strict=True):
        own = name in available("representations") and name != "layer"
        representation = load("representations", name)() if own else load("representations", "layer")(name)
        distance = load("distances", kind)()
        check_compatible(representation, distance)
        looks.append((representation, distance))
    return tuple(looks)
