"""Numbers to take away: a CSV file inside the page."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Sequence


def csv_uri(header: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> str:
    """A `data:` address of a CSV file; what is not known is empty.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.getvalue().encode("utf-8", "replace")).decode()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
