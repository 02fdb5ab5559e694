"""The page as text: one small, reproducible, escaped file with everything of every entry."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from robust_interpretability.leaderboard.html import FOLDER, page
from robust_interpretability.leaderboard.html_entry import number
from robust_interpretability.leaderboard.tradeoff import Standings
from tests.leaderboard.made import evidence, grid, made, track
from tests.leaderboard.many import HARM, board, hostile, large, unknown

PLACED = Standings(evidence(board(), noise=0.01))
"""As of a grid that was trained from three seeds."""


class Parsed(HTMLParser):
    """Elements with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self.inside = None

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    return page(board(), PLACED)


def test_one_file_under_two_megabytes():
    whole = page(large())
    assert len(whole.encode()) < 2_000_000
    assert whole.count("<img") == 60 * 3
    assert "too large" not in whole


def test_a_large_board_keeps_its_numbers_and_leaves_out_details_of_as_few_references_as_possible():
    shortened = page(large(11))
    assert 1_950_000 < len(shortened.encode()) < 2_000_000
    assert (
        0
        < shortened.count("too large to show them")
        < sum(entry.role == "reference" for entry in large(11))
    )
    assert shortened.count("<article") == shortened.count('<tr id="row') == 11 * 15
    assert shortened.count("<img") == (11 * 15 - shortened.count("too large to show them")) * 3
    assert "too large" not in "".join(
        re.findall(r'<article[^>]*-s\d".*?</article>', shortened, re.DOTALL)
    ), "of submissions"


def test_the_same_entries_give_the_same_bytes(text):
    assert page(list(reversed(board())), PLACED) == text


def test_nothing_is_loaded_from_anywhere(text):
    parsed = Parsed(text)
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "background"):
            value = attributes.get(name)
            if value is not None and not value.startswith(("#", "data:")):
                assert (tag, name, value) == ("a", "href", "https://example.org/x")
                assert attributes["rel"] == "nofollow noopener noreferrer"
    assert not re.search(
        r"@import|url\((?!data:|#)", "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    )


def test_the_policy_admits_the_page_s_own_scripts_alone(text):
    (policy,) = [
        a["content"]
        for a in Parsed(text).all("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    admitted = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert {
        base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts
    } == admitted
    assert len(admitted) == 6
    assert "unsafe-eval" not in policy


def test_every_entry_has_a_row_and_a_section(text):
    parsed = Parsed(text)
    articles = {a["id"] for a in parsed.all("article")}
    assert len(articles) == len(board())
    links = {a["href"][1:] for a in parsed.all("a") if a["href"].startswith("#")}
    assert articles <= links
    identifiers = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers)), "an id names one element"
    assert links - {"main"} <= set(identifiers)


def test_numbers_are_those_of_the_entries(text):
    own = PLACED.of([e for e in board() if e.track.name == "digits"], "roar_gradient_input")
    for form in (
        f"{own['above'].advantage:+.3f}",
        f"[{own['above'].low:+.3f}, {own['above'].high:+.3f}]",
        "0.950",
    ):
        assert form.replace("-", "\N{MINUS SIGN}") in text


def test_zero_has_no_sign():
    assert [number(v, "+.3f") for v in (-0.0004, 0.0, -0.0005001, 0.1)] == [
        "0.000",
        "0.000",
        "−0.001",
        "+0.100",
    ]


def test_the_question_is_answered_in_words(text):
    assert "1 of 2 submissions does." in text
    assert "Cannot be answered: a reference line needs at least 4 networks" in text
    assert "No submission has been measured yet." in page(grid())
    assert "No model has been measured yet." in page([])
    rows = [*grid(), made("a", 0.95, -0.3), made("b", 0.95, -0.3)]
    assert "None of the 2 submissions does." in page(rows, Standings(evidence(rows, noise=0.01)))
    assert "Cannot be answered: its networks were not trained from 3 seeds or more." in page(rows)


def test_protocol_versions_never_share_a_table():
    text = page([*board(), made("later", 0.9, 0.1, on=track(protocol=2))])
    tables = re.findall(r"<table class=\"board\".*?</table>", text, re.DOTALL)
    assert len(tables) == 3
    assert ["later" in one for one in tables].count(True) == 1
    assert [one.count("<tr id=") for one in tables if "later" in one] == [1]


def test_the_scripts_data_parse_back(text):
    (data,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL
    )
    found = json.loads(data)
    assert [len(table["points"]) for table in found["tables"]] == [9, 4]
    assert not set("<>&") & set(data)


def test_what_harms_is_escaped():
    text = page(hostile())
    parsed = Parsed(text)
    assert not [a for tag, a in parsed.elements if any(name.startswith("on") for name in a)]
    assert {a["src"][:21] for a in parsed.all("img")} == {"data:image/png;base64"}
    assert len(parsed.all("script")) == len(Parsed(page(board())).all("script"))
    assert not any(HARM in script for script in parsed.scripts[1:])
    assert "49" not in re.findall(r"<bdi>(\S+) \{% raw", text)
    assert not [
        a
        for a in parsed.all("a")
        if not (
            a["href"].startswith("#")
            or a["href"] == "https://example.org/x"
            or a["href"].startswith('https://example.org/"')
        )
    ]
    for mark in "\u202e\u202d\u2028\u200f":
        assert mark not in text
    assert len(text.encode()) < 1_200_000, "a long name is cut"


def test_vendored_files_are_the_ones_named():
    rows = re.findall(
        r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$",
        (FOLDER / "vendor" / "README.md").read_text(),
        re.MULTILINE,
    )
    files = {p.name for p in (FOLDER / "vendor").iterdir() if p.suffix in (".js", ".css")}
    assert {name for name, _ in rows} == files
    for name, digest in rows:
        assert hashlib.sha256((FOLDER / "vendor" / name).read_bytes()).hexdigest() == digest


def test_scores_that_no_code_names_are_shown():
    text = page(unknown(), Standings(evidence(unknown(), noise=0.01)))
    assert re.search(r'class="group"[^>]*>ROAR E <span class="quiet">higher is better', text)
    assert re.search(r'class="group"[^>]*>sparsity <span class="quiet">lower is better', text)
    assert "beats the trade-off in ROAR E" in text
    article = re.search(r'<article[^>]*id="digits-v1-new".*?</article>', text, re.DOTALL)[0]
    for row in ("ROAR E", "density", "untitled detail"):
        assert f'<th scope="row">{row}</th>' in article
    assert "zeroth order, logit" in article
    assert "Edges &lt;b&gt;" in article
    (data,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    described = json.loads(data)["tables"][0]["scores"]
    assert [(d["title"], d["better"]) for d in described][-2:] == [("ROAR E", 1), ("sparsity", -1)]


def test_a_hostile_title_is_escaped():
    text = page(unknown(f"<script>{HARM}</script>", f"\"><img src=x onerror='{HARM}'>"))
    parsed = Parsed(text)
    assert len(parsed.all("script")) == len(Parsed(page(unknown())).all("script"))
    assert not [a for _, a in parsed.elements if any(name.startswith("on") for name in a)]
    assert {a["src"][:21] for a in parsed.all("img")} == {"data:image/png;base64"}
    assert "&lt;script&gt;window.harmed = true&lt;/script&gt;" in text


def test_a_title_that_validation_would_refuse_is_printable_and_cut():
    *others, last = unknown()
    forged = last.scores["roar_edges"].model_copy(update={"title": "\u202e" + "W" * 5_000})
    forged = last.model_copy(update={"scores": last.scores | {"roar_edges": forged}})
    shown = page([*(e.model_copy(update={"scores": {}}) for e in others), forged])
    assert "\u202e" not in shown
    assert "W" * 58 + "…" in shown
    assert "W" * 59 not in shown
