"""Shared fixtures: one thread per worker, the shared real data where they exist."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import pairs
from semcon.core.record import (
    CanvasRecord,
    DataRecord,
    Estimate,
    Finding,
    GaugeInfo,
    PerturbationRecord,
    Record,
    SettingsRecord,
    SubjectRecord,
    TimingRecord,
)

torch.set_num_threads(1)
DATA = Path(os.environ.get("SEMCON_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images and networks; tests that ask for it are marked `data`."""
    return DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by name, what this machine lacks."""
    for item in items:
        if "data" in item.keywords and not DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason="the shared real data are not here (SEMCON_DATA)"))
        if "slow" in item.keywords and not os.environ.get("SEMCON_SLOW"):
            item.add_marker(pytest.mark.skip(reason="slow: SEMCON_SLOW=1 runs it"))


@pytest.fixture(scope="session")
def make_record() -> Callable[[list[Estimate]], Record]:
    """A small record around some estimates: one perturbation at two severities, two gauges, one finding."""

    def gauge(name: str) -> GaugeInfo:
        return GaugeInfo(
            name=f"{name}.l2", representation=name, distance="l2", dimension=10, projected=None, projection_error=None,
            homogeneous=True,
        )  # fmt: skip

    def build(estimates: list[Estimate]) -> Record:
        noise = PerturbationRecord(
            name="gaussian_noise", family="noise", unit="sigma", source="definition", kind="continuous",
            parameters="unbounded", version=1, severities=(0.05, 0.1), draws=1,
        )  # fmt: skip
        canvas = CanvasRecord(height=32, width=32, resize=None, interpolation="bicubic", crop="center")
        return Record(
            semcon="0.1.0", created="2026-01-01T00:00:00+00:00",
            subject=SubjectRecord(
                name="net", source="python:Net", weights=None, outputs=10, classes=None, parameters=1, mean=(0.0,),
                std=(1.0,), channels=3, differentiable=True, preprocessing="given", fingerprint="a", canvas=canvas,
            ),
            data=DataRecord(
                name="data", source="arrays", images=500, labelled=True, classes=None, class_of_output=None, skipped=(),
                fingerprint="f", median_size=(32, 32),
            ),
            settings=SettingsRecord(
                seed=0, draws=1, budget="fast", limit=500, gradient_norm=True, critical=True, worst=None,
                evaluation_version=1, primary="logits.l2", perturbations=(noise,), inert=(),
                gauges=(gauge("logits"), gauge("penultimate")), command="",
            ),
            environment={}, timing=TimingRecord(seconds=1, estimated_seconds=1, images_per_second=1, forward_images=1),
            estimates=tuple(estimates), profile=(), verdict=(), gallery=(),
            findings=(Finding(code="few-images", severity="warning", message="only 12", remedy="more"),),
        )  # fmt: skip

    return build


@pytest.fixture
def make(make_record, tmp_path):
    """`make(name, changes, ...)`: a run in its folder, as `pairs.build` takes it."""

    def build(name, *arguments, **options):
        return pairs.build(tmp_path, make_record([]), name, *arguments, **options)

    return build
