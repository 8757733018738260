"""What is told while one waits."""

from __future__ import annotations

import pytest

from semcon import progress


def test_without_a_terminal_a_line_tells_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Nothing within the first minute; then the share that is done."""
    clock = iter([0.0, 1.0, 61.0, 61.0, 62.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    bar = progress.Terminal()
    with bar.task("measuring", total=10):
        for _ in range(3):
            bar.advance(2)
    assert capsys.readouterr().err.split("\n")[0] == "measuring: 40 %"
