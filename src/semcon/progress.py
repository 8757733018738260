"""What a person sees while waiting: sentences and a bar with the time left, on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Where long work tells how far it is."""

    def say(self, sentence: str) -> None:
        """One line for the user."""
        ...

    def advance(self, amount: float) -> None:
        """Count work done, in the unit of the current `task`."""
        ...

    def task(self, title: str, total: float, done: float = 0) -> AbstractContextManager[None]:
        """A context in which `advance` moves one bar."""
        ...


class Silent:
    """Says nothing: the default from Python."""

    def say(self, sentence: str) -> None:
        """Nothing."""

    def advance(self, amount: float) -> None:
        """Nothing."""

    @contextmanager
    def task(self, title: str, total: float, done: float = 0) -> Iterator[None]:
        """Nothing."""
        yield


EVERY = 60.0  # seconds between two lines where no bar can move


class Terminal:
    """Lines and a bar with rate and time left on standard error; a line a minute where that is not a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self._bar = None
        self._task = None
        self._told = 0.0

    def say(self, sentence: str) -> None:
        """One line above the bar."""
        self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def advance(self, amount: float) -> None:
        """Move the current bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)
            if not self.console.is_terminal and time.monotonic() - self._told > EVERY:
                self._told = time.monotonic()
                task = self._bar.tasks[0]
                self.say(f"{task.description}: {task.percentage:.0f} %")

    @contextmanager
    def task(self, title: str, total: float, done: float = 0) -> Iterator[None]:
        """A bar titled `title` until the block ends."""
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(
            *columns,
            TextColumn("left"),
            TimeLeft(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        ) as bar:
            self._bar, self._task = bar, bar.add_task(title, total=total, completed=round(done))
            self._told = time.monotonic()
            try:
                yield
            finally:
                self._bar = self._task = None
