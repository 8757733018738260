"""Verdicts of a gate as JUnit XML."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from semcon.core.errors import SemconError
from semcon.gate import RuleResult


def write_junit(path: Path, results: Sequence[RuleResult]) -> None:
    """The results as JUnit XML, one test case each; undecided ones are errors. Errors: `SemconError` if unwritable."""
    count = {state: sum(result.state == state for result in results) for state in ("failed", "undecided")}
    suite = ElementTree.Element(
        "testsuite",
        name="semcon",
        tests=str(len(results)),
        failures=str(count["failed"]),
        errors=str(count["undecided"]),
    )
    for result in results:
        case = ElementTree.SubElement(suite, "testcase", classname=result.run, name=result.name)
        if result.state != "passed":
            tag = "failure" if result.state == "failed" else "error"
            ElementTree.SubElement(case, tag, message=result.sentence).text = result.sentence
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        ElementTree.ElementTree(suites).write(temporary, encoding="utf-8", xml_declaration=True)
        os.replace(temporary, path)
    except OSError as error:
        raise SemconError(f"cannot write {path}: {error.strerror or error}") from None
