"""`semcon compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from semcon.cli import flags, output


def compare(
    *sides: str,
    fail_if: Annotated[
        list[str] | None,
        flags.repeated(
            "As in `semcon audit`, on each difference from the first side, as 'gaussian_noise:0.05 flip > 0' or "
            "'accuracy < -0.01'; a family's name stands for its row of the profile."
        ),
    ] = None,
    junit: flags.Junit = None,
    out: Path = Path("comparison"),
    json: flags.Json = False,
) -> int:
    """Hold runs against the first: paired differences, exact tests, what was mended, what it cost. No torch, no model.

    Parameters
    ----------
    sides: str
        Run folders; several training seeds of one side joined by commas, as base1,base2,base3 new1,new2,new3.
    out: Path
        Folder to write report.html into.
    """
    from semcon.comparing import gate
    from semcon.comparing.compare import side_by_side

    output.check_no_run(out)
    rules = [gate.parse(text) for text in fail_if or []]
    together = side_by_side(sides)
    results = gate.judge(together, rules)
    path = together.report(out)
    output.told(together, json=json)
    print(f"report: {path}", file=sys.stderr)
    return output.concluded(results, junit) if rules or junit is not None else 0
