"""Write docs/figures.md from the words that the report shows beside its numbers: python docs/make_figures_page.py."""

from __future__ import annotations

from pathlib import Path

from semcon.report.meanings import MEANINGS, READING

PAGE = Path(__file__).parent / "figures.md"
HEAD = """# What each figure means, and when it misleads

Written by `docs/make_figures_page.py` from the words that every report carries; edit those. For an image x, its
perturbed copy x' = P(x), a representation z and a distance D. Exact definitions, also of the references:
`docs/conventions.md` and `docs/architecture.md`.

"""


def page() -> str:
    """The whole page."""
    figures = [f"## `{m.quantity}`\n\n{m.definition}\n\n*When it misleads.* {m.misleads}\n" for m in MEANINGS]
    reading = [f"## {title}\n\n{text}\n" for title, text in READING]
    return HEAD + "\n".join([*figures, *reading])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
