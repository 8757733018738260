"""What an evaluation measures, before it does or after: what the rules of a gate may speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """`severities` of every perturbation; names of `gauges`.

    `worst`, `critical`: whether there are worst cases, critical severities. `sequences`: perturbations that move from
    frame to frame, with a severity of their own. `quantities`: those that are told under a perturbation where these are
    few. `groups` of images, `sex=f`, and the `attributes` whose gaps are told.
    """

    severities: Mapping[str, Sequence[float]]
    gauges: Sequence[str]
    worst: bool
    critical: bool
    sequences: Sequence[str] = ()
    quantities: Sequence[str] | None = None
    groups: Sequence[str] = ()
    attributes: Sequence[str] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all perturbations."""
        return tuple(dict.fromkeys((*self.severities, *self.sequences)))

    def shared(self, other: Measured) -> Measured:
        """What two runs have of it."""
        return Measured(
            {name: ladder for name, ladder in self.severities.items() if name in other.severities},
            [gauge for gauge in self.gauges if gauge in other.gauges], self.worst and other.worst,
            self.critical and other.critical, [name for name in self.sequences if name in other.sequences],
            self.quantities, [group for group in self.groups if group in other.groups],
            [attribute for attribute in self.attributes if attribute in other.attributes],
        )  # fmt: skip
