"""The page against the record it was made from. Oracle: values read back from the page equal the record's."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from pathlib import Path

import pytest

from report.page import Page
from report.synthetic import HOSTILE, HOSTILE_TITLE, gallery, record, run
from semcon.core.pictured import GalleryEntry
from semcon.core.record import Record, read_record, write_record
from semcon.report.differences import DifferenceRow, DifferenceTable
from semcon.report.html import LIMIT, render
from semcon.report.numbers import number
from semcon.report.reading import Reading, readings


def reading(folder: Path) -> list[Reading]:
    return readings([(read_record(folder), folder)])


def saved(folder: Path, made: Record) -> list[Reading]:
    write_record(made, folder)
    return reading(folder)


@pytest.fixture(scope="module")
def plain(plain_run: Path) -> tuple[Record, Page, str]:
    source = render(reading(plain_run))
    return read_record(plain_run), Page(source), source


@pytest.fixture(scope="module")
def hostile(hostile_run: Path) -> tuple[Page, str]:
    source = render(reading(hostile_run))
    return Page(source), source


def test_the_profile_holds_the_records_figures(plain: tuple[Record, Page, str]) -> None:
    made, page, _ = plain
    shown = {
        e.attributes["data-key"]: tuple(float(e.attributes[f"data-{name}"]) for name in ("mean", "low", "high"))
        for e in page.all("div", "estimate")
        if "data-key" in e.attributes
    }
    expected = {
        f"{row.family}|{row.quantity}": (row.mean, row.low, row.high)
        for row in made.profile
        if row.quantity != "confidence_drop"
    }
    clean = next(e for e in made.estimates if e.quantity == "accuracy" and e.perturbation is None)
    assert shown == {**expected, "untouched|accuracy": (clean.mean, clean.low, clean.high)}


def test_the_profile_is_written_for_people_too(plain: tuple[Record, Page, str]) -> None:
    made, page, _ = plain
    row = next(row for row in made.profile if row.family == "noise" and row.quantity == "flip")
    (cell,) = page.all("div", "estimate", data_key="noise|flip")
    assert cell.text.split()[0].startswith(number(row.mean))
    assert f"[{row.low:.3f}, {row.high:.3f}]" in cell.text


def test_severity_figures_can_be_taken_away(plain: tuple[Record, Page, str]) -> None:
    made, page, _ = plain
    shown = {
        (row["perturbation"], float(row["severity"]), row["draws"], row["quantity"]): (
            float(row["mean"]), float(row["low"]), float(row["high"]),
        )
        for row in page.table("severity.csv")
    }  # fmt: skip
    expected = {
        (e.perturbation, e.severity, e.draws, e.quantity): (e.mean, e.low, e.high)
        for e in made.estimates
        if e.quantity in ("relative_change", "flip", "accuracy") and e.subset == "all" and e.perturbation is not None
        and (e.representation, e.distance) in ((None, None), ("logits", "l2"))
    }  # fmt: skip
    assert shown == expected


def test_layers_go_from_the_pixels_to_the_probabilities(plain: tuple[Record, Page, str]) -> None:
    made, page, _ = plain
    rows = [row for row in page.table("layers.csv") if row["perturbation"] == "gaussian_noise"]
    assert [row["representation"] for row in rows] == [
        "pixels", "layer1", "layer2", "layer3", "penultimate", "logits", "probabilities",
    ]  # fmt: skip
    for row in rows:
        gauge = (row["representation"], row["distance"])
        wanted = ("relative_change", "gaussian_noise", 0.05, "random", "all", *gauge)
        (found,) = [
            e for e in made.estimates
            if (e.quantity, e.perturbation, e.severity, e.draws, e.subset, e.representation, e.distance) == wanted
        ]  # fmt: skip
        assert float(row["mean"]) == found.mean


def test_the_heat_map_holds_every_class_at_the_highest_severity(plain: tuple[Record, Page, str]) -> None:
    made, page, _ = plain
    expected = [
        e.mean
        for quantity in ("flip", "within_class_change")
        for name in made.data.classes or ()
        for perturbation, severity in (("brightness", 0.5), ("gaussian_noise", 0.2), ("horizontal_flip", 1.0))
        for e in made.estimates
        if (e.quantity, e.subset, e.perturbation, e.severity) == (quantity, f"class:{name}", perturbation, severity)
    ]
    cells = [e for e in page.all("td") if any("heat" in p.attributes.get("class", "").split() for p in e.parents)]
    assert [float(cell.attributes["data-mean"]) for cell in cells if "data-mean" in cell.attributes] == expected
    assert len(expected) == 2 * 10 * 3


def test_findings_come_with_their_remedy_issues_first(plain: tuple[Record, Page, str]) -> None:
    _, page, _ = plain
    (found,) = page.all("ul", "findings")
    order = [found.text.index(word) for word in ("normalisation-missing", "duplicates", "few-images")]
    assert order == sorted(order)
    assert "Give --mean .485,.456,.406 --std .229,.224,.225." in found.text
    assert "<b>ImageNet's</b>" in found.text


def test_the_gallery_shows_distances_predictions_and_pictures(plain: tuple[Record, Page, str]) -> None:
    made, page, _ = plain
    shown = page.all("li", "card")
    groups = {(e.perturbation, e.severity, e.position) for e in made.gallery}
    assert len(shown) == len(groups) == 12
    entry = next(e for e in made.gallery if e.perturbation == "brightness" and e.draws == "worst" and e.position == 1)
    (card,) = [c for c in shown if c.attributes["data-perturbation"] == "brightness" and "test/00001.png" in c.text]
    for value in (entry.change, entry.other_distance, entry.pixel_change, entry.pixel_other, entry.confidence):
        assert number(value) in card.text or number(value, 2) in card.text
    assert float(card.attributes["data-worst"]) == entry.relative
    assert card.attributes["data-evidence"] == "1"
    sources = [e.attributes["src"] for e in page.all("img") if card in e.parents]
    assert len(sources) == 5  # the image, two copies, two others
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(e.attributes["alt"] for e in page.all("img"))


def test_verdict_title_and_command_are_there(plain: tuple[Record, Page, str]) -> None:
    made, page, _ = plain
    (quote,) = page.all("blockquote")
    assert all(sentence.replace(" %", "\u00a0%") in quote.text for sentence in made.verdict)
    assert "ResNet-20" in page.all("h1")[0].text
    assert any(made.settings.command in pre.text for pre in page.all("pre"))
    assert "2011.09789" in page.all("pre")[-1].text


def test_headings_descend_one_step_at_a_time_and_tables_have_captions(plain: tuple[Record, Page, str]) -> None:
    _, page, _ = plain
    levels = [int(e.tag[1]) for e in page.elements if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    captions = [e for e in page.all("caption") if e.text.strip()]
    assert len(captions) == len(page.all("table"))
    assert all(e.attributes.get("aria-label") for e in page.all("svg"))
    anchors = {e.attributes["id"] for e in page.elements if "id" in e.attributes}
    assert {e.attributes["href"][1:] for e in page.all("a") if e.attributes["href"].startswith("#")} <= anchors


def test_nothing_is_fetched(plain: tuple[Record, Page, str]) -> None:
    _, page, source = plain
    for element in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert element.attributes.get(name, "#").startswith(("#", "data:"))
        assert element.tag not in ("link", "iframe", "object", "embed", "base")
    assert "url(" not in source
    assert "@import" not in source
    assert "https://" not in source.replace("http-equiv", "")


def test_the_policy_allows_this_script_and_no_other(plain: tuple[Record, Page, str]) -> None:
    _, page, source = plain
    (script,) = page.all("script")
    text = source[source.index("<script>") + len("<script>") : source.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert script.text == text
    policy = next(e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_hostile_names_stay_text(hostile: tuple[Page, str]) -> None:
    page, source = hostile
    assert len(page.all("script")) == 1
    assert all(image.attributes["src"].startswith("data:image/") for image in page.all("img"))
    assert not [name for e in page.elements for name in e.attributes if name.startswith("on")]
    for name in (*HOSTILE, HOSTILE_TITLE):
        assert any(name in (e.text, *e.attributes.values()) for e in page.elements), name
    assert "<script>window" not in source
    assert "<script>alert" not in source


def test_the_same_record_gives_the_same_bytes(plain_run: Path) -> None:
    assert render(reading(plain_run)) == render(reading(plain_run))


def test_a_page_stays_under_its_limit_and_says_what_is_missing(tmp_path: Path) -> None:
    folder = run(tmp_path, perturbations=19, each=4, side=160)
    pictures = sum(path.stat().st_size for path in (folder / "gallery").iterdir()) * 4 // 3
    source = render(reading(folder), limit=1_200_000)
    page = Page(source)
    assert pictures > 1_200_000  # else the limit would not be reached
    assert 1_000_000 < len(source.encode()) <= 1_200_000
    shown = len(page.all("li", "card"))
    assert 0 < shown < 76
    assert f"{shown} of 76 cards are shown" in source
    assert len(render(reading(folder)).encode()) <= LIMIT == 3_000_000


def test_cards_are_left_out_evenly_over_the_perturbations(tmp_path: Path) -> None:
    folder = run(tmp_path, perturbations=6, each=4, side=160)
    full = len(render(reading(folder)).encode())
    page = Page(render(reading(folder), limit=full // 2))
    counts = [len(page.all("li", "card", data_perturbation=p.name)) for p in read_record(folder).settings.perturbations]
    assert max(counts) - min(counts) <= 1
    assert 0 < sum(counts) < 24


def test_without_labels_everything_that_needs_none_is_shown(tmp_path: Path) -> None:
    page = Page(render(saved(tmp_path, record(labelled=False))))
    keys = {e.attributes["data-key"] for e in page.all("div", "estimate") if "data-key" in e.attributes}
    assert keys == {
        f"{family}|{q}" for family in ("photometric", "noise", "geometry") for q in ("relative_change", "flip")
    }
    assert not page.all("table", "heat")
    assert "no labels" in page.all("main")[0].text


def test_a_model_without_triples_is_told_so(tmp_path: Path) -> None:
    entries: list[GalleryEntry] = []
    for entry in gallery(tmp_path, worst=False):
        files = {role: path for role, path in entry.files.items() if role != "other"}
        entries.append(entry.model_copy(update={"other_distance": None, "figure1": False, "files": files}))
    page = Page(render(saved(tmp_path, record(worst=False, gallery=entries))))
    assert "No such triple exists" in page.all("main")[0].text
    assert page.all("li", "card")


def test_triples_nearer_in_pixels_too_are_no_evidence(tmp_path: Path) -> None:
    entries = [e.model_copy(update={"figure1": False}) for e in gallery(tmp_path)]
    page = Page(render(saved(tmp_path, record(gallery=entries))))
    assert "No triple here is evidence" in page.all("main")[0].text
    assert not page.all("span", "evidence")


def test_pictures_outside_the_run_folder_or_of_another_kind_are_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    entries = gallery(folder, perturbations=1, each=2, worst=False)
    (tmp_path / "secret.png").write_bytes((folder / entries[0].files["image"]).read_bytes())
    (folder / "gallery" / "text.png").write_text("not a picture")
    outside = entries[0].model_copy(update={"files": {**entries[0].files, "image": "../secret.png"}})
    wrong = entries[1].model_copy(update={"files": {**entries[1].files, "copy": "gallery/text.png"}})
    page = Page(render(saved(folder, record(perturbations=1, gallery=[outside, wrong]))))
    assert not page.all("img")
    assert "This run kept no pictures." in page.all("main")[0].text


def test_many_classes_are_capped_and_it_says_so(tmp_path: Path) -> None:
    made = record(classes=[f"class {number}" for number in range(60)], worst=False, findings=())
    page = Page(render(saved(tmp_path, made)))
    assert (
        len([e for e in page.all("th", scope="row") if any("heat" in p.attributes.get("class", "") for p in e.parents)])
        == 80
    )
    assert "20 more are in the CSV" in page.all("main")[0].text
    assert len({row["class"] for row in page.table("classes.csv")}) == 60
    assert "Nothing was found." in page.all("main")[0].text


def test_runs_side_by_side(tmp_path: Path) -> None:
    folders = [run(tmp_path / name, name="net", sensitivity=s) for name, s in (("a", 1.0), ("b", 0.3))]
    runs = readings([(read_record(folder), folder) for folder in folders])
    assert [one.label for one in runs] == ["net (1)", "net (2)"]
    rows = (
        DifferenceRow(
            "noise|flip", "noise", "flips", "0.29", "0.09", "-0.20 [-0.22, -0.18]", "minus", -0.2, -0.22, -0.18
        ),
    )
    table = DifferenceTable("net (2) minus net (1)", "net (1)", "net (2)", "net (2) minus net (1)", rows, "jpeg")
    page = Page(render(runs, [table]))
    for place, one in enumerate(runs):
        for row in one.record.profile:
            if row.quantity != "confidence_drop":
                (cell,) = page.all("div", "estimate", data_key=f"{row.family}|{row.quantity}", data_run=str(place))
                assert float(cell.attributes["data-mean"]) == row.mean
    assert page.all("td", "minus", data_key="noise|flip")[0].text == "-0.20 [-0.22, -0.18]"
    (taken,) = page.table("differences.csv")
    assert [float(taken[name]) for name in ("difference", "low", "high")] == [-0.2, -0.22, -0.18]
    assert len(page.all("li", "card", data_run="0")) == len(page.all("li", "card", data_run="1")) == 12
    assert "left out: jpeg" in page.all("main")[0].text
