"""The first sentences of a comparison: what came out, in words that are true whatever the numbers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semcon.core.difference import LEVEL, Difference
from semcon.core.quantities import FOLLOWS, MEAN_CORRUPTION_ERROR, MEAN_FLIP_RATE
from semcon.report.numbers import counted, decimals, interval, number, plain, words
from semcon.report.reading import NO_WHOLE, property_name
from semcon.report.text import visible

_ATTACKS = ("pgd_linf", "square_linf", "pgd_l2")
_RATIOS = {MEAN_CORRUPTION_ERROR: "mean corruption error", MEAN_FLIP_RATE: "mean flip rate along sequences"}


def opening(
    labels: tuple[str, str], differences: Sequence[Difference], overall: Sequence[Difference], at_chance: Sequence[str]
) -> tuple[str, ...]:
    """Flips by perturbation, relative change overall, accuracy, and what the intervals are over.

    `labels`: of the first side and the second; `at_chance`: those that know no more than chance.
    """
    labels = visible(labels[0]), visible(labels[1])
    found = (
        _flips(labels, differences), _relative(overall), _accuracy(differences),
        *(f"{visible(name)} is at chance: its continuity means nothing, read the findings." for name in at_chance),
        _seeds(labels, differences),
    )  # fmt: skip
    return tuple(sentence for sentence in found if sentence)


def evaluation_opening(
    evaluation: str, differences: Sequence[Difference], overall: Sequence[Difference]
) -> tuple[str, ...]:
    """What came out in another evaluation than continuity: over all of it, and what belongs to no severity."""
    name = words(evaluation).capitalize()
    told: list[str] = []
    for one in overall:
        if one.quantity == "accuracy" and one.difference is not None and evaluation not in NO_WHOLE:
            told.append(f"{name}: accuracy over all of it changed by {_points(one)}.")
        elif one.quantity in _RATIOS:
            told.append(f"{name}: the {_RATIOS[one.quantity]} is {_ratio(one)}.")
    if evaluation == "smoothness":
        return tuple(f"{name}: {smoother}." for one in differences if (smoother := _smoother(one)))
    told += [
        f"{name}: accuracy of a linear probe changed by {_points(one)}."
        for one in differences
        if (evaluation, one.perturbation, one.quantity, one.subset) == ("transfer", "linear_probe", "accuracy", "all")
    ]
    told += [f"{name}: {one}." for one in (*_followed(differences), *_gaps(differences))]
    searched = _searched(differences)
    if searched is not None:
        told.append(
            f"{name}: accuracy under {words(searched.perturbation or '')} at {plain(searched.severity or 0)} "
            f"changed by {_points(searched)}."
        )
    return tuple(told)


def _ratio(one: Difference) -> str:
    """`0.8 [0.7, 0.9] of the first's`, and what is left out of it or not known."""
    if one.second is None:
        return f"not known: {one.reason}"
    low, high = (None if end is None else 1 + end for end in (one.low, one.high))
    told = " ".join(filter(None, (number(one.second), interval(low, high, one.second), "of the first's")))
    return f"{told} ({one.reason})" if one.reason else told


def _smoother(one: Difference) -> str:
    """The medians over images, in words; of balls the widest is told last."""
    title = {"input_curvature": "the loss's curvature", "lipschitz": "the Lipschitz constant"}.get(one.quantity)
    if title is None or one.subset != "all" or one.difference is None:
        return ""
    where = "" if one.severity is None else f" within {plain(one.severity)}/255"
    chance = "" if one.sign else "; chance could explain that"
    return f"{title}{where} went from {number(one.first)} to {number(one.second)} ({_signed(one, 1, '')}){chance}"


def _followed(differences: Sequence[Difference]) -> Iterator[str]:
    """Which properties predictions follow more or less than before, the largest difference first."""
    known = [one for one in differences if one.quantity == FOLLOWS and one.difference is not None]
    clear = sorted((one for one in known if one.sign), key=lambda one: -abs(one.difference or 0))
    for one in clear:
        what = property_name(one.perturbation or "")
        way = "more" if one.sign > 0 else "less"
        yield f"predictions follow the {what} of an image {way}: {_from_to(one)}"
    if known and not clear:
        yield "predictions are not shown to follow any property more or less"


def _gaps(differences: Sequence[Difference]) -> Iterator[str]:
    for one in differences:
        if one.quantity == "accuracy_gap" and one.difference is not None and one.subset.startswith("groups:"):
            chance = "" if one.sign else "; chance could explain that"
            by = words(one.subset.removeprefix("groups:"))
            yield f"the gap in accuracy between the best and the worst group by {by} went {_from_to(one)}{chance}"


def _from_to(one: Difference) -> str:
    """`from 0.6 to 0.4 (-0.2 [-0.3, -0.1])`."""
    return f"from {number(one.first)} to {number(one.second)} ({_signed(one, 1, '')})"


def _points(one: Difference) -> str:
    """`+1.0 points [+0.2, +1.8], from 0.6 to 0.61`."""
    chance = "" if one.sign else "; chance could explain that"
    return f"{_signed(one, 100, ' points')}, from {number(one.first)} to {number(one.second)}{chance}"


def _searched(differences: Sequence[Difference]) -> Difference | None:
    """Accuracy under the strongest attack that was made, at the size that leaves the first about half of the most."""
    found = [one for one in differences if one.quantity == "accuracy" and one.draws == "worst" and one.subset == "all"]
    attack = next((name for name in _ATTACKS if any(one.perturbation == name for one in found)), None)
    sizes = [one for one in found if one.perturbation == attack]
    half = max((one.first or 0 for one in sizes), default=0) / 2
    return min(sizes, key=lambda one: abs((one.first or 0) - half), default=None)


def _flips(labels: tuple[str, str], differences: Sequence[Difference]) -> str:
    """Under how many perturbations the second flips less, more, or neither is beyond chance."""
    first, second = labels
    signs: dict[str, set[int]] = {}
    for one in differences:
        if one.quantity == "flip" and one.draws == "random" and one.perturbation and one.p_holm is not None:
            clear = one.p_holm < LEVEL and one.difference is not None and one.difference != 0
            sign = (1 if (one.difference or 0) > 0 else -1) if clear else 0
            signs.setdefault(one.perturbation, set()).add(sign)
    if not signs:
        return "How often predictions flip was not compared."
    total = counted(len(signs), "perturbation")
    less = sum(-1 in found and 1 not in found for found in signs.values())
    more = sum(1 in found and -1 not in found for found in signs.values())
    both = sum({-1, 1} <= found for found in signs.values())
    level = f"(Holm-adjusted p < {LEVEL})"
    rest = len(signs) - less - more - both
    if rest == len(signs):
        under = "the perturbation" if rest == 1 else f"any of {total}"
        return f"{second} is not shown to flip more or less than {first} under {under} (Holm-adjusted p ≥ {LEVEL})."
    if less or not more:
        start = f"{second} flips less than {first} under {less} of {total} {level}, more under {more}"
    else:
        start = f"{second} flips more than {first} under {more} of {total} {level}, less under {less}"
    if both:
        start += f", and less at some severities but more at others under {both}"
    other = "the other" if rest == 1 else f"the other {rest}"
    return f"{start}; under {other} chance could explain the difference." if rest else f"{start}."


def _relative(overall: Sequence[Difference]) -> str:
    found = next((one for one in overall if one.quantity == "relative_change"), None)
    if found is None or found.difference is None:
        return ""
    values = f"from {number(found.first)} to {number(found.second)}"
    change = _signed(found, 1, "")
    start = "Over all perturbations and severities relative change"
    if found.sign:
        return f"{start} {'rose' if found.sign > 0 else 'fell'} {values} ({change})."
    return f"{start} is not known to differ: {values} ({change})."


def _accuracy(differences: Sequence[Difference]) -> str:
    found = next((one for one in differences if one.quantity == "accuracy" and one.perturbation is None
                  and one.subset == "all"), None)  # fmt: skip
    if found is None or found.difference is None:
        return (
            "Accuracy on the untouched images is not known for both, so these figures must not rank models: an output "
            "that says nothing does not move either."
        )
    told = f"Accuracy on the untouched images changed by {_signed(found, 100, ' points')}"
    values = f", from {number(found.first)} to {number(found.second)}"
    counts = ""
    if found.beneficial is not None and found.harmful is not None:
        counts = f"; {counted(found.beneficial, 'image')} better, {found.harmful} worse"
    clear = found.sign and (found.p_holm is None or found.p_holm < LEVEL)
    return f"{told}{values}{counts}{'' if clear else '; chance could explain that'}."


def _signed(one: Difference, scale: float, unit: str) -> str:
    """`-0.43 [-0.45, -0.41]`, in `scale`: 100 for points."""
    value, low, high = (None if v is None else scale * v for v in (one.difference, one.low, one.high))
    places = 1 if scale == 100 else decimals(value, low, high)
    text = f"{value:+.{places}f}{unit}"
    return text if low is None or high is None else f"{text} [{low:+.{places}f}, {high:+.{places}f}]"


def _seeds(labels: tuple[str, str], differences: Sequence[Difference]) -> str:
    seeds = next((one.seeds for one in differences), (1, 1))
    if seeds == (1, 1):
        return ""
    if seeds[0] == seeds[1]:
        return f"Intervals and tests are over images and over {seeds[0]} training seeds of each, paired in order."
    told = "Intervals and tests are over images and over training seeds"
    if 1 not in seeds:
        return f"{told}, {seeds[0]} of {labels[0]} and {seeds[1]} of {labels[1]}."
    place = seeds.index(1)
    return f"{told} of {labels[1 - place]}, {seeds[1 - place]}; {labels[place]} is one network, taken as it is."
