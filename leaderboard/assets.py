"""What every page of the board holds: the template, the style, the scripts and the policy that admits them alone."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent / "page"
LIBRARIES = ("jquery.min.js", "dataTables.min.js", "d3.min.js", "plot.umd.min.js")
SCRIPTS = ("scatter.js", "board.js")


def _inlined(name: str) -> str:
    """A script's text, safe within `<script>`: no end of the element, no start of a comment, no carriage return."""
    text = (FOLDER / name).read_text(encoding="utf-8").replace("\r\n", "\n").strip()
    return re.sub(r"<(?=/script|!--)", r"\\x3c", text, flags=re.IGNORECASE)


@cache
def assets(**helpers: Any) -> dict[str, Any]:
    """`template` (Jinja, everything put into it escaped), `scripts`, `style` and `policy`.

    Args:
        **helpers: What the templates may use besides what they are rendered with.
    """
    scripts = [_inlined(f"vendor/{name}") for name in LIBRARIES] + [
        _inlined(name) for name in SCRIPTS
    ]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    own = " ".join(f"'sha256-{h}'" for h in hashes)
    policy = (
        f"default-src 'none'; script-src {own}; style-src 'unsafe-inline'; img-src data:; base-uri"
        " 'none'; form-action 'none'"
    )
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(helpers)
    style = (FOLDER / "style.css").read_text(encoding="utf-8").strip()
    return {
        "template": environment.get_template("page.html.jinja"),
        "scripts": [Markup(text) for text in scripts],
        "style": Markup(style),
        "policy": policy,
    }
