"""Files that are whole on the disk, or not there."""

from __future__ import annotations

import os
from pathlib import Path

from semcon.core.errors import SemconError


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """A file under its name only when every byte is on the disk. Errors: `SemconError` where it cannot be written."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SemconError(f"cannot write {path}: {error.strerror or error}. Make room and resume") from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
