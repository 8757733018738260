"""A run folder while it grows: parts on disk, moved to the final name in one step when all is there.

The folder beside the final one is called `NAME.partial`. Ctrl-C, a killed process or a full disk leave it behind, never
a broken run under the final name; `--resume` goes on from its parts when the settings are the same.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from semcon.core.errors import SemconError, keeping
from semcon.core.table import SampleTable

PARTS = "parts"


@dataclass(frozen=True)
class TableParts:
    """One table while it grows, in a folder of its own."""

    folder: Path

    def table(self) -> SampleTable:
        """Everything measured, in the order of the data. Errors: `SemconError` before the first part."""
        return SampleTable.load(*self._paths())

    def done(self) -> set[int]:
        """Positions of the images whose rows are on disk."""
        return set(self.table().images["position"].to_list()) if self._paths() else set()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def add(self, part: SampleTable) -> None:
        """Write one part; it appears whole or not at all."""
        first = int(part.images["position"][0])
        target = self.folder / f"part-{first:09d}.parquet"
        temporary = target.with_suffix(".tmp")
        try:
            with keeping(self.folder.parent.parent):
                self.folder.mkdir(parents=True, exist_ok=True)
                part.save(temporary)
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


class PartialRun:
    """The parts of one audit. `settings`: whatever the rows depend on, as plain JSON."""

    def __init__(self, final: Path, settings: dict[str, object], *, resume: bool) -> None:
        self.final, self.folder = final, partial_of(final)
        text = json.dumps(settings, sort_keys=True, indent=1)
        check_free(final, resume=resume, what="audit")
        self.new = not self.folder.exists()
        if not self.new:
            self._check_same(settings)
        with self.gone_if_empty(), keeping(self.folder):
            (self.folder / PARTS).mkdir(parents=True, exist_ok=True)
            _write(self.folder / "settings.json", text.encode())

    def parts(self, name: str) -> TableParts:
        """Where the table of one evaluation grows."""
        return TableParts(self.folder / PARTS / name)

    @contextmanager
    def gone_if_empty(self) -> Iterator[None]:
        """Where something stops the measuring before its first part, a folder that is new goes: nothing to resume."""
        try:
            yield
        except BaseException:
            if self.new and not any((self.folder / PARTS).rglob("*.parquet")):
                shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def finish(self) -> Path:
        """Drop the parts and take the final name. Errors: `SemconError` saying where the run is, where that fails."""
        try:
            shutil.rmtree(self.folder / PARTS)
            (self.folder / "settings.json").unlink()
            os.replace(self.folder, self.final)
        except OSError as error:
            raise SemconError(
                f"cannot move the finished run to {self.final} ({error.strerror or error}): it is in {self.folder}; "
                "rename it as you like"
            ) from error
        return self.final

    def _check_same(self, settings: dict[str, object]) -> None:
        path = self.folder / "settings.json"
        before = json.loads(path.read_text()) if path.exists() else settings
        now = json.loads(json.dumps(settings))
        different = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        if different:
            told = "; ".join(f"{key} was {before.get(key)!r}, is {now.get(key)!r}"[:200] for key in different[:3])
            raise SemconError(f"cannot resume {self.folder}: {told}. Use the same settings, or remove the folder")


def partial_of(final: Path) -> Path:
    """Where a run grows before it takes its name."""
    return final.with_name(final.name + ".partial")


def check_free(final: Path, *, resume: bool, what: str, sign: str = "") -> None:
    """Before anything slow. Errors: `SemconError` for a run folder that is taken, or a name that the disk refuses.

    `what`: the kind of run that may lie unfinished beside it; `sign`: the file in it that says so.
    """
    beside = partial_of(final)
    try:
        taken, begun = final.exists(), (beside / sign).exists()
    except OSError as error:
        raise SemconError(f"{final} cannot be a run folder: {error.strerror}. Choose another --out") from None
    if taken:
        raise SemconError(f"{final} exists already: choose another --out, or remove it first")
    if begun and not resume:
        raise SemconError(
            f"{beside} holds an unfinished {what}: go on with --resume, remove it, or choose another --out"
        )


def free_folder(wanted: Path, *, resume: bool = False) -> Path:
    """`wanted`, numbered (-2, -3, ...) where a run lies there already; with `resume` the first unfinished one.

    Errors: `SemconError` where none is free.
    """
    for number in range(1, 10_000):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        unfinished = partial_of(folder).exists()
        if (unfinished and resume) or not (unfinished or folder.exists()):
            return folder
    raise SemconError(f"{wanted} and its numbered neighbours are all taken: give --out")


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    os.replace(temporary, path)
