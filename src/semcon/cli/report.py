"""`semcon report`."""

from __future__ import annotations

import sys
from pathlib import Path

from semcon.cli import flags, output
from semcon.core.errors import SemconError


def report(
    *runs: Path,
    fail_if: flags.FailIf = None,
    fail_on: flags.FailOn = None,
    junit: flags.Junit = None,
    out: Path | None = None,
    json: flags.Json = False,
) -> int:
    """Report a run again, or several side by side as `semcon compare` does; needs neither torch nor the model.

    Parameters
    ----------
    runs: Path
        Run folders; with several, the first is what the others are compared with. A gate judges each.
    out: Path
        Folder to write report.html into; the run's own folder by default, report/ for several runs.
    """
    from semcon import gate
    from semcon.comparing.compare import side_by_side
    from semcon.rules import parse_rule
    from semcon.run_record import RunRecord

    if not runs:
        raise SemconError("give at least one run folder: semcon report RUN [RUN...]")
    rules = [parse_rule(text) for text in fail_if or []]
    gate.check_codes(fail_on or [])
    records = [RunRecord.load(run) for run in runs]
    if len(records) == 1:
        path = records[0].report(out)
        output.told(records[0], json=json)
    else:
        output.check_no_run(out or Path("report"))
        together = side_by_side(records)
        path = together.report(out or Path("report"))
        output.told(together, json=json)
    print(f"report: {path}", file=sys.stderr)
    return output.gated(records, rules, fail_on or [], junit)
