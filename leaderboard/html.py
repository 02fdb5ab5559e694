"""The leaderboard as one HTML file that loads nothing; the same entries give the same bytes.

The file holds the page's style and scripts and four vendored libraries. Text from submitters is
escaped where it is inserted (HTML by Jinja, JSON by `_json`), loses its control characters, and is
isolated from the text around it, so its direction cannot reorder the page. A
Content-Security-Policy admits the page's scripts by their hashes and nothing else. Without
JavaScript every table, number and picture is there.
"""

import base64
import bisect
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from robust_interpretability.leaderboard.entry import Entry, place
from robust_interpretability.leaderboard.fit import FEWEST
from robust_interpretability.leaderboard.html_entry import MISSING, number
from robust_interpretability.leaderboard.html_table import shown_table
from robust_interpretability.leaderboard.tradeoff import Standings, tables

FOLDER = Path(__file__).parent / "templates"
LIBRARIES = ("jquery.min.js", "dataTables.min.js", "d3.min.js", "plot.umd.min.js")
SCRIPTS = ("scatter.js", "board.js")
MAX_BYTES = 2_000_000
"""Of the page. A larger board shows some entries without attacks, pictures and curves."""


def _inlined(name: str) -> str:
    """A script's text, safe within `<script>`.

    It neither ends the element nor starts a comment, and has no carriage return.
    """
    text = (FOLDER / name).read_text(encoding="utf-8").replace("\r\n", "\n").strip()
    return re.sub(r"<(?=/script|!--)", r"\\x3c", text, flags=re.IGNORECASE)


@cache
def _scripts() -> list[str]:
    return [_inlined(name) for name in (*(f"vendor/{name}" for name in LIBRARIES), *SCRIPTS)]


@cache
def _policy() -> str:
    """The Content-Security-Policy: nothing but the page's scripts, its style and its pictures."""
    digests = (hashlib.sha256(text.encode()).digest() for text in _scripts())
    sources = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


@cache
def _template() -> Template:
    """The page's template. It escapes everything inserted."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(number=number, missing=MISSING, fewest=FEWEST)
    return environment.get_template("page.html.jinja")


def _json(value: object) -> Markup:
    """JSON for a `<script>` element: ASCII, without characters that have a meaning in HTML."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def _page(board: list[list[Entry]], found: Standings, brief: set[str]) -> str:
    ids: set[str] = {"top", "question", "reading", "main", "data"}
    pictures: dict[str, str] = {}
    shown = [shown_table(rows, found, ids, pictures, brief) for rows in board]
    curves = {row.id: row.curves for table in shown for row in table.rows if row.curves}
    text = _template().render(
        tables=shown,
        pictures=pictures,
        data=_json({"tables": [table.data for table in shown], "curves": curves}),
        compared=sum(table.compared for table in shown),
        scripts=[Markup(text) for text in _scripts()],
        style=Markup((FOLDER / "style.css").read_text(encoding="utf-8").strip()),
        policy=_policy(),
    )
    return text.strip() + "\n"


def page(entries: list[Entry], found: Standings | None = None) -> str:
    """The leaderboard as one HTML file of less than `MAX_BYTES`.

    Attacks, pictures and curves are left out of as few entries as that needs: of reference networks
    first, from the end of the last table.

    Args:
        entries: All entries; each group of comparable ones gets a table.
        found: How they stand.
    """
    board, found = tables(entries), found or Standings()
    order = sorted(
        (e for rows in reversed(board) for e in reversed(rows)),
        key=lambda e: e.role == "submission",
    )

    def shortened(count: int) -> str:
        return _page(board, found, {place(e) for e in order[:count]})

    def fits(count: int) -> bool:
        return len(shortened(count).encode()) < MAX_BYTES

    return shortened(0 if fits(0) else bisect.bisect_left(range(len(order)), True, key=fits))
