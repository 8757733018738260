"""A training run on disk while it grows: one checkpoint, whole or not at all, and the metrics that belong to it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import torch

from semcon.core.errors import SemconError
from semcon.core.files import write_whole


class Checkpoint:
    """`step`: that of the last one written or read, 0 before."""

    def __init__(self, path: Path) -> None:
        self.path, self.step = path, 0

    def write(self, state: dict[str, Any]) -> None:
        """In place of the last, after it is whole on the disk. Errors: `SemconError` where it cannot be written."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(self.path, buffer.getbuffer())
        self.step = int(state["step"])

    def read(self) -> dict[str, Any] | None:
        """The last one, or None. Errors: `SemconError` for a damaged file."""
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load fails in many ways
            raise SemconError(
                f"{self.path} is damaged ({str(error).splitlines()[0]}): remove it to begin again"
            ) from None
        self.step = int(state["step"])
        return state


class Metrics:
    """JSON lines, flushed line by line; a checkpoint keeps `size` in bytes, so that a resumed run has no doubles."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size if path.exists() else 0

    def write(self, line: dict[str, Any]) -> None:
        """One line; numbers that are not finite become null."""
        text = json.dumps({key: _finite(value) for key, value in line.items()}, allow_nan=False) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise SemconError(f"cannot write {self.path}: {error.strerror}. Make room and resume") from None
        self.size += len(text.encode())

    def cut(self, size: int) -> None:
        """Forget what came after a checkpoint; after a power cut also a last line that is not whole."""
        self.size = 0
        if self.path.exists():
            kept = self.path.read_bytes()[:size]
            self.size = kept.rfind(b"\n") + 1
            os.truncate(self.path, self.size)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return value
