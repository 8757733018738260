"""`semcon demo`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path


def demo(*, out: Path | None = None) -> int:
    """Train a standard and a continuous network on embedded digits, audit both, compare; about two minutes.

    Parameters
    ----------
    out: Path
        The run folder; demo by default, demo-2 and so on where that is taken.
    """
    from semcon import demo as demonstration
    from semcon.partial import free_folder
    from semcon.progress import Terminal

    with redirect_stdout(sys.stderr):
        shown = demonstration.run(out or free_folder(demonstration.FOLDER), Terminal())
    shown.together.show()
    print(f"report: {shown.folder / 'report.html'}", file=sys.stderr)
    return 0
