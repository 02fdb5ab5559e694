"""Checks the links of a built site: `python docs/site/links.py build/docs`.

A link within the site must lead to a file of it, and its fragment to an element there. Of links to
other sites the form alone is checked. Scripts, styles, fonts and images must be the site's own.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

CSS_ADDRESS = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")

WEB_ADDRESS = re.compile(r"https?://[\w-]+(\.[\w-]+)+(:\d+)?([/?#]\S*)?")


class Page(HTMLParser):
    """What a page links to and can be linked to by.

    Attributes:
        links: Addresses that a reader may go to.
        resources: Addresses that a browser loads by itself.
        anchors: The elements' names.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.anchors: set[str] = set()
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collects an element's name and addresses."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self._in_style = tag == "style"
        goes_to = "action" if tag == "form" else "href"
        if tag in ("a", "area", "form", "use") and goes_to in values:
            self.links.append(values[goes_to])
        elif tag == "link" and "href" in values:
            kind = self.links if values.get("rel") in NAVIGATION else self.resources
            kind.append(values["href"])
        self.resources += [values[name] for name in ("src", "data", "poster") if name in values]
        for part in filter(None, values.get("srcset", "").split(",")):
            self.resources.append(part.split()[0])
        self.resources += CSS_ADDRESS.findall(values.get("style", ""))

    def handle_data(self, data: str) -> None:
        """Collects the addresses of a style sheet within the page."""
        if self._in_style:
            self.resources += CSS_ADDRESS.findall(data)

    def handle_endtag(self, tag: str) -> None:
        """Ends a style sheet."""
        self._in_style = False


NAVIGATION = ("author", "index", "search", "next", "prev", "canonical")
"""Kinds of `<link>` that a browser does not load."""


def problems(site: Path) -> Iterator[str]:
    """What is wrong with a site's links, a line each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    resources = {path: page.resources for path, page in pages.items()}
    for path in sorted(site.rglob("*.css")):
        resources[path] = CSS_ADDRESS.findall(path.read_text(encoding="utf-8"))
    for path, page in pages.items():
        for address in dict.fromkeys(page.links):
            if wrong := _outside(address) or _within(address, path, site, pages):
                yield f"{path.relative_to(site)}: {wrong}: {address}"
    for path, addresses in resources.items():
        for address in dict.fromkeys(addresses):
            wrong = "loaded from elsewhere" if _leaves(address) else None
            if wrong := wrong or _within(address, path, site, pages):
                yield f"{path.relative_to(site)}: {wrong}: {address}"


def _leaves(address: str) -> bool:
    """Whether an address is one of another site."""
    return bool(re.match(r"//|(?!data:)[a-zA-Z][a-zA-Z0-9+.-]*:", address))


def _outside(address: str) -> str | None:
    """What is wrong with the form of a link to another site."""
    if _leaves(address) and not WEB_ADDRESS.fullmatch(address):
        return "not an address of the web"
    return None


def _within(address: str, origin: Path, site: Path, pages: dict[Path, Page]) -> str | None:
    """What is wrong with an address, if it is one of this site."""
    if _leaves(address) or address.startswith("data:"):
        return None
    parts = urlsplit(address)
    target = (origin.parent / unquote(parts.path)).resolve() if parts.path else origin
    if not (target.is_file() and target.is_relative_to(site)):
        return "leads nowhere"
    if target in pages and unquote(parts.fragment) not in {"", *pages[target].anchors}:
        return "no such place on that page"
    return None


def main(site: str) -> int:
    """Prints what is wrong; returns the exit status."""
    found = list(problems(Path(site).resolve()))
    print("\n".join([*found, f"{len(found)} wrong links in {site}"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
