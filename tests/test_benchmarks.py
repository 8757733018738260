"""Whatever lies in benchmarks/results is whole: plain JSON, where it ran, medians that follow from what is beside."""

from __future__ import annotations

import ast
import importlib
import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from semcon.core.registry import available

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    """Strictly: NaN and infinity are no JSON."""
    return json.loads(path.read_text("utf-8"), parse_constant=lambda text: pytest.fail(f"{text} in {path.name}"))


def holding(key: str) -> list[Any]:
    """The results that hold a key, one test each. Each kind has been measured, so one that is gone is a failure."""
    found = [pytest.param(read(path), id=path.stem) for path in RESULTS if key in read(path)]
    assert found, f"no file of benchmarks/results holds {key}"
    return found


def test_the_script_runs_every_speed_benchmark() -> None:
    """Oracle: the programs in the folder that say where they ran."""
    programs = {path.stem for path in BENCHMARKS.glob("*.py") if "import environment" in path.read_text("utf-8")}
    (listed,) = re.findall(
        r"^for benchmark in (.*); do$", (ROOT / "scripts" / "bench").read_text("utf-8"), re.MULTILINE
    )
    assert set(listed.split()) == programs
    for name in programs:
        assert {"--repeats", "--device"} <= set(
            re.findall(r'"(--\w+)"', (BENCHMARKS / f"{name}.py").read_text("utf-8"))
        )


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_result_says_what_it_is_and_where_it_ran(path: Path) -> None:
    plain = read(path)
    assert plain.get("what") or plain.get("question")
    ran = plain.get("environment") or plain["versions"] | {"hardware": plain["hardware"]["cpu"]}
    assert {"python", "torch", "hardware"} <= set(ran)
    assert all(ran.values())
    assert (plain.get("environment") or {"threads": plain["hardware"].get("torch_threads")})["threads"] >= 1


@pytest.mark.parametrize("plain", holding("ratio"))
def test_ratios_are_medians_of_their_repeats(plain: dict[str, Any]) -> None:
    """Oracle: the standard library."""
    assert {name.partition(":")[0] for name in plain["ratio"]} == {"ResNet-20, 32 px", "ResNet-18, 224 px"}
    for found in plain["ratio"].values():
        assert len(found["ratios"]) >= 3
        assert found["ratio"] == pytest.approx(statistics.median(found["ratios"]))
        assert found["bare_images_per_second"] == pytest.approx(found["forward_images"] / found["bare_seconds"])


@pytest.mark.parametrize("plain", holding("memory"))
def test_memory_is_told_beyond_the_rows(plain: dict[str, Any]) -> None:
    few, many = plain["memory"]["audits"]
    assert (few["images"], many["images"]) == (10_000, 100_000)
    for found in (few, many):
        assert found["beyond_rows_mb"] == pytest.approx(found["peak_mb"] - found["rows_mb"])
    growth = many["beyond_rows_mb"] / few["beyond_rows_mb"] - 1
    assert plain["memory"]["growth_beyond_rows"] == pytest.approx(growth)


@pytest.mark.parametrize("plain", holding("results"))
def test_rates_are_those_of_perturbations_beside_other_libraries(plain: dict[str, Any]) -> None:
    """A rate is positive, or null where a library has no such operation; semcon's own are all there."""
    assert "medians" in plain["what"]
    for table in plain["results"].values():
        assert {"brightness", "gaussian_noise"} <= set(table) <= set(available("perturbations"))
        for rates in table.values():
            assert {"semcon", "torchvision", "kornia"} <= set(rates)
            assert rates["semcon"] > 0
            assert all(rate is None or rate > 0 for rate in rates.values())


@pytest.mark.parametrize("plain", holding("stated"))
def test_the_independent_check_agrees_with_what_is_stated(plain: dict[str, Any]) -> None:
    assert {row["model"] for row in plain["stated"]} == {"resnet20", "resnet4b"}
    assert all(row["agrees"] and abs(row["value"] - row["stated"]) < 0.01 for row in plain["stated"])


SCRIPTS = [
    path for folder in ("benchmarks", "studies", "docs", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_scripts_take_from_semcon_is_there(path: Path) -> None:
    """Nothing else runs all of them: a name that has moved would be found by the next reader alone."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "semcon":
            module = importlib.import_module(node.module or "")
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"
