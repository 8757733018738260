"""A comparison in a real browser: its sections, no request, no message, no sideways scrolling, enough contrast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser.test_report_page import COLOURS
from pairs import CHANGES, N, pictured
from report.synthetic import HOSTILE, HOSTILE_TITLE
from semcon.comparing.compare import side_by_side

pytestmark = pytest.mark.browser


def flips(*images: int) -> dict[tuple[str, float], np.ndarray]:
    return {key: np.isin(np.arange(N), images)[:, None] for key in CHANGES}


@pytest.fixture
def comparison(make: Any, tmp_path: Path) -> Path:
    """Hostile names; three mended, one worse."""
    subject = {"classes": tuple(HOSTILE)}
    first = make(HOSTILE[3].replace("/", ""), flips=flips(1, 2, 3), subject=subject)
    second = make("b", flips=flips(4), subject=subject)
    runs = [pictured(first, [1, 2, 3], title=HOSTILE_TITLE), pictured(second, [4])]
    return side_by_side(runs).report(tmp_path / "page")


def test_it_shows_what_was_mended_and_asks_for_nothing(visit: Any, comparison: Path) -> None:
    watched = visit(comparison)
    page = watched.page
    assert page.locator(".changed-card[data-kind=mended]:visible").count() == 3
    assert page.locator(".changed-card[data-kind=worse]:visible").count() == 1
    assert page.locator(".opening p").first.inner_text().startswith("b is not shown to flip more or less than")
    assert page.locator(".contents a").all_inner_texts()[:4] == ["Profile", "Differences", "Mended and worse", "Cost"]
    image = page.locator(".changed-card img").first
    assert image.evaluate("node => getComputedStyle(node).imageRendering") == "pixelated"
    assert page.evaluate("window.hacked") is None
    assert [url for url in watched.requests if not url.startswith("data:image/")] == [comparison.as_uri()]
    assert watched.messages == []


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_no_width_makes_it_scroll_sideways(visit: Any, comparison: Path, width: int) -> None:
    page = visit(comparison, viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_text_has_enough_contrast(visit: Any, comparison: Path, scheme: str) -> None:
    """Oracle: WCAG 2.2's contrast ratio, 4.5 for text."""

    def luminance(colour: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour[:3])]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    faint = set()
    for name, ink, paper in visit(comparison, color_scheme=scheme).page.evaluate(COLOURS):
        low, high = sorted((luminance(ink), luminance(paper)))
        if (high + 0.05) / (low + 0.05) < 4.5:
            faint.add(name)
    assert not faint
