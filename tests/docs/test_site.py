"""The documentation's site, built by the lines of `make docs` without running the notebooks."""

import contextlib
import functools
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, expect, sync_playwright
from sphinx.util.inventory import InventoryFile

import pellucid
from pellucid import attacks, metrics
from pellucid.benchmark.cli.app import app
from pellucid.benchmark.units.configuration import RunConfig
from tests.conftest import ROOT
from tests.leaderboard.test_browser import ARGUMENTS, NAMES, NARROW, WIDE

CHECK = [sys.executable, ROOT / "docs" / "site" / "links.py"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Built without a warning, and without a link that leads nowhere."""
    folder = tmp_path_factory.mktemp("build")
    target = re.search(r"^docs:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert target
    lines = target[1].replace("$(BIN)/python", sys.executable).replace("build/", f"{folder}/")
    done = subprocess.run(
        ["bash", "-ec", lines],
        cwd=ROOT,
        env=os.environ | {"DOCS_EXECUTE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert done.stdout.splitlines()[-1].startswith("0 wrong links")
    return folder / "docs"


@functools.cache
def page(site: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((site / f"{name}.html").read_text(), "html.parser")


def entries(site: Path) -> dict[str, str]:
    """The address of every Python name that the reference has."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {
        name: item.uri
        for kind, items in inventory.data.items()
        if kind.startswith("py:")
        for name, item in items.items()
    }


def test_every_public_name_has_an_entry_with_its_docstring(site):
    found = entries(site)
    public = {f"pellucid.{name}": getattr(pellucid, name) for name in pellucid.__all__}
    public |= {
        f"pellucid.callbacks.{name}": getattr(pellucid.callbacks, name)
        for name in pellucid.callbacks.__all__
    }
    public |= {f"{(f := attacks.get(name)).__module__}.{name}": f for name in attacks.ATTACKS}
    assert public.keys() <= found.keys(), "list it in docs/reference/python.md"
    for name, value in public.items():
        if callable(value):
            path, anchor = found[name].split("#")
            entry = page(site, path.removesuffix(".html")).find(id=anchor).parent
            first = re.sub(r"[`*\s]+", "", inspect.getdoc(value).split("\n\n")[0])
            assert first in re.sub(r"[`*\s]+", "", entry.get_text()), name
    shown = page(site, "reference/attacks").get_text()
    assert all(name in shown for name in metrics.ATTRIBUTIONS)


def test_every_option_of_every_command_is_listed(site):
    reference = page(site, "reference/commands")
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for name, command in group.commands.items():
        section = reference.find("section", id=f"pellucid-{name}")
        assert section, name
        for parameter in command.params:
            text = section.get_text()
            for spelling in (*parameter.opts, *parameter.secondary_opts):
                written = spelling if spelling.startswith("-") else parameter.metavar
                assert written in text, f"{name}: {spelling}"


def test_every_key_of_a_configuration_is_listed_with_its_meaning(site):
    tables = {
        section["id"]: {
            row.td.get_text(): row.find_all("td")[-1].get_text()
            for row in section.find("tbody").find_all("tr")
        }
        for section in page(site, "reference/configuration").select("section section")
    }
    fields = RunConfig.model_fields
    assert tables["retraining"].keys() > {"attributions", "modes", "fractions", "repeats"}
    assert tables["grid"].keys() == {"norm", "epsilons", "losses", "measures"}
    assert tables.keys() - {"top-level"} | tables["top-level"].keys() == {
        name if name in tables["top-level"] else name.replace("_", "-") for name in fields
    }
    for section, table in tables.items():
        assert all(table.values()), section


def test_every_notebook_is_a_page_of_the_navigation(site):
    listed = {link.get("href") for link in page(site, "index").select(".sidebar-tree a")}
    names = {path.stem for path in (ROOT / "docs" / "notebooks").glob("*.py")}
    assert {f"notebooks/{name}.html" for name in names} <= listed
    assert "leaderboard/index.html" in listed


def test_the_lines_of_the_first_page_run():
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "index.md").read_text(), re.S)
    assert program.count("[:200]") == 2
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(program.replace("[:200]", "[:20]") + "print(maps.shape)", {})
    printed = (ROOT / "docs" / "index.md").read_text().split("```\n")
    table = next(block for block in printed if block.startswith("robust accuracy"))
    first_cells = [line.split("  ")[0] for line in table.splitlines()]
    assert [line.split("  ")[0] for line in out.getvalue().splitlines()] == [
        *first_cells,
        "(20, 8, 8)",
    ]


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail("There is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


PAGES = ["index", "reference/python", "reference/commands", "performance", "results/paper"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages_load_nothing_from_elsewhere_and_fit_the_window(site, browser, viewport, scheme):
    asked, said = [], []
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    shown = context.new_page()
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    for name in PAGES:
        shown.goto((site / f"{name}.html").as_uri())
        width = shown.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], name
    context.close()
    assert said == []
    assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()


def test_a_reader_gets_to_the_board_and_back_and_finds_a_function(site, browser: Browser):
    shown = browser.new_context(viewport=WIDE).new_page()
    shown.goto((site / "reference" / "python.html").as_uri())
    shown.get_by_role("link", name="Leaderboard", exact=True).click()
    expect(shown.locator("[data-table='0'] tbody tr").first).to_be_visible()
    shown.get_by_role("link", name="How to submit a model").click()
    expect(shown.get_by_role("heading", name="Submitting a model")).to_be_visible()
    shown.get_by_role("textbox", name="Search").fill("input_gradient")
    shown.keyboard.press("Enter")
    shown.get_by_role("link", name="pellucid.input_gradient").click()
    expect(shown.locator("[id='pellucid.input_gradient']")).to_be_in_viewport()


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ('<a href="no.html">a</a>', "index.html: leads nowhere: no.html"),
        ('<img src="no.png">', "index.html: leads nowhere: no.png"),
        ('<a href="other.html#no">a</a>', "index.html: no such place on that page: other.html#no"),
        ('<a href="#no">a</a>', "index.html: no such place on that page: #no"),
        ('<a href="../outside.html">a</a>', "index.html: leads nowhere: ../outside.html"),
        ('<a href="https//a.org">a</a>', "index.html: leads nowhere: https//a.org"),
        ('<a href="https://a org/">a</a>', "index.html: not an address of the web: https://a org/"),
        ('<a href="javascript:x()">a</a>', "index.html: not an address of the web: javascript:x()"),
        ('<script src="//a.org/x.js"></script>', "index.html: loaded from elsewhere: //a.org/x.js"),
        (
            '<link rel="stylesheet" href="https://a.org/x.css">',
            "index.html: loaded from elsewhere: https://a.org/x.css",
        ),
        (
            "<style>@import 'https://a.org/x.css';</style>",
            "index.html: loaded from elsewhere: https://a.org/x.css",
        ),
        (
            '<img srcset="other.html 1x, https://a.org/x.png 2x">',
            "index.html: loaded from elsewhere: https://a.org/x.png",
        ),
    ],
)
def test_the_check_finds_a_wrong_link(tmp_path, changed, found):
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "outside.html").write_text("")
    (site / "other.html").write_text('<h1 id="there">Other</h1>')
    good = '<a href="other.html#there">a</a><a href="https://a.org/b?c=d#e">b</a><a href="#">c</a>'
    (site / "style.css").write_text("@font-face { src: url(data:,x) } body { margin: 0 }")
    (site / "index.html").write_text(good + '<link rel="stylesheet" href="style.css">')
    assert subprocess.run([*CHECK, site], check=False).returncode == 0
    (site / "index.html").write_text(good + changed)
    done = subprocess.run([*CHECK, site], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, found)


def test_the_check_reads_style_sheets(tmp_path):
    (tmp_path / "style.css").write_text("body { background: url('//a.org/x.png') }")
    done = subprocess.run([*CHECK, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "style.css: loaded from elsewhere: //a.org/x.png" in done.stdout
