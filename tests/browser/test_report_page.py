"""The report in a real browser: filters, sorting, themes, print, phones, hostile names, no request, no error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from report.synthetic import HOSTILE, gallery, record, run
from semcon.core.pictured import GalleryEntry
from semcon.core.record import read_record, write_record
from semcon.report.html import render
from semcon.report.reading import readings
from semcon.run_record import RunRecord

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("run"), perturbations=5, each=4)


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    return RunRecord.load(folder).report()


@pytest.fixture(scope="module")
def entries(folder: Path) -> tuple[GalleryEntry, ...]:
    return read_record(folder).gallery


def shown(page: Any) -> list[dict[str, str]]:
    """The data of the visible cards, in order."""
    visible = "[...document.querySelectorAll('.card')].filter(card => card.checkVisibility())"
    return page.evaluate(f"{visible}.map(card => ({{...card.dataset}}))")


def card_keys(entries: tuple[GalleryEntry, ...], **wanted: object) -> set[tuple[str, int]]:
    return {
        (e.perturbation, e.position)
        for e in entries
        if all(getattr(e, name) == value for name, value in wanted.items())
    }


def test_at_first_some_of_all_perturbations_and_all_on_demand(visit: Any, report: Path, entries: Any) -> None:
    page = visit(report).page
    first = shown(page)
    assert len(first) == 12
    assert len({card["perturbation"] for card in first[:5]}) == 5
    assert page.locator(".shown").inner_text() == "12 of 20 shown"
    page.get_by_role("button", name="Show all 20").click()
    assert len(shown(page)) == len(card_keys(entries)) == 20
    assert not page.locator(".more").is_visible()


def test_filtering_by_perturbation_class_and_kind_of_draw(visit: Any, report: Path, entries: Any) -> None:
    page = visit(report).page
    page.get_by_label("perturbation").select_option("hue")
    assert {card["perturbation"] for card in shown(page)} == {"hue"}
    assert len(shown(page)) == len(card_keys(entries, perturbation="hue")) == 4
    page.get_by_label("perturbation").select_option("")
    page.locator("select[name=kind]").select_option("dog")
    assert len(shown(page)) == len(card_keys(entries, class_name="dog"))
    assert {card["kind"] for card in shown(page)} == {"dog"}
    page.locator("select[name=kind]").select_option("")
    page.get_by_label("copies").select_option("worst")
    assert page.locator(".copy[data-draws=random]:visible").count() == 0
    assert page.locator(".copy[data-draws=worst]:visible").count() == 12
    page.get_by_label("copies").select_option("random")
    assert page.locator(".copy[data-draws=worst]:visible").count() == 0


def test_figure_1_only(visit: Any, tmp_path: Path) -> None:
    made = [e.model_copy(update={"figure1": e.perturbation == "brightness"}) for e in gallery(tmp_path)]
    write_record(record(gallery=made), tmp_path)
    page = visit(RunRecord.load(tmp_path).report()).page
    page.get_by_label("Figure 1 only").check()
    assert {card["perturbation"] for card in shown(page)} == {"brightness"}
    assert page.locator(".shown").inner_text() == "4 shown"


@pytest.mark.parametrize(
    ("order", "key", "sign"), [("change", "worst", -1), ("least", "worst", 1), ("pixels", "pixels", 1)]
)
def test_sorting(visit: Any, report: Path, order: str, key: str, sign: int) -> None:
    page = visit(report).page
    page.get_by_label("order").select_option(order)
    values = [sign * float(card[key]) for card in shown(page)]
    assert values == sorted(values)
    page.get_by_label("copies").select_option("random")
    if key == "worst":
        values = [sign * float(card["random"]) for card in shown(page)]
        assert values == sorted(values)


def test_the_controls_are_reached_and_used_by_keyboard(visit: Any, report: Path) -> None:
    page = visit(report).page
    page.get_by_label("perturbation").focus()
    page.keyboard.type("contrast")
    assert {card["perturbation"] for card in shown(page)} == {"contrast"}
    page.get_by_label("Figure 1 only").focus()
    page.keyboard.press("Space")
    assert page.get_by_label("Figure 1 only").is_checked()
    page.get_by_label("perturbation").select_option("")
    page.get_by_label("Figure 1 only").uncheck()
    page.locator(".more").focus()
    page.keyboard.press("Enter")
    assert len(shown(page)) == 20
    assert page.evaluate("document.activeElement.classList.contains('card')")


def background(page: Any) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_theme_follows_the_system_and_the_button(visit: Any, report: Path) -> None:
    light, dark = visit(report, color_scheme="light").page, visit(report, color_scheme="dark").page
    paper, night = background(light), background(dark)
    assert (paper, night) == ("rgb(253, 252, 249)", "rgb(21, 24, 28)")
    button = light.locator("button.theme")
    assert [button.inner_text(), background(light)] == ["Theme: auto", paper]
    for name, colour in (("light", paper), ("dark", night), ("auto", paper)):
        button.click()
        assert [button.inner_text(), background(light)] == [f"Theme: {name}", colour]
    button.click()
    button.click()
    light.reload()
    assert background(light) == night  # kept


COLOURS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const tags = 'p, td, th, dt, dd, a, h1, h2, h3, h4, small, span, code, figcaption';
  const seen = (node) => node.checkVisibility() && node.innerText?.trim();
  return [...document.querySelectorAll(tags)].filter(seen).map(node => {
    let under = node, back = [0, 0, 0, 0];
    for (; under && back[3] < 255; under = under.parentElement) {
      back = rgb(getComputedStyle(under).backgroundColor);
    }
    return [node.className || node.tagName, rgb(getComputedStyle(node).color), back];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(visit: Any, report: Path, scheme: str) -> None:
    """Oracle: WCAG 2.2's contrast ratio, computed here; 4.5 for text."""
    page = visit(report, color_scheme=scheme).page
    pairs = page.evaluate(COLOURS)
    assert len(pairs) > 300

    def luminance(colour: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour[:3])]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def ratio(ink: list[int], paper: list[int]) -> float:
        low, high = sorted((luminance(ink), luminance(paper)))
        return (high + 0.05) / (low + 0.05)

    faint = {(name, round(ratio(ink, paper), 2)) for name, ink, paper in pairs if ratio(ink, paper) < 4.5}
    assert not faint


def test_no_request_no_message(visit: Any, report: Path) -> None:
    watched = visit(report)
    watched.page.get_by_label("perturbation").select_option("hue")
    watched.page.emulate_media(media="print")
    watched.page.wait_for_timeout(100)
    assert [url for url in watched.requests if not url.startswith("data:image/")] == [report.as_uri()]
    assert watched.messages == []


def test_hostile_names_do_not_execute(visit: Any, tmp_path: Path) -> None:
    folder = run(tmp_path, classes=HOSTILE, name=HOSTILE[3])
    watched = visit(RunRecord.load(folder).report())
    page = watched.page
    page.locator(".more").click() if page.locator(".more").is_visible() else None
    page.wait_for_timeout(100)
    assert page.evaluate("window.hacked") is None
    assert [url for url in watched.requests if not url.startswith("data:image/")] == [(folder / "report.html").as_uri()]
    assert watched.messages == []
    page.locator("select[name=kind]").select_option(HOSTILE[0])
    assert {card["kind"] for card in shown(page)} == {HOSTILE[0]}
    assert page.locator("h1").inner_text().startswith(HOSTILE[3])
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_script_that_came_in_all_the_same_is_stopped_by_the_policy(visit: Any, report: Path, tmp_path: Path) -> None:
    source = report.read_text("utf-8").replace(
        "<main", "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'><main", 1
    )
    (tmp_path / "broken.html").write_text(source, "utf-8")
    watched = visit(tmp_path / "broken.html")
    assert watched.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in message for message in watched.messages)


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_no_width_makes_the_page_scroll_sideways(visit: Any, report: Path, width: int) -> None:
    page = visit(report, viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_small_pictures_are_enlarged_with_hard_edges(visit: Any, report: Path) -> None:
    page = visit(report).page
    image = page.locator(".card img").first
    assert image.evaluate("node => getComputedStyle(node).imageRendering") == "pixelated"
    assert image.evaluate("node => node.naturalWidth") == 32
    assert image.bounding_box()["width"] > 64


def test_print_is_light_without_controls_and_with_every_meaning(visit: Any, report: Path, tmp_path: Path) -> None:
    page = visit(report, color_scheme="dark").page
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes()))
    assert 4 <= pages <= 20
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert background(page) == "rgb(253, 252, 249)"
    assert not page.locator(".controls").is_visible()
    assert not page.locator("button.theme").is_visible()
    assert page.get_by_text("The sum of all changes over the sum of the mean distances").is_visible()


def test_without_javascript_everything_is_there(visit: Any, report: Path) -> None:
    page = visit(report, java_script_enabled=False).page
    assert page.locator(".card:visible").count() == 20
    assert page.locator(".controls:visible").count() == 0
    assert page.locator("button:visible").count() == 0


def test_runs_side_by_side_are_filtered_by_run(visit: Any, tmp_path: Path) -> None:
    folders = [run(tmp_path / name, name=name, each=2) for name in ("first", "second")]
    page_file = tmp_path / "report.html"
    page_file.write_text(render(readings([(read_record(folder), folder) for folder in folders])), "utf-8")
    watched = visit(page_file)
    watched.page.get_by_label("model").select_option("1")
    assert {card["run"] for card in shown(watched.page)} == {"1"}
    assert len(shown(watched.page)) == 6
    assert watched.messages == []
