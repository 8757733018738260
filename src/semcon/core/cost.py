"""What a run cost, as plain data: the network's size, the audit, and the training where the record knows it."""

from __future__ import annotations

from typing import Any

from semcon.core.record import Record


def cost_of(record: Record) -> dict[str, Any]:
    """The cost of one run, for `--json`."""
    training = record.subject.training
    return {
        "name": record.subject.name,
        "parameters": record.subject.parameters,
        "audit_seconds": record.timing.seconds,
        "audit_passes": record.timing.forward_images,
        "audit_hardware": record.environment.get("hardware"),
        "training": None if training is None else training.model_dump(mode="json"),
    }
