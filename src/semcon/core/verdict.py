"""The verdict in three sentences: where the model is continuous, how often Figure 1 occurs, accuracy beside both.

It never ranks without accuracy: an output that says nothing does not move either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from semcon.core.record import Estimate, ProfileRow

_FAMILIES = {"photometric": "photometric changes", "additive_ball": "additive balls"}
_UNKNOWN = (
    "Without labels accuracy is unknown, so these figures must not rank models: an output that says nothing does not "
    "move either."
)


def verdict(
    estimates: Sequence[Estimate], profile: Sequence[ProfileRow], codes: Iterable[str], *, primary: str = "logits.l2"
) -> tuple[str, str, str]:
    """Three plain sentences. `codes`: of the findings; one that contains "chance" says the model is at chance."""
    accuracy = _find(estimates, "accuracy", perturbation=None)
    if accuracy is not None and any("chance" in code for code in codes):
        return _at_chance(accuracy)
    return _families(profile), _figure_1(estimates, primary), _control(estimates, accuracy)


def _at_chance(accuracy: Estimate) -> tuple[str, str, str]:
    return (
        f"This model is at chance (accuracy {_share(accuracy)}): its continuity figures mean nothing, because an "
        "output that says nothing does not move either.",
        "No family of perturbations is ranked and no situation of the paper's Figure 1 is counted for it.",
        "Look at the findings first: weights that were not loaded, a wrong normalisation and another order of the "
        "classes are the usual causes.",
    )


def _families(profile: Sequence[ProfileRow]) -> str:
    """Where the output moves least and most, in the paper's yardstick where labels allow it."""
    for quantity, yardstick in (
        ("within_class_change", "two different images of a class"),
        ("relative_change", "two different images"),
    ):
        rows = sorted((row for row in profile if row.quantity == quantity and row.mean is not None), key=_mean)
        if not rows:
            continue
        start = f"Measured against the distance between {yardstick}, the output moves"
        least, most = rows[0], rows[-1]
        if len(rows) == 1:
            return f"{start} {_times(most)} under {_family(most)}."
        if most.low is not None and least.high is not None and most.low <= least.high:
            return (
                f"{start} about equally under all families of perturbations: from {_times(least)} under "
                f"{_family(least)} to {_times(most)} under {_family(most)}."
            )
        return f"{start} least under {_family(least)}, {_times(least)}, and most under {_family(most)}, {_times(most)}."
    return "How far the output moves could not be measured against the distance between images."


def _figure_1(estimates: Sequence[Estimate], primary: str) -> str:
    """How often another image of the class is nearer than the copy, where that is commonest; without labels, flips."""
    found = [e for e in estimates if _plain(e, "discontinuity") and f"{e.representation}.{e.distance}" == primary]
    cells = [e for e in found if e.mean is not None]
    if not cells:
        return _flips(estimates)
    top = max(cells, key=_mean)
    if top.mean == 0:
        bound = "" if top.high is None else f" (at most {_percent(max(e.high or 0 for e in cells))})"
        return (
            "The situation of the paper's Figure 1, another image of the class nearer than an image's own copy, did "
            f"not occur under random draws{bound}."
        )
    twenty = _find(estimates, "any_nearer_20", perturbation=top.perturbation, severity=top.severity, gauge=primary)
    among = ""
    if twenty is not None and twenty.mean is not None:
        among = f"; among 20 of them at least one in {_share(twenty)} of cases"
    return (
        f"The situation of the paper's Figure 1 is commonest under {_where(top)}: there {_share(top)} of the other "
        f"images of a class lie nearer to an image than its own copy{among}."
    )


def _flips(estimates: Sequence[Estimate]) -> str:
    cells = [e for e in estimates if _plain(e, "flip") and e.mean is not None]
    if not cells:
        return "How often the prediction changes was not measured."
    top = max(cells, key=_mean)
    if top.mean == 0:
        start = f"The prediction never changed under random draws (at most {_percent(max(e.high or 0 for e in cells))})"
    else:
        start = f"The prediction changes most often under {_where(top)}, for {_share(top)} of the copies"
    return f"{start}; without labels it cannot be counted how many images of the same class are nearer than a copy."


def _control(estimates: Sequence[Estimate], accuracy: Estimate | None) -> str:
    """Accuracy, untouched and at its lowest."""
    if accuracy is None or accuracy.mean is None:
        return _UNKNOWN
    cells = [e for e in estimates if _plain(e, "accuracy") and e.mean is not None and e.perturbation is not None]
    lowest = min(cells, key=_mean, default=None)
    falls = "" if lowest is None else f" and {_share(lowest)} under {_where(lowest)}, its lowest"
    return f"Accuracy beside it: {_share(accuracy)} on untouched images{falls}; compare models only together with it."


def _plain(estimate: Estimate, quantity: str) -> bool:
    return estimate.quantity == quantity and estimate.subset == "all" and estimate.draws == "random"


def _find(
    estimates: Sequence[Estimate], quantity: str, *, perturbation: str | None, severity: float | None = None,
    gauge: str | None = None,
) -> Estimate | None:  # fmt: skip
    for e in estimates:
        same = _plain(e, quantity) and e.perturbation == perturbation and e.severity == severity
        if same and (gauge is None or f"{e.representation}.{e.distance}" == gauge):
            return e
    return None


def _mean(figure: Estimate | ProfileRow) -> float:
    return figure.mean or 0.0


def _where(estimate: Estimate) -> str:
    severity = "" if estimate.severity is None else f" at {estimate.severity:g}"
    return f"{_words(estimate.perturbation or '')}{severity}"


def _family(row: ProfileRow) -> str:
    return _FAMILIES.get(row.family, _words(row.family))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _times(row: ProfileRow) -> str:
    interval = "" if row.low is None or row.high is None else f" [{row.low:.2f}, {row.high:.2f}]"
    return f"{row.mean:.2f}{interval} of it"


def _share(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _percent(estimate.mean or 0.0)
    return f"{_percent(estimate.mean or 0.0)} [{_percent(estimate.low)}, {_percent(estimate.high)}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if 0 < share < 0.1 or 0.9 < share < 1 else f"{100 * share:.0f} %"
