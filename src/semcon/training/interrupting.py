"""Ctrl-C while a network is trained: the step that runs is finished and kept, then the run stops."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupted:
    """`asked`: whether Ctrl-C was pressed; a second one stops at once. Outside the main thread nothing changes."""

    def __init__(self) -> None:
        self.asked = False
        self._before: object = None

    def __enter__(self) -> Interrupted:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # pyright: ignore[reportArgumentType]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
