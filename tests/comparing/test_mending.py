"""What was mended and what got worse. Oracles: flips that are known image by image, counted in a loop."""

from __future__ import annotations

import numpy as np
import pytest

from pairs import CHANGES, N, pictured
from report.page import Page
from report.synthetic import HOSTILE, HOSTILE_TITLE
from semcon.comparing.compare import side_by_side
from semcon.comparing.mending import changed_copies


def flips(*images):
    return {key: np.isin(np.arange(N), images)[:, None] for key in CHANGES}


def galleries(*sides):
    together = side_by_side(sides)
    (one,) = together.comparisons
    return together, changed_copies(one.first, one.second, one.labels, one.differences)


def shown(gallery):
    return {pile.kind: {card.title for card in pile.cards} for pile in gallery.piles}


@pytest.mark.parametrize("order", [None, np.random.default_rng(1).permutation(N)], ids=["same order", "any order"])
def test_pictures_of_either_run_serve_with_the_predictions_of_both(make, order):
    """The first flips 1, 2, 3, the second 3, 4, 5: mended 1, 2, worse 4, 5; twice, for there are two severities."""
    first = pictured(make("a", flips=flips(1, 2, 3)), [1, 3, 9])
    places = range(N) if order is None else [int(np.flatnonzero(order == i)[0]) for i in range(N)]
    second = pictured(make("b", flips=flips(3, 4, 5), order=order), [places[4], places[9]], title="other")
    _, gallery = galleries(first, second)
    mended, worse = gallery.piles
    assert (mended.total, worse.total, gallery.cases) == (4, 4, 2 * N)
    assert shown(gallery) == {"mended": {"picture 1"}, "worse": {f"other {places[4]}"}}
    (card,) = mended.cards
    assert [look.flips for look in card.looks] == [True, False]
    assert [look.right for look in card.looks] == [False, True]
    label = int(first.samples.images["label"][1])
    assert [(look.before, look.after) for look in card.looks] == [
        (str(label), str(label + 1)), (str(label), str(label)),
    ]  # fmt: skip
    assert "the 1 and 1 below are examples, not a sample" in gallery.note


def test_severities_are_not_mixed_up(make):
    """Flips at the higher severity alone: the picture is of the lower one, where nothing changed."""
    only_high = {("gaussian_noise", 0.05): flips()["gaussian_noise", 0.05], ("gaussian_noise", 0.1): flips(1)[
        "gaussian_noise", 0.1]}  # fmt: skip
    _, gallery = galleries(pictured(make("a", flips=only_high), [1]), pictured(make("b"), [2]))
    assert shown(gallery) == {"mended": set(), "worse": set()}
    assert [pile.total for pile in gallery.piles] == [1, 0]


def test_sides_of_several_runs_are_told_by_how_many_flip(make):
    first = [pictured(make(f"a{i}", flips=flips(*(range(i + 1)))), [0, 1]) for i in range(2)]
    second = [pictured(make(f"b{i}", flips=flips(*([0] * i))), []) for i in range(2)]
    _, gallery = galleries(first, second)
    notes = {card.title: [look.note for look in card.looks] for card in gallery.piles[0].cards}
    assert notes == {
        "picture 0": ["2 of 2 runs flip", "1 of 2 runs flip"], "picture 1": ["1 of 2 runs flip", "0 of 2 runs flip"],
    }  # fmt: skip


def test_the_page_shows_them_with_how_many_there_are(make, tmp_path):
    together, _ = galleries(pictured(make("a", flips=flips(1, 2, 3)), [1, 2]), pictured(make("b", flips=flips(4)), [4]))
    page = Page(together.report(tmp_path / "page").read_text("utf-8"))
    assert len(page.all("li", "changed-card", data_kind="mended")) == 2
    assert len(page.all("li", "changed-card", data_kind="worse")) == 1
    text = page.all("main")[0].text
    assert "6 were mended and 2 got worse" in " ".join(text.split())
    rows = {row["key"]: row for row in page.table("differences.csv")}
    row = rows["decisions|gaussian_noise|0.05|random|flip"]
    assert (row["harmful"], row["beneficial"]) == ("1", "3")
    (cell,) = page.all("td", data_key="decisions|gaussian_noise|0.05|random|flip")
    assert float(cell.attributes["data-mean"]) == float(row["difference"]) == pytest.approx(-2 / N)
    for sentence in together.comparisons[0].opening:
        assert sentence.replace(" %", "\u00a0%") in text


def test_pictures_stay_within_the_pages_size(make, tmp_path):
    together, gallery = galleries(pictured(make("a", flips=flips(1, 2, 3)), [1, 2, 3]), pictured(make("b"), []))
    one = gallery.piles[0].cards[0].size
    assert [len(pile.cards) for pile in gallery.within(2 * 2 * one + 50).piles] == [2, 0]
    assert [pile.total for pile in gallery.within(0).piles] == [6, 0]
    assert "No picture of these was kept." not in together.report(tmp_path).read_text("utf-8")


def test_hostile_names_are_escaped(make, tmp_path):
    subject = {"classes": tuple(HOSTILE)}
    first = pictured(make(HOSTILE[0].replace("/", ""), flips=flips(1), subject=subject), [1], title=HOSTILE_TITLE)
    second = pictured(make("{{ 7 * 7 }} {% raw %}", subject=subject), [])
    together, _ = galleries(first, second)
    source = together.report(tmp_path / "page").read_text("utf-8")
    page = Page(source)
    assert len(page.all("script")) == 1
    assert not [e for e in page.all("img") if "onerror" in e.attributes]
    assert "<script>window" not in source
    assert "{{ 7 * 7 }}" in page.all("h1")[0].text
