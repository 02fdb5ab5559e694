"""The page as a reader has it: headless Chromium, no network."""

import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect, sync_playwright

from robust_interpretability.leaderboard.html import page as page_of
from robust_interpretability.leaderboard.tradeoff import Standings
from tests.leaderboard.many import HARM, board, hostile, unknown

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
        "hostile": hostile(),
        "unknown": unknown(),
        "hostile titles": unknown(f"<script>{HARM}</script>", f"\"><img src=x onerror='{HARM}'>"),
    }
    for name, entries in boards.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(page_of(entries), encoding="utf-8")
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
        f"[data-table='{table}'] tbody tr[data-role] th a:visible"
    ).all_inner_texts()


def column(shown: Page, index: int) -> list[float | None]:
    cells = shown.locator(f"[data-table='0'] tbody tr > :nth-child({index + 1})")
    return [
        float(v) if v else None
        for v in cells.evaluate_all("cells => cells.map(c => c.dataset.order)")
    ]


def is_sorted(head: Locator, order: str) -> None:
    """Waits: DataTables sorts after the click has been answered."""
    expect(head).to_have_attribute("aria-sort", order)


def test_sorts_by_numbers_with_missing_ones_last(open_page):
    shown = open_page()
    head = shown.locator("[data-table='0'] th[data-says='ROAR GX']")
    head.click()
    is_sorted(head, "descending")
    values = column(shown, 6)
    present = [v for v in values if v is not None]
    assert present == sorted(present, reverse=True)
    assert values[len(present) :] == [None]
    head.click()
    is_sorted(head, "ascending")
    values = column(shown, 6)
    assert values[:-1] == sorted(present)
    assert values[-1] is None


def test_sorts_by_keyboard_alone(open_page):
    shown = open_page()
    head = shown.locator("[data-table='0'] th[data-says='Test accuracy']")
    head.locator("[role=button]").focus()
    shown.keyboard.press("Enter")
    is_sorted(head, "descending")
    values = column(shown, 4)
    assert values == sorted(values, reverse=True)
    assert values[0] != values[-1]


def test_searches_and_filters(open_page):
    shown = open_page()
    controls = shown.locator("[data-controls='0']")
    count = controls.locator("[role=status]")
    assert len(names(shown)) == 9
    controls.get_by_label("Search").fill("plain")
    assert names(shown) == ["Model plain"]
    assert count.inner_text() == "1 of 9 models shown"
    controls.get_by_role("button", name="Clear").click()
    controls.get_by_label("Role").select_option("submission")
    assert sorted(names(shown)) == ["Model above", "Model below", "Model plain"]
    controls.get_by_label("without flags").check()
    assert sorted(names(shown)) == ["Model above", "Model plain"]
    controls.get_by_label("Adversary").select_option("none")
    assert names(shown) == ["Model plain"]
    controls.get_by_role("button", name="Clear").click()
    controls.get_by_label("Pareto in some score").check()
    assert 0 < len(names(shown)) < 9
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
    row = shown.locator("[data-table='0'] tr", has_text="Model above")
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
    assert shown.evaluate("location.hash").startswith("#digits-v1-"), (
        "from the row to the entry's section"
    )


def test_another_score_is_drawn(open_page):
    shown = open_page()
    scatter = shown.locator("[data-scatter='0']")
    before = scatter.locator(".point").evaluate_all(
        "nodes => nodes.map(n => n.getAttribute('transform') || n.getAttribute('d'))"
    )
    scatter.locator("[data-axis=y]").select_option(label="manifold excess (xent) (lower is better)")
    assert "lower is better" in scatter.locator(".plot").inner_text()
    after = scatter.locator(".point").evaluate_all(
        "nodes => nodes.map(n => n.getAttribute('transform') || n.getAttribute('d'))"
    )
    assert before != after
    assert len(after) == 7, "the models that have the score"
    fitted = Standings().fit(board()[:6], "manifold_xent_excess_over_noise")
    explained = f"(through 6 networks, explains {fitted.r_squared:.0%} of their variance)".replace(
        "%", " percent"
    )
    assert explained in scatter.locator(".legend").inner_text()
    scatter.locator("[data-axis=x]").select_option("robust")
    assert "robust accuracy" in scatter.locator(".plot").inner_text()


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
    article = shown.locator("article", has_text="Model above")
    assert article.locator("img").count() == 3
    article.locator("summary", has_text="Retraining curves in numbers").click()
    assert article.locator("caption", has_text="ROAR").first.is_visible()


def test_curves_are_drawn_when_they_come_into_view(open_page):
    shown = open_page()
    article = shown.locator("article", has_text="Model above")
    article.locator(".curves").scroll_into_view_if_needed()
    article.locator(".curves svg[role=img]").first.wait_for()
    assert article.locator(".curves svg[role=img]").count() == 2
    paths = article.locator(".curves svg[role=img] path[stroke]").evaluate_all(
        "nodes => nodes.map(n => n.getAttribute('d'))"
    )
    assert all(path and "NaN" not in path for path in paths)


def test_a_link_opens_a_collapsed_section(open_page):
    shown = open_page(anchor="#digits-v1-reference-0")
    assert shown.locator("#digits-v1-reference-0 details").first.evaluate("node => node.open")


def test_an_address_with_a_broken_anchor_is_the_page(open_page):
    shown = open_page(anchor="#%")
    assert shown.locator("#theme").is_visible()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page, viewport, scheme):
    shown = open_page(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    shown.locator("[data-controls='0']").get_by_label("without flags").check()
    for summary in shown.locator("summary").all():
        summary.evaluate("node => { node.parentElement.open = true; }")
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    found = Axe().run(shown)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", ["board", "hostile"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_page_does_not_scroll_sideways(open_page, name, viewport):
    shown = open_page(name, viewport=viewport)
    for summary in shown.locator("summary").all():
        summary.evaluate("node => { node.parentElement.open = true; }")
    assert shown.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_a_hostile_card_is_harmless(open_page):
    shown = open_page("hostile")
    for summary in shown.locator("summary").all():
        summary.evaluate("node => { node.parentElement.open = true; }")
    for point in shown.locator(".point.submission").all():
        point.focus()  # its name is shown beside it
    assert shown.evaluate("window.harmed") is None
    assert shown.locator("img[src='x']").count() == 0
    assert shown.locator("[onerror], [onmouseover], [onclick]").count() == 0
    assert shown.locator("a[href^='javascript'], a[href^='data:text']").count() == 0
    text = shown.locator("main").inner_text()
    assert "<script>window.harmed = true</script>" in text, "shown as it was written"
    assert "{{ 7 * 7 }}" in text
    assert not set("\u202e\u202d\u200f") & set(text)
    rows = shown.locator("[data-table='0'] tbody tr")
    assert max(rows.evaluate_all("nodes => nodes.map(n => n.offsetHeight)")) < 200


def test_scores_that_no_code_names_are_sorted_drawn_and_compared(open_page):
    shown = open_page("unknown")
    head = shown.locator("[data-table='0'] th[data-says='sparsity']")
    head.click()
    is_sorted(head, "descending")
    index = head.evaluate("node => node.cellIndex") + 4  # the second row begins at test accuracy
    values = column(shown, index)
    assert len(values) == 7
    assert values == sorted(values, reverse=True)
    scatter = shown.locator("[data-scatter='0']")
    scatter.locator("[data-axis=y]").select_option(label="ROAR E (higher is better)")
    assert "ROAR E (higher is better)" in scatter.locator(".plot").inner_text()
    assert scatter.locator(".point").count() == 7
    scatter.locator("[data-axis=y]").select_option(label="sparsity (lower is better)")
    assert "↓ sparsity (lower is better)" in scatter.locator(".plot").inner_text()
    article = shown.locator("article", has_text="Model new")
    article.locator(".curves").scroll_into_view_if_needed()
    article.locator(".curves svg[role=img]").first.wait_for()
    roar = article.locator(".curves figure").first
    assert roar.locator(".legend li").all_inner_texts() == [
        "Gradient × Input",
        "Gradient",
        "Edges <b>",
        "random order",
    ]
    strokes = roar.locator(".legend path").evaluate_all(
        "nodes => nodes.map(n => n.getAttribute('stroke'))"
    )
    assert len(set(strokes)) == 4
    assert None not in strokes


def test_a_hostile_title_is_harmless(open_page):
    shown = open_page("hostile titles")
    scatter = shown.locator("[data-scatter='0']")
    for index in range(scatter.locator("[data-axis=y] option").count()):
        scatter.locator("[data-axis=y]").select_option(index=index)
        for point in scatter.locator(".point").all():
            point.focus()
    for summary in shown.locator("summary").all():
        summary.evaluate("node => { node.parentElement.open = true; }")
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown.evaluate("window.harmed") is None
    assert shown.locator("img[src='x'], [onerror]").count() == 0
    assert "<script>window.harmed = true</script>" in shown.locator("main").inner_text()
    assert shown.evaluate("document.documentElement.scrollWidth") <= WIDE["width"]
