"""The entry point of `semcon`.

Exit codes: 0 done, 1 a gate failed or a wish was missed, 2 wrong use or a fault, 3 not enough evidence; 130 stopped by
Ctrl-C, 141 where nobody reads standard output. `SEMCON_TRACEBACK=1` shows the traceback of every error.
"""

from __future__ import annotations

import os
import sys
import traceback

from cyclopts import App, CycloptsError

from semcon import __version__
from semcon.cli import output
from semcon.cli.audit import audit
from semcon.cli.compare import compare
from semcon.cli.demo import demo
from semcon.cli.list import list_
from semcon.cli.repair import repair
from semcon.cli.report import report
from semcon.cli.train import train
from semcon.core.errors import SemconError

app = App(
    name="semcon",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help="Measure how semantically continuous an image classifier is, and see where it breaks.",
)
for command in (audit, report, compare, train, repair, demo):
    app.command(command)
app.command(list_, name="list")


def main() -> None:
    """The entry point: every error is one sentence, and exit code 1 is left to gates."""
    try:
        code = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
        with output.data():
            pass
    except BaseException as error:
        if os.environ.get("SEMCON_TRACEBACK"):
            traceback.print_exc()
        _leave_stdout()
        if _nobody_reads(error):
            sys.exit(141)  # as a shell says of a program that SIGPIPE ended
        print(f"semcon: {_sentence(error)}", file=sys.stderr)
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 2)
    sys.exit(code or 0)


def _leave_stdout() -> None:
    """What cannot be written goes nowhere, or Python would fail on it once more at its end."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nobody_reads(error: BaseException) -> bool:
    """Whether standard output is a pipe that was closed, as by `head`; rich makes a SystemExit of it."""
    return isinstance(error, BrokenPipeError) or (
        isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)
    )


def _sentence(error: BaseException) -> str:
    """What a person is told of an error."""
    if isinstance(error, SemconError | CycloptsError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped; the same command with --resume goes on"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return (
        f"unexpected {type(error).__name__}: {' '.join(str(error).split())}. This is a fault of semcon, or of the "
        "model's or the data's own code: SEMCON_TRACEBACK=1 shows where; please report it with that traceback"
    )


if __name__ == "__main__":
    main()
