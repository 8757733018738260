"""Paired differences between two sides: figures resampled together, decisions counted image by image.

All runs share the keyed resamples of the images, so a figure of one is subtracted from the same of another resample by
resample. Several runs of a side are averaged in every resample, and the interval is widened for their seeds
(`semcon.core.seeds`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from semcon.comparing.corruption_error import relative_errors
from semcon.comparing.recovered import recovered
from semcon.comparing.shared_draws import SharedDraws
from semcon.comparing.side_figures import SideFigures, averaged, paired_bounds
from semcon.comparing.sides import Side, gauges, output_names, perturbations
from semcon.core.difference import OVERALL, Difference
from semcon.core.figures import RATES, Figures, Key
from semcon.core.intervals import finite
from semcon.core.outcomes import Counts, Outcomes, changed, outcomes
from semcon.core.profile import in_profile, profile_of
from semcon.core.quantities import FLIP_PROBABILITY, OF_GROUPS
from semcon.core.seeds import seed_error, seed_p, seed_reach, widened
from semcon.core.significance import exact_sign_test, holm
from semcon.core.summary import Summary
from semcon.run_record import RunRecord

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
TESTS = {
    "mcnemar": "McNemar, exact",
    "sign": "exact sign test over images",
    "seeds": "the larger of the exact sign test over images and the t test over seeds and images",
}


@dataclass(frozen=True)
class Paired:
    """All differences of two sides. `profile`: of families; `overall`: over everything both measured."""

    figures: tuple[Difference, ...]
    profile: tuple[Difference, ...]
    overall: tuple[Difference, ...]


def paired(first: Side, second: Side, told: Set[Key] = frozenset()) -> Paired:
    """Every figure that all runs of both sides have, but the raw change, which has the scale of each representation,
    and those of `correct`, which are each side's own images.

    `told`: figures of the untouched images that another evaluation of the two has given already.
    """
    names = [name for name in perturbations(first.first) if name in perturbations(second.first)]
    families = {name: perturbations(first.first)[name].family for name in names}
    names += _of_sequences(first.first, second.first)
    looked = tuple(name for name in gauges(first.first) if name in gauges(second.first))
    primary = first.first.record.settings.primary
    one, two = ([_summary(run, looked) for run in side.runs] for side in (first, second))
    kept: list[list[Figures]] = [[] for _ in (*one, *two)]
    found: list[Difference] = []
    for name in (None, *names):
        figures = [_collected(run.under(name) if name else run.untouched()) for run in (*one, *two)]
        known = [part for part in figures if part is not None]
        known = [_recorded(part, first.first) for part in known]
        if name is None:
            known = [part.take([row for row, key in enumerate(part.keys) if key not in told])
                     for part in known]  # fmt: skip
        if len(known) < len(figures):
            continue
        for own, part in zip(kept, known, strict=True):
            own.append(part.take([row for row, key in enumerate(part.keys) if _kept(key, primary)]))
        if not known[0].keys:
            continue
        found += _differences(known[: len(one)], known[len(one) :], _bad(one, name), _bad(two, name))
    everywhere = dict.fromkeys(names, OVERALL)
    profile, overall = (
        _of_profile(kept[: len(one)], kept[len(one) :], groups, primary) for groups in (families, everywhere)
    )
    if first.first.evaluation == "group_gap":
        found += _of_groups(kept[: len(one)], kept[len(one) :], everywhere, primary)
    found += recovered(*([run.record.estimates for run in side.runs] for side in (first, second)))
    if first.first.evaluation == "corruption" and all(kept):
        runs = [Figures.concat(own) for own in kept]
        overall = (*relative_errors(runs[: len(one)], runs[len(one) :]), *overall)
    if first.first.evaluation == "transfer":
        draws = SharedDraws(one, two, "transfer")
        return Paired(*map(draws.over, (found, profile, overall)))
    return Paired(tuple(found), profile, overall)


def _of_sequences(first: RunRecord, second: RunRecord) -> list[str]:
    """What both tables have rows of though no severity of it was tried: sequences."""
    tried = {*perturbations(first), *perturbations(second)}
    return [one for one in first.samples.perturbations if one in second.samples.perturbations and one not in tried]


def _recorded(figures: Figures, run: RunRecord) -> Figures:
    """Those that the record of an evaluation tells; all of continuity's."""
    if run.evaluation == "continuity":
        return figures
    told = {estimate.key for estimate in run.record.estimates}
    return figures.take([row for row, key in enumerate(figures.keys) if tuple(key) in told])


def _kept(key: Key, primary: str) -> bool:
    """Whether a figure is wanted again: a cell of the profile, also of a group's, a sequence's flicker."""
    subset = key.subset if key.subset.startswith("group:") else "all"
    return in_profile(key, primary, subset) or (key.quantity == FLIP_PROBABILITY and key.subset == "all")


def adjusted(all_of_them: Sequence[Paired]) -> list[Paired]:
    """The same with `p_holm`: adjusted for every row tested in any of them."""
    p = [one.p for pair in all_of_them for one in pair.figures if one.p is not None]
    values = iter(holm(p))
    return [
        replace(pair, figures=tuple(
            one if one.p is None else replace(one, p_holm=next(values)) for one in pair.figures
        ))
        for pair in all_of_them
    ]  # fmt: skip


def _differences(
    first: Sequence[Figures], second: Sequence[Figures], before: Sequence[Outcomes], after: Sequence[Outcomes]
) -> Iterator[Difference]:
    """The figures that both sides have, subtracted. `before`, `after`: the decisions of each run."""
    one, two = averaged(first), averaged(second)
    places = {key: row for row, key in enumerate(two.mean.keys)}
    pairs = [(row, places[key]) for row, key in enumerate(one.mean.keys) if key in places and _can_be_subtracted(key)]
    pairs = [(a, b) for a, b in pairs if not np.isnan(one.mean.values[a]) and not np.isnan(two.mean.values[b])]
    if not pairs:
        return
    one, two = one.take([a for a, _ in pairs]), two.take([b for _, b in pairs])
    with np.errstate(invalid="ignore"):
        value = two.mean.values - one.mean.values
        value[np.isinf(value)] = np.nan
        low, high = paired_bounds(one, two)
        error, freedom = seed_error(one.each, two.each)
        reach = seed_reach(one.each, two.each)
        half = np.where(value > 0, value - low, high - value)
        several = max(len(first), len(second)) > 1
        if several:
            low, high = widened(value, low, high, reach)
    for row, key in enumerate(one.mean.keys):
        made = _difference(key, (one, two), row, (value[row], low[row], high[row], reach[row]))
        if all(key in run for run in (*before, *after)):
            made = _tested(made, [run[key] for run in before], [run[key] for run in after])
            if several and made.p is not None:
                over_seeds = seed_p(value[[row]], half[[row]], error[[row]], freedom[[row]])
                made = replace(made, p=max(made.p, float(over_seeds[0])), test=TESTS["seeds"])
        yield made


def _difference(
    key: Key, sides: tuple[SideFigures, SideFigures], row: int, numbers: tuple[float, float, float, float]
) -> Difference:
    one, two = sides
    value, low, high, reach = numbers
    if key.quantity in RATES:
        low, high = np.fmax(low, -1.0), np.fmin(high, 1.0)
    ends = [side.mean.beyond[row] if np.isinf(side.mean.values[row]) else np.nan for side in sides]
    known = [int(side.mean.samples[row]) for side in sides]
    reason = None
    if not np.isfinite(value):
        whose = " and ".join(name for name, end in zip(("first", "second"), ends, strict=True) if np.isfinite(end))
        reason = f"the median of the {whose} lies beyond the ladder: more than half of its images have none on it"
    elif known[0] != known[1]:
        reason = (
            f"known of {known[0]} images on the first side and of {known[1]} on the second, so not of the same ones"
        )
    return Difference(
        *key, first=finite(one.mean.values[row]), second=finite(two.mean.values[row]), difference=finite(value),
        low=finite(low), high=finite(high), samples=min(known),
        seeds=(len(one.each), len(two.each)), seed_reach=finite(reach) or 0.0,
        beyond=(finite(ends[0]), finite(ends[1])), reason=reason,
    )  # fmt: skip


def _tested(one: Difference, before: Sequence[Counts], after: Sequence[Counts]) -> Difference:
    harmful, beneficial = changed([run.bad for run in before], [run.bad for run in after])
    test = TESTS["mcnemar" if all(run.single for run in (*before, *after)) else "sign"]
    return replace(one, harmful=harmful, beneficial=beneficial, p=exact_sign_test(harmful, beneficial), test=test)


def _of_profile(
    first: Sequence[Sequence[Figures]], second: Sequence[Sequence[Figures]], groups: dict[str, str], primary: str,
    subset: str = "all",
) -> tuple[Difference, ...]:  # fmt: skip
    """The profile's figures; `perturbation` is the family."""
    sides = [[profile_of(run, groups, primary, subset) for run in side] for side in (first, second)]
    one, two = ([figures for figures in side if figures is not None] for side in sides)
    if len(one) < len(first) or len(two) < len(second):
        return ()
    return tuple(_differences(one, two, [{}], [{}]))


def _of_groups(
    first: Sequence[Sequence[Figures]], second: Sequence[Sequence[Figures]], everywhere: dict[str, str], primary: str
) -> Iterator[Difference]:
    """Flips and relative change of every group over all perturbations, as the record of one run tells them."""
    keys = [key for run in (*first, *second) for figures in run for key in figures.keys]
    for subset in dict.fromkeys(key.subset for key in keys if key.subset.startswith("group:")):
        for one in _of_profile(first, second, everywhere, primary, subset):
            if one.quantity in OF_GROUPS and one.quantity != "accuracy":
                yield replace(one, perturbation=None, statistic="mean")


def _bad(runs: Sequence[Summary], name: str | None) -> list[Outcomes]:
    return [outcomes(run, name) for run in runs]


def _summary(run: RunRecord, only: tuple[str, ...]) -> Summary:
    settings = run.record.settings
    return Summary(run.samples, settings.seed, settings.primary, output_names(run.record), only=only)


def _can_be_subtracted(key: Key) -> bool:
    return (key.quantity != "change" or key.representation == "pixels") and key.subset != "correct"


def _collected(figures: Iterable[Figures]) -> Figures | None:
    parts = list(figures)
    return Figures.concat(parts) if parts else None
