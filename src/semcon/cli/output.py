"""What commands write: data on stdout, verdicts on stderr, exit codes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcon.core.errors import SemconError

if TYPE_CHECKING:
    from semcon.comparing.compare import SideBySide
    from semcon.gate import RuleResult
    from semcon.rules import Rule
    from semcon.run_record import RunRecord


@contextmanager
def data() -> Iterator[None]:
    """Where standard output is written. Errors: `SemconError` where it cannot be, as on a full disk."""
    try:
        yield
        print(end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SemconError(f"cannot write to standard output: {error.strerror or error}") from error


def print_json(plain: dict[str, Any]) -> None:
    """One line of JSON."""
    print(dumps(plain, allow_nan=False, ensure_ascii=False))


def check_no_run(folder: Path) -> None:
    """Errors: `SemconError` for a run folder, whose own report a comparison must not overwrite."""
    for name in ("record.json", "training.json"):
        if (folder / name).exists():
            raise SemconError(f"{folder} is a run folder (it holds {name}), and its own report stays: another --out")


def told(record: RunRecord | SideBySide, *, json: bool) -> None:
    """The table, or JSON."""
    with data():
        print_json(record.to_json()) if json else record.show()


def gated(records: Sequence[RunRecord], rules: Sequence[Rule], codes: Sequence[str], junit: Path | None) -> int:
    """Judge the runs. Returns the exit code."""
    from semcon import gate
    from semcon.report.reading import readings

    if not rules and not codes and junit is None:
        return 0
    labelled = zip(readings([(run.record, run.folder) for run in records]), records, strict=True)
    results = [result for one, run in labelled for result in gate.judge(run.record, rules, codes, run=one.label)]
    return concluded(results, junit)


def concluded(results: Sequence[RuleResult], junit: Path | None) -> int:
    """Tell each verdict on stderr, write JUnit XML where wanted. Returns the exit code."""
    from semcon.gate import exit_code
    from semcon.junit import write_junit

    for result in results:
        print(f"gate: {result.sentence}", file=sys.stderr)
    if junit is not None:
        write_junit(junit, results)
    return exit_code(results)


def command_line() -> str:
    """The command line as it was typed, paths of this machine shortened to their last two parts."""
    return shlex.join(["semcon", *sys.argv[1:]])
