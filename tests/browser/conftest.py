"""Headless Chromium, offline: every request but the page itself is counted and refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("SEMCON_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Watched:
    """A page with what it said and asked for. `page` is playwright's."""

    page: object
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A browser. Skips, loudly, where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="NOT TESTED IN A BROWSER: playwright is not installed"
    )
    if CHROMIUM is None:
        pytest.skip("NOT TESTED IN A BROWSER: no chromium on the path (SEMCON_CHROMIUM names one)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[object]:
    """`visit(path, **context)`: open a report; console messages, errors, dialogs and requests are kept."""
    contexts = []

    def open_(path: Path, **options: object) -> Watched:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        watched = Watched(page)
        page.on("console", lambda message: watched.messages.append(message.text))
        page.on("pageerror", lambda error: watched.messages.append(str(error)))
        page.on("dialog", lambda dialog: (watched.messages.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: watched.requests.append(request.url))
        page.goto(path.as_uri())
        return watched

    yield open_
    for context in contexts:
        context.close()
