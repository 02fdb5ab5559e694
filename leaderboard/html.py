"""The leaderboard as HTML files that load nothing; the same entries give the same bytes.

`page` is the board's, with its style, its scripts and four vendored libraries inside. `entry_page`
is one entry's, without scripts; it follows from that entry alone, so adding another leaves it as it
is. Text from submitters is escaped where it is inserted (HTML by Jinja, JSON by `_json`), loses its
control characters, and is isolated from the text around it, so its direction cannot reorder the
page. A Content-Security-Policy admits the page's scripts by their hashes and nothing else. Without
JavaScript the first rows of every table are there, with their entries' pages.
"""

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pellucid.leaderboard import charts
from pellucid.leaderboard.entry import Entry
from pellucid.leaderboard.html_entry import shown_entry
from pellucid.leaderboard.html_table import blank, shown_table
from pellucid.leaderboard.retractions import Retraction
from pellucid.leaderboard.table import Table

FOLDER = Path(__file__).parent / "templates"
LIBRARIES = ("jquery.min.js", "dataTables.min.js", "d3.min.js", "plot.umd.min.js")
SCRIPTS = ("scatter.js", "board.js")


def _inlined(name: str) -> str:
    """A script's text, safe within `<script>`.

    It neither ends the element nor starts a comment, and has no carriage return.
    """
    text = (FOLDER / name).read_text(encoding="utf-8").replace("\r\n", "\n").strip()
    return re.sub(r"<(?=/script|!--)", r"\\x3c", text, flags=re.IGNORECASE)


@cache
def _scripts() -> list[str]:
    return [_inlined(name) for name in (*(f"vendor/{name}" for name in LIBRARIES), *SCRIPTS)]


def _policy(scripts: list[str]) -> str:
    """The Content-Security-Policy: nothing but these scripts, inline styles and inline pictures."""
    digests = (hashlib.sha256(text.encode()).digest() for text in scripts)
    sources = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    sources = sources or "'none'"
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    """The templates. They escape everything inserted."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(chart=charts)
    return environment


@cache
def _style() -> Markup:
    return Markup((FOLDER / "style.css").read_text(encoding="utf-8").strip())


def _json(value: object) -> Markup:
    """JSON for a `<script>` element: ASCII, without characters that have a meaning in HTML."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def page(
    tables: list[Table],
    links: dict[str, str] | None = None,
    retracted: list[Retraction] | None = None,
) -> str:
    """The board's page: what each track found, and a table for each group of comparable entries.

    Args:
        tables: The tables.
        links: Addresses at the head of the page, by their text; see `links`.
        retracted: Submissions that were removed, to be listed with the reasons.
    """
    ids: set[str] = {
        "top",
        "found",
        "reading",
        "main",
        "data",
        "theme",
        "row",
        "earlier",
        "retracted",
    }
    newest: dict[str, int] = {}
    for table in tables:
        name, version = table.track.name, table.track.protocol_version
        newest[name] = max(version, newest.get(name, version))
    shown = [
        shown_table(t, ids, latest=t.track.protocol_version == newest[t.track.name]) for t in tables
    ]
    shown.sort(key=lambda table: not table.latest)
    text = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            tables=shown,
            links=links or {},
            retracted=retracted or [],
            blank=blank(),
            data=_json([table.data for table in shown]),
            scripts=[Markup(text) for text in _scripts()],
            style=_style(),
            policy=_policy(_scripts()),
        )
    )
    return text.strip() + "\n"


def entry_page(entry: Entry) -> str:
    """An entry's page."""
    text = (
        _environment()
        .get_template("entry.html.jinja")
        .render(it=shown_entry(entry), style=_style(), policy=_policy([]))
    )
    return text.strip() + "\n"
