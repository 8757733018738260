"""What an evaluation measures, before it does: what the rules of a gate may speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """`severities` of every perturbation, empty for a sequence of frames; names of `gauges`.

    `worst`, `critical`: whether there are worst cases, critical severities.
    """

    severities: Mapping[str, Sequence[float]]
    gauges: Sequence[str]
    worst: bool
    critical: bool
