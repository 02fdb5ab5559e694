"""The page as a reader has it: headless Chromium, no network."""

import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect, sync_playwright

from pellucid.leaderboard import table as tables
from pellucid.leaderboard.board import pages
from pellucid.leaderboard.html import page as page_of
from pellucid.leaderboard.table import Table
from pellucid.leaderboard.tradeoff import Standings
from pellucid.leaderboard.words import finding
from tests.leaderboard.many import HARM, board, grown, hostile, measured, unknown

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 375, "height": 700}


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail("There is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("page")
    found = {}
    boards = {
        "board": board(),
        "of 300": grown(300),
        "measured": measured(12)[0],
        "hostile": hostile(),
        "unknown": unknown(),
        "hostile titles": unknown(f"<script>{HARM}</script>", f"\"><img src=x onerror='{HARM}'>"),
    }
    for name, entries in boards.items():
        found[name] = folder / name / "index.html"
        for path, content in pages(entries).items():
            (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / path).write_bytes(content)
        found[name].write_text(page_of(tables.of(entries)), encoding="utf-8")
    return found


@pytest.fixture
def open_page(browser, files):
    """Opens a file; at the end there was no error, no dialog and no request to any address."""
    contexts, said, asked = [], [], []

    def start(name: str = "board", *, viewport=WIDE, anchor: str = "", **options) -> Page:
        context = browser.new_context(viewport=viewport, offline=True, **options)
        contexts.append(context)
        opened = context.new_page()
        opened.on(
            "console",
            lambda message: (
                said.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto(files[name].as_uri() + anchor)
        return opened

    yield start
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()


def names(shown: Page, table: int = 0) -> list[str]:
    """Names in a table's visible rows, in order."""
    return shown.locator(
        f"[data-table='{table}'] tbody tr[data-index] th a:visible"
    ).all_inner_texts()


def column(shown: Page, index: int) -> list[float | None]:
    """The numbers of a column, by row; None where there is a dash."""
    cells = shown.locator(f"[data-table='0'] tbody tr > :nth-child({index + 1}) > span:first-child")
    texts = [text.strip("*") for text in cells.all_inner_texts()]
    return [None if text == "–" else float(text.replace("−", "-")) for text in texts]


def head(shown: Page, index: int) -> Locator:
    return shown.locator("[data-table='0'] thead th").nth(index)


TEST, SCORE = 3, 5
"""Columns of a table."""


def is_sorted(head: Locator, order: str) -> None:
    """Waits: DataTables sorts after the click has been answered."""
    expect(head).to_have_attribute("aria-sort", order)


def test_sorts_by_numbers_with_missing_ones_last(open_page):
    shown = open_page()
    head(shown, SCORE).click()
    is_sorted(head(shown, SCORE), "descending")
    values = column(shown, SCORE)
    present = [v for v in values if v is not None]
    assert present == sorted(present, reverse=True)
    assert values[len(present) :] == [None]
    head(shown, SCORE).click()
    is_sorted(head(shown, SCORE), "ascending")
    values = column(shown, SCORE)
    assert values[:-1] == sorted(present)
    assert values[-1] is None


def test_sorts_by_keyboard_alone(open_page):
    shown = open_page()
    head(shown, TEST).locator("[role=button]").focus()
    shown.keyboard.press("Enter")
    is_sorted(head(shown, TEST), "descending")
    values = column(shown, TEST)
    assert values == sorted(values, reverse=True)
    assert values[0] != values[-1]


def test_searches_and_filters(open_page):
    shown = open_page()
    controls = shown.locator("[data-controls='0']")
    count = controls.locator("[role=status]")
    assert len(names(shown)) == 9
    controls.get_by_label("Search").fill("plain")
    assert names(shown) == ["Model plain"]
    assert count.inner_text() == "1 of 9 models fit"
    controls.get_by_role("button", name="Clear").click()
    controls.get_by_label("Role").select_option("submission")
    assert sorted(names(shown)) == ["Model above", "Model below", "Model plain"]
    controls.get_by_label("without flags").check()
    assert sorted(names(shown)) == ["Model above", "Model plain"]
    controls.get_by_label("Adversary").select_option("none")
    assert names(shown) == ["Model plain"]
    controls.get_by_role("button", name="Clear").click()
    controls.get_by_label("Search").fill("no such model")
    assert names(shown) == []
    assert "No model fits these filters." in shown.locator("[data-table='0']").inner_text()
    assert len(names(shown, 1)) == 4, "the other track's table has its own filters"


def test_filtered_rows_fade_in_the_plot(open_page):
    shown = open_page()
    shown.locator("[data-controls='0']").get_by_label("Role").select_option("submission")
    points = shown.locator("[data-scatter='0'] .point")
    off = points.evaluate_all(
        "nodes => nodes.map(n => [n.classList.contains('reference'), n.classList.contains('off')])"
    )
    assert [a == b for a, b in off] == [True] * 8
    assert shown.locator("[data-scatter='0'] .point.reference[tabindex]").count() == 0


def test_the_plot_and_the_table_are_linked_both_ways(open_page):
    shown = open_page(reduced_motion="reduce")
    point = shown.locator("[data-scatter='0'] .point[aria-label*='Model above']")
    row = shown.locator("[data-table='0'] tbody tr", has_text="Model above")
    point.hover()
    assert "on" in row.get_attribute("class").split()
    shown.mouse.move(0, 0)
    assert "on" not in row.get_attribute("class").split()
    row.hover()
    assert "on" in point.get_attribute("class").split()
    shown.mouse.move(0, 0)
    point.click()
    assert shown.evaluate("document.activeElement.textContent") == "Model above"
    box = row.bounding_box()
    assert 0 <= box["y"] <= WIDE["height"]


def test_from_point_to_row_by_keyboard(open_page):
    shown = open_page()
    points = shown.locator("[data-scatter='0'] .point")
    assert points.evaluate_all("nodes => nodes.filter(n => n.tabIndex === 0).length") == 1
    shown.locator("[data-scatter='0'] .point[tabindex='0']").focus()
    visited = []
    for _ in range(8):
        visited.append(shown.evaluate("document.activeElement.dataset.id"))
        shown.keyboard.press("ArrowRight")
    assert len(set(visited)) == 8, "every model that has the score"
    label = shown.evaluate("document.activeElement.getAttribute('aria-label')")
    assert "ROAR GX" in label
    assert "test accuracy" in label
    shown.keyboard.press("Enter")
    name = shown.evaluate("document.activeElement.textContent")
    assert name in label
    shown.keyboard.press("Enter")
    shown.wait_for_url("**/pages/digits/*-v1.html")
    assert shown.locator("h1").inner_text() == name, "from the row to the entry's page"


def choose(shown: Page, label: str) -> None:
    shown.locator("[data-choice='0'] [data-axis=y]").select_option(label=label)


def test_another_score_is_drawn_and_orders_the_table(open_page):
    shown = open_page()
    scatter = shown.locator("[data-scatter='0']")

    def places() -> list[str]:
        return scatter.locator(".point").evaluate_all(
            "nodes => nodes.map(n => n.getAttribute('transform') || n.getAttribute('d'))"
        )

    before = places()
    choose(shown, "manifold excess (cross-entropy) (lower is better)")
    assert "lower is better" in scatter.locator(".plot").inner_text()
    assert before != places()
    assert len(places()) == 7, "the models that have the score"
    name = "manifold_xent_excess_over_noise"
    rows = [e for e in board() if e.track.name == "digits"]
    expected = sorted((e for e in rows if name in e.scores), key=lambda e: e.value(name))
    assert names(shown)[:7] == [e.card.name for e in expected]
    assert head(shown, SCORE).inner_text().startswith("manifold excess (cross-entropy)")
    values = column(shown, SCORE)
    assert values[:7] == [pytest.approx(e.value(name), abs=5e-4) for e in expected]
    assert values[7:] == [None, None]
    found = Table(rows, Standings())
    assert shown.locator("[data-found='0']").inner_text() == finding(found, name)
    standings = found.standings[name]
    assert column(shown, SCORE + 1)[:7] == [
        pytest.approx(standings[e.id].advantage, abs=5e-4) for e in expected
    ]
    ranks = shown.locator("[data-table='0'] tbody tr > :first-child").all_inner_texts()
    ends = [standings[e.id].ranks for e in expected]
    assert ranks[:7] == [str(a) if a == b else f"{a}–{b}" for a, b in ends]
    fitted = found.fits[name]
    explained = f"(through 6 networks, explains {fitted.r_squared:.0%} of their variance)".replace(
        "%", " percent"
    )
    assert explained in scatter.locator(".legend").inner_text()
    shown.locator("[data-choice='0'] [data-axis=x]").select_option("robust")
    assert "robust accuracy" in scatter.locator(".plot").inner_text()


def test_the_first_row_is_as_without_scripts(open_page):
    """What the scripts write into a row is what the page has there without them."""
    texts = []
    for options in ({}, {"java_script_enabled": False}):
        rows = open_page(**options).locator("[data-table='0'] tbody tr")
        texts.append([" ".join(text.split()) for text in rows.all_inner_texts()])
    assert texts[0] == texts[1]


def test_every_row_is_as_without_scripts(open_page):
    """Of entries as they are measured: scripts are sent integers, not their text."""
    texts = []
    for options in ({}, {"java_script_enabled": False}):
        rows = open_page("measured", **options).locator("table.board").first.locator("tbody tr")
        assert rows.count() == 12
        texts.append([text.split() for text in rows.all_inner_texts()])
    lines = zip(*texts, strict=True)
    differ = [pair for line in lines for pair in zip(*line, strict=True) if len(set(pair)) > 1]
    assert differ == []
    assert sum("multiply-adds" in row for row in texts[0]) == 12


def test_300_models_are_shown_a_hundred_at_a_time(open_page):
    shown = open_page("of 300")
    assert shown.locator("[data-controls='0'] .count").inner_text() == "300 of 300 models fit"
    first = names(shown)
    assert len(first) == 100
    shown.locator(".dt-paging-button.next").click()
    second = names(shown)
    assert len(second) == 100
    assert not set(first) & set(second)
    shown.locator("[data-controls='0']").get_by_label("Search").fill("Model s250")
    assert names(shown) == ["Model s250"], "found on a page that was not shown"
    shown.locator("[data-controls='0']").get_by_role("button", name="Clear").click()
    point = shown.locator("[data-scatter='0'] .point[aria-label*='Model s250\u2069']")
    point.focus()
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.textContent") == "Model s250"
    assert shown.locator(".dt-paging .current").inner_text() != "1"


def test_the_columns_that_matter_fit_the_screen(open_page):
    """At 1,300 pixels all; at 420 name, accuracies and the leading score."""
    for width, wanted in ((1300, range(8)), (420, (1, TEST, TEST + 1, SCORE))):
        shown = open_page(viewport={"width": width, "height": 900})
        for index in wanted:
            box = head(shown, index).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width, (width, index)


def test_theme(open_page):
    shown = open_page(color_scheme="light")

    def background() -> int:
        colour = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    light = background()
    shown.get_by_role("button", name="Dark theme").click()
    assert background() < light / 3
    shown.get_by_role("button", name="Light theme").click()
    assert background() == light
    dark = open_page(color_scheme="dark")
    assert dark.get_by_role("button", name="Light theme").is_visible()


def test_without_javascript(open_page):
    shown = open_page(java_script_enabled=False)
    assert shown.locator("[data-table='0'] tbody tr").count() == 9
    assert shown.locator("[data-table='0'] tbody tr").first.is_visible()
    assert not shown.locator(".scatter").first.is_visible()
    assert not shown.locator("#theme").is_visible()
    shown.locator(".tracks a", has_text="mnist-reduced").click()
    assert shown.url.endswith("#mnist-reduced-v1")
    shown.locator("[data-table='0'] a", has_text="Model above").click()
    assert shown.locator("img").count() == 6
    assert shown.locator(".curves svg[role=img]").count() == 2
    shown.locator("summary", has_text="The curves in numbers").click()
    assert shown.locator("caption", has_text="ROAR").first.is_visible()
    shown.locator("header a").click()
    assert shown.url.endswith("index.html#digits-v1"), "and back to the table"


def test_an_address_with_a_broken_anchor_is_the_page(open_page):
    shown = open_page(anchor="#%")
    assert shown.locator("#theme").is_visible()


def of_entry(open_page, name: str, entry: str, **options) -> Page:
    shown = open_page(name, **options)
    shown.goto(shown.url.split("index.html")[0] + f"pages/digits/{entry}-v1.html")
    return shown


def test_curves_are_lines_of_their_own(open_page):
    shown = of_entry(open_page, "unknown", "new")
    roar = shown.locator(".curves figure").first
    assert roar.locator(".legend li").all_inner_texts() == [
        "Gradient × Input",
        "Gradient",
        "Edges <b>",
        "random order",
    ]
    paths = roar.locator("svg.chart .line")
    assert all(paths.evaluate_all("nodes => nodes.map(n => !n.getAttribute('d').includes('NaN'))"))
    strokes = paths.evaluate_all("nodes => nodes.map(n => getComputedStyle(n).stroke)")
    assert len(set(strokes)) == 4
    assert "none" not in strokes


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_an_entry_s_page(open_page, viewport, scheme):
    shown = of_entry(open_page, "board", "below", viewport=viewport, color_scheme=scheme)
    for summary in shown.locator("summary").all():
        summary.evaluate("node => { node.parentElement.open = true; }")
    found = Axe().run(shown)
    assert found.violations_count == 0, found.generate_report()
    assert shown.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page, viewport, scheme):
    shown = open_page(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    shown.locator("[data-controls='0']").get_by_label("without flags").check()
    for summary in shown.locator("summary").all():
        summary.evaluate("node => { node.parentElement.open = true; }")
    found = Axe().run(shown)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", ["board", "hostile"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_page_does_not_scroll_sideways(open_page, name, viewport):
    shown = open_page(name, viewport=viewport)
    for summary in shown.locator("summary").all():
        summary.evaluate("node => { node.parentElement.open = true; }")
    assert shown.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def is_harmless(shown: Page) -> None:
    for summary in shown.locator("summary").all():
        summary.evaluate("node => { node.parentElement.open = true; }")
    assert shown.evaluate("window.harmed") is None
    assert shown.locator("img[src='x']").count() == 0
    assert shown.locator("[onerror], [onmouseover], [onclick]").count() == 0
    assert shown.locator("a[href^='javascript'], a[href^='data:text']").count() == 0
    assert not set("\u202e\u202d\u200f") & set(shown.locator("main").inner_text())


def test_a_hostile_card_is_harmless(open_page):
    shown = open_page("hostile")
    for point in shown.locator(".point.submission").all():
        point.focus()  # its name is shown beside it
    is_harmless(shown)
    text = shown.locator("main").inner_text()
    assert "<script>window.harmed = true</script>" in text, "shown as it was written"
    assert "{{ 7 * 7 }}" in text
    rows = shown.locator("[data-table='0'] tbody tr")
    assert max(rows.evaluate_all("nodes => nodes.map(n => n.offsetHeight)")) < 200
    for name in ("script", "attribute", "template", "direction", "long", "quote", "data"):
        is_harmless(of_entry(open_page, "hostile", name))


def test_scores_that_no_code_names_are_sorted_and_drawn(open_page):
    shown = open_page("unknown")
    choose(shown, "sparsity (lower is better)")
    head(shown, SCORE).click()
    is_sorted(head(shown, SCORE), "descending")
    values = column(shown, SCORE)
    assert len(values) == 7
    assert values == sorted(values, reverse=True)
    scatter = shown.locator("[data-scatter='0']")
    assert "↓ sparsity (lower is better)" in scatter.locator(".plot").inner_text()
    choose(shown, "ROAR E (higher is better)")
    assert "ROAR E (higher is better)" in scatter.locator(".plot").inner_text()
    assert scatter.locator(".point").count() == 7


def test_a_hostile_title_is_harmless(open_page):
    shown = open_page("hostile titles")
    choice, scatter = shown.locator("[data-choice='0']"), shown.locator("[data-scatter='0']")
    for index in range(choice.locator("[data-axis=y] option").count()):
        choice.locator("[data-axis=y]").select_option(index=index)
        for point in scatter.locator(".point").all():
            point.focus()
    is_harmless(shown)
    assert "<script>window.harmed = true</script>" in shown.locator("main").inner_text()
    assert shown.evaluate("document.documentElement.scrollWidth") <= WIDE["width"]
