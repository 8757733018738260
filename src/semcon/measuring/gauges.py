"""What an audit looks at, chosen by the network; perturbations that change nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from semcon.core.concepts import Gauge, check_compatible
from semcon.core.errors import UnknownNameError
from semcon.core.registry import available, load
from semcon.keyed import Keys
from semcon.loading import Batch
from semcon.measuring.fitting import fitting
from semcon.measuring.plan import Trial
from semcon.subject import Subject


def choose_gauges(
    subject: Subject, layers: tuple[str, ...] | None, pairs: Sequence[tuple[str, str]] | None
) -> list[Gauge]:
    """Pixels (the control), stages of the network in order, penultimate features, centred logits, probabilities.

    `layers`: None chooses the stages. `pairs`: in place of the features', logits' and probabilities' usual distances.
    """
    known = set(subject.layer_names())
    chosen = tuple(subject.stages()) if layers is None else layers
    missing = [layer for layer in chosen if layer not in known]
    if missing:
        raise UnknownNameError("layer", missing[0], known)
    if pairs is None:
        features = [("penultimate", "l2"), ("penultimate", "cosine")] if subject.has_penultimate else []
        pairs = [*features, ("logits", "l2"), ("logits", "cosine"), ("probabilities", "jensen_shannon")]
    stages = [(layer, "l2") for layer in chosen]
    wanted = dict.fromkeys([("pixels", "l2"), *stages, *pairs, ("logits", "l2")])
    return [make_gauge(representation, distance, known) for representation, distance in wanted]


def make_gauge(name: str, distance_name: str, layers: set[str]) -> Gauge:
    """A gauge from names: a representation's file name, `penultimate`, or a layer of the network."""
    distance = load("distances", distance_name)()
    if name in available("representations") and name != "layer":
        representation = load("representations", name)()
    elif name == "penultimate" or name in layers:
        representation = load("representations", "layer")(name)
    else:
        raise UnknownNameError("representation", name, {*available("representations"), "penultimate", *layers})
    check_compatible(representation, distance)
    return Gauge(representation, distance_name, distance)


def inert(trial: Trial, batch: Batch, seed: int, device: torch.device) -> bool:
    """Whether the perturbation, at its highest severity, leaves these images as they are."""

    def unmoved(part: Batch) -> bool:
        x = part.x.to(device)
        unit = trial.perturbation.sample(Keys(part.ids, seed, 0, trial.name, device), x)
        return bool((trial.perturbation(x, unit, max(trial.severities), part.context(device)) - x).abs().max() < 1e-4)

    return all(fitting(batch, unmoved))
