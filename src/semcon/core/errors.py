"""The errors a user can cause, each a sentence that says what was expected, what came and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path


class SemconError(Exception):
    """Wrong use: the message is for the user, no traceback needed (exit code 2)."""

    exit_code = 2


class UnknownNameError(SemconError):
    """A name that is not among those available; carries the nearest ones."""

    def __init__(self, kind: str, name: str, options: Iterable[str]) -> None:
        known = sorted(options)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known[:40])}."
        super().__init__(f"unknown {kind} {name!r}. {hint}")


class UnreadableImageError(SemconError):
    """An image that cannot be decoded; `title` names it."""

    def __init__(self, title: str, reason: str) -> None:
        self.title = title
        super().__init__(
            f"cannot read image {title.removeprefix('image ')}: {reason}. Repair or remove it, or go on without it by "
            "--skip-bad."
        )


@contextmanager
def keeping(folder: Path) -> Generator[None]:
    """Where an unfinished run is written. Errors: `SemconError` for a full disk, saying that `--resume` goes on."""
    try:
        yield
    except OSError as error:
        raise SemconError(
            f"cannot write to {folder}: {error.strerror or error}. What was measured is kept; make room and use "
            "--resume"
        ) from error


class MissingPackageError(SemconError):
    """An optional package that is not installed."""

    def __init__(self, package: str, extra: str, wanted_for: str) -> None:
        super().__init__(f"{wanted_for} needs {package}: pip install 'semcon[{extra}]'")
