"""One figure of one side minus the same of another, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from semcon.core.figures import Key

OVERALL = "all"
LEVEL = 0.05  # of the adjusted tests


@dataclass(frozen=True)
class Difference:
    """`difference` = `second` - `first`, paired image by image, with its 95 % interval; what is unknown is None.

    `first`, `second`: None for a median beyond the ladder, whose end is then in `beyond`; the interval may have one
    end only. `seeds`: runs of either side; `seed_reach`: half of the interval that the seeds alone make.
    `harmful`, `beneficial`: images that got worse and better on the whole of their draws and seeds, where the figure
    counts decisions; `p`, by `test`, and `p_holm`, adjusted for all rows tested.
    In a profile `perturbation` is a family, over all of it `OVERALL`.
    """

    perturbation: str | None
    severity: float | None
    draws: str
    representation: str | None
    distance: str | None
    quantity: str
    subset: str
    statistic: str
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    samples: int
    harmful: int | None = None
    beneficial: int | None = None
    p: float | None = None
    p_holm: float | None = None
    test: str | None = None
    seeds: tuple[int, int] = (1, 1)
    seed_reach: float = 0.0
    beyond: tuple[float | None, float | None] = (None, None)
    reason: str | None = None

    @property
    def key(self) -> Key:
        """What the difference is about; unique in a comparison."""
        return Key(*(getattr(self, name) for name in Key._fields))

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves out 0, else 0."""
        if self.low is not None and self.low > 0:
            return 1
        return -1 if self.high is not None and self.high < 0 else 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        plain = asdict(self)
        return plain | {"seeds": list(self.seeds), "beyond": list(self.beyond)}
