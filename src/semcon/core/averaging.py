"""Several runs of one training as one record: what reports show of a side that has more than one seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from semcon.core.figures import RATES
from semcon.core.quantities import SIGNED
from semcon.core.record import Estimate, EvaluationRecord, Finding, ProfileRow, Record
from semcon.core.seeds import seed_reach, widened
from semcon.core.verdict import verdict

Entry = TypeVar("Entry", Estimate, ProfileRow)


def averaged_record(records: Sequence[Record], name: str) -> Record:
    """The mean over runs that were measured alike, as a record called `name`; pictures are the first run's.

    Intervals are over images and seeds: the mean of the runs' own intervals, which is never too short for the mean
    over runs, widened by the seeds' part. A figure that some run has not is null, with its reason.
    """
    estimates = _averaged([record.estimates for record in records])
    profile = _averaged([record.profile for record in records])
    findings = _findings(records)
    first = records[0]
    timings = [record.timing for record in records]
    timing = timings[0].model_copy(update={
        field: sum(getattr(one, field) for one in timings)
        for field in ("seconds", "estimated_seconds", "forward_images")
    } | {"images_per_second": sum(one.images_per_second for one in timings) / len(timings)})  # fmt: skip
    weights = [record.subject.weights for record in records]
    return first.model_copy(update={
        "subject": first.subject.model_copy(update={
            "name": name, "fingerprint": None, "weights": ", ".join(one for one in weights if one) or None,
        }),
        "settings": first.settings.model_copy(update={
            "command": "\n".join(record.settings.command for record in records),
        }),
        "environment": {
            key: value if all(record.environment.get(key) == value for record in records) else "various"
            for key, value in first.environment.items()
        },
        "estimates": estimates, "profile": profile, "findings": findings, "timing": timing,
        "evaluations": tuple(_averaged_evaluations(records)),
        "verdict": verdict(estimates, profile, [one.code for one in findings], primary=first.settings.primary)
        if profile else (),
    })  # fmt: skip


def _averaged_evaluations(records: Sequence[Record]) -> Iterator[EvaluationRecord]:
    """Those that all runs have; pictures of numbers are the first run's."""
    for one in records[0].evaluations:
        each = [next((other for other in record.evaluations if other.name == one.name), None) for record in records]
        known = [other for other in each if other is not None]
        if len(known) == len(records):
            yield one.model_copy(update={
                "estimates": _averaged([other.estimates for other in known]),
                "seconds": sum(other.seconds for other in known), "verdict": (),
            })  # fmt: skip


def _averaged(runs: Sequence[Sequence[Entry]]) -> tuple[Entry, ...]:
    """Entry by entry of the first run, those that all runs have."""
    others = [{_key(entry): entry for entry in run} for run in runs[1:]]
    return tuple(
        _mean([entry, *(other[_key(entry)] for other in others)])
        for entry in runs[0]
        if all(_key(entry) in other for other in others)
    )


def _key(entry: Estimate | ProfileRow) -> tuple[object, ...]:
    return (entry.family, entry.quantity) if isinstance(entry, ProfileRow) else entry.key


def _mean(entries: Sequence[Entry]) -> Entry:
    means = [entry.mean for entry in entries if entry.mean is not None]
    changes: dict[str, object] = {"samples": min(entry.samples for entry in entries)}
    known = len(means) == len(entries)
    low, high = _interval(entries, means) if known else (None, None)
    changes |= {"mean": sum(means) / len(means) if known else None, "low": low, "high": high}
    if isinstance(entries[0], Estimate):
        estimates = [entry for entry in entries if isinstance(entry, Estimate)]
        shares = [entry.censored for entry in estimates if entry.censored is not None]
        changes["censored"] = sum(shares) / len(entries) if len(shares) == len(entries) else None
        changes["reason"] = next((entry.reason for entry in estimates if entry.reason), None)
    return entries[0].model_copy(update=changes)


def _interval(entries: Sequence[Entry], means: Sequence[float]) -> tuple[float | None, float | None]:
    lows = [entry.low for entry in entries if entry.low is not None]
    highs = [entry.high for entry in entries if entry.high is not None]
    each = np.array(means)[:, None]
    ends = [sum(ends) / len(ends) if len(ends) == len(entries) else np.nan for ends in (lows, highs)]
    low, high = widened(each.mean(axis=0), np.array(ends[:1]), np.array(ends[1:]), seed_reach(np.zeros((1, 1)), each))
    if entries[0].quantity in RATES:
        high = np.minimum(high, 1)
    if entries[0].quantity not in SIGNED:
        low = np.maximum(low, 0)
    return (None if np.isnan(low[0]) else float(low[0])), (None if np.isnan(high[0]) else float(high[0]))


def _findings(records: Sequence[Record]) -> tuple[Finding, ...]:
    """Those of all runs, each with the name of its run in front; equal ones once."""
    found: dict[tuple[str, str], Finding] = {}
    for record in records:
        for finding in record.findings:
            shared = all(finding in other.findings for other in records)
            message = finding.message if shared else f"{record.subject.name}: {finding.message}"
            found.setdefault((finding.code, message), finding.model_copy(update={"message": message}))
    return tuple(found.values())
