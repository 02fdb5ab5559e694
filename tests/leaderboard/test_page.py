"""The page as text: one small, reproducible, escaped file with everything of every entry."""

import base64
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.leaderboard import table
from pellucid.leaderboard.entry import Score, place
from pellucid.leaderboard.html import FOLDER, entry_page
from pellucid.leaderboard.html import page as page_of
from pellucid.leaderboard.html_entry import number
from pellucid.leaderboard.html_table import STATIC, _in_units, _sent, shown_table
from pellucid.leaderboard.table import Table
from pellucid.leaderboard.tradeoff import Standings
from pellucid.leaderboard.words import finding
from tests.leaderboard.made import evidence, grid, made, track
from tests.leaderboard.many import HARM, board, hostile, large, unknown

PLACED = Standings(evidence(board(), noise=0.01))
"""As of a grid that was trained from three seeds."""


def page(entries: list, placed: Standings | None = None) -> str:
    return page_of(table.of(entries, placed))


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


def test_of_a_large_board_every_model_is_in_the_data_and_the_first_are_rows():
    whole = page(large(11))
    assert len(whole.encode()) < 2_000_000
    data = json.loads(re.findall(r'id="data">(.*?)</script>', whole, re.DOTALL)[0])
    assert sum(len(table["points"]) for table in data) == 11 * 15
    assert whole.count('<tr id="') == 11 * 15
    many = [*grid(), *(made(f"s{i}", 0.9, 0.001 * i) for i in range(150))]
    whole = page(many)
    assert whole.count('<tr id="') == STATIC
    assert f"And {156 - STATIC} more models, in" in whole


def test_the_same_entries_give_the_same_bytes(text):
    assert page(list(reversed(board())), PLACED) == text


@pytest.mark.parametrize("of", [page, lambda entries: entry_page(entries[0])])
def test_nothing_is_loaded_from_anywhere(of):
    """Links lead to other pages of the board, or to addresses that a card names."""
    text = of(board())
    parsed = Parsed(text)
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "background"):
            value = attributes.get(name)
            if value is None or value.startswith(("#", "data:")) or not value:
                continue
            assert (tag, name) == ("a", "href")
            if value.startswith("https://example.org"):
                assert attributes["rel"] == "nofollow noopener noreferrer"
            elif value != "https://arxiv.org/abs/1903.11626":
                assert re.fullmatch(
                    r"leaderboard\.csv|pages/[\w.-]+/[\w.-]+\.html"
                    r"|\.\./\.\./index\.html#digits-v1",
                    value,
                )
    assert not re.search(
        r"@import|url\((?!data:|#)", "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    )


def test_the_page_of_an_entry_has_no_script():
    text = entry_page(board()[0])
    assert "<script" not in text
    (policy,) = [
        a["content"]
        for a in Parsed(text).all("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "script-src 'none'" in policy


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


def test_every_entry_has_a_row_and_a_link_to_its_page(text):
    parsed = Parsed(text)
    pages = [a["href"] for a in parsed.all("a") if a["href"].startswith("pages/")]
    assert sorted(pages) == sorted(f"pages/{place(e).removesuffix('.json')}.html" for e in board())
    identifiers = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers)), "an id names one element"
    links = {a["href"][1:] for a in parsed.all("a") if a["href"].startswith("#")}
    assert links <= set(identifiers)


def test_numbers_are_those_of_the_entries(text):
    own = PLACED.of([e for e in board() if e.track.name == "digits"], "roar_gradient_input")
    for form in (
        f"{own['above'].advantage:+.3f}",
        f"[{own['above'].low:+.3f}, {own['above'].high:+.3f}]",
        "0.950",
    ):
        assert form.replace("-", "\N{MINUS SIGN}") in text


COLUMNS = (
    "value",
    "below",
    "farther",
    "advantage",
    "advantage_below",
    "advantage_farther",
    "best",
    "worst",
    "bits",
)
"""What the page's scripts are sent of each entry in a score."""


def sent(data: dict, entry: str, score: str) -> dict[str, int | None]:
    """Of a table's data, those on an entry in a score, by its title."""
    place = [point[0] for point in data["points"]].index(entry)
    columns = next(one["columns"] for one in data["scores"] if one["title"] == score)
    return {name: column[place] for name, column in zip(COLUMNS, columns, strict=True)}


def test_the_scripts_are_sent_the_same_numbers(text):
    """As integers in a unit of each score."""
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])[0]
    rows = [e for e in board() if e.track.name == "digits"]
    assert len(data["points"]) == len(rows)
    unit = next(score["unit"] for score in data["scores"] if score["title"] == "ROAR GX")
    for entry in rows:
        test = next(point for point in data["points"] if point[0] == entry.id)[9]
        assert test[0] * data["unit"] == pytest.approx(entry.value("test_accuracy"), abs=5e-5)
        stated = entry.scores.get("roar_gradient_input")
        found = sent(data, entry.id, "ROAR GX")
        if stated is None:
            assert {found[name] for name in COLUMNS[:-1]} == {None}
            continue
        standing = PLACED.of(rows, "roar_gradient_input")[entry.id]
        for start, own, low, high in (
            ("value", stated.value, stated.low, stated.high),
            ("advantage", standing.advantage, standing.low, standing.high),
        ):
            at = COLUMNS.index(start)
            middle, below, farther = (found[name] for name in COLUMNS[at : at + 3])
            assert middle * unit == pytest.approx(own, abs=unit)
            assert (middle - below) * unit == pytest.approx(low, abs=unit)
            assert (middle + below + farther) * unit == pytest.approx(high, abs=unit)
        assert (found["best"], found["worst"]) == standing.ranks
        marks = standing.pareto, standing.beats, standing.extrapolated
        assert found["bits"] == sum(b * mark for b, mark in zip((1, 2, 4), marks, strict=True))


def test_a_score_is_sent_as_far_as_there_is_one():
    unit, known = 1e-3, {"value": 0.5, "n": 10, "seeds": 1}
    assert _sent(Score(low=0.4, high=0.602, **known), unit) == [500, 100, 2]
    assert _sent(Score(**known), unit) == [500, None, None]
    assert _sent(None, unit) == [None, None, None]


@given(st.floats(-20, 20), st.sampled_from([1e-4, 1e-5, 1e-6]))
def test_scripts_show_the_decimals_of_the_value_itself(value, unit):
    """Not those of the integer that is sent: .97449 is .9745 in units of 1e-4, but not .975."""
    integer = _in_units(unit, value)
    assert abs(integer * unit - value) <= 1.5 * unit
    assert number(integer * unit) == number(value)


def test_an_entry_without_a_standing_is_sent_none():
    """A collapsed network has no ranks and no advantage."""
    found = Table([e for e in board() if e.track.name == "digits"], PLACED)
    score, entry = found.names[0], found.rows[0]
    nan = float("nan")
    stands = found.standings[score][entry.id]._replace(advantage=nan, ranks=None)
    found.standings[score] |= {entry.id: stands}
    data = shown_table(found, set(), latest=True).data
    without = sent(data, entry.id, found.titles[score])
    assert {without[name] for name in ("advantage", "advantage_below", "best", "worst")} == {None}
    assert without["value"] is not None


def test_zero_has_no_sign():
    assert [number(v, "+.3f") for v in (-0.0004, 0.0, -0.0005001, 0.1)] == [
        "0.000",
        "0.000",
        "−0.001",
        "+0.100",
    ]


@pytest.mark.parametrize("marks", itertools.product([False, True], repeat=3))
def test_each_mark_is_sent_by_itself(marks):
    """However an entry stands: Pareto, beyond the trade-off, beyond the grid's accuracies."""
    found = Table([e for e in board() if e.track.name == "digits"], PLACED)
    score, (entry, *_) = found.names[0], found.rows
    pareto, beats, extrapolated = marks
    of = found.standings[score]
    stands = of[entry.id]._replace(pareto=pareto, beats=beats, extrapolated=extrapolated)
    found.standings[score] = of | {entry.id: stands}
    data = shown_table(found, set(), latest=True).data
    bits = sent(data, entry.id, found.titles[score])["bits"]
    assert (bool(bits & 1), bool(bits & 2), bool(bits & 4)) == marks


def test_what_a_track_found_stands_first(text):
    first = text.split('<section class="track"')[0]
    assert "1 of 2 submissions beats it." in first
    findings = first.split("<details")[0]
    assert "ROAR GX" in findings
    assert "KAR G" not in findings, "the leading score alone"
    assert first.count('<svg class="chart"') == 2
    assert "No model has been measured yet." in page([])
    rows = [*grid(), made("a", 0.95, -0.3), made("b", 0.95, -0.3)]
    placed = Standings(evidence(rows, noise=0.01))
    assert "none of 2 submissions beat" in page(rows, placed)
    assert "because its networks&#39; scores are not known from 3 seeds or more." in page(rows)
    small = [e for e in board() if e.track.name == "mnist-reduced"]
    assert "reference grid" not in finding(Table(small, PLACED), "roar_gradient_input")


def test_protocol_versions_never_share_a_table():
    text = page([*board(), made("later", 0.9, 0.1, on=track(protocol=2))])
    tables = re.findall(r"<table class=\"board\".*?</table>", text, re.DOTALL)
    assert len(tables) == 3
    assert ["later" in one for one in tables].count(True) == 1
    assert [one.count("<tr id=") for one in tables if "later" in one] == [1]
    first = text.split('<section class="track"')[0]
    assert first.count('<svg class="chart"') == 2, "of the latest version of each track"
    assert text.index("Earlier versions of the protocol") < text.index("digits-v1-above")


def test_the_scripts_data_hold_no_markup(text):
    (data,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL
    )
    assert [len(table["points"]) for table in json.loads(data)] == [9, 4]
    assert not set("<>&") & set(data)


def is_harmless(text: str, scripts: int) -> None:
    parsed = Parsed(text)
    assert not [a for tag, a in parsed.elements if any(name.startswith("on") for name in a)]
    assert {a["src"][:21] for a in parsed.all("img")} <= {"data:image/png;base64"}
    assert len(parsed.all("script")) == scripts
    assert not any(HARM in script for script in parsed.scripts[1:])
    assert "49" not in re.findall(r"<bdi>(\S+) \{% raw", text)
    for a in parsed.all("a"):
        assert a["href"].startswith(
            ("#", "pages/", "../../index.html#", "https://", "leaderboard.")
        )
        assert "javascript" not in a["href"]
    for mark in "\u202e\u202d\u2028\u200f":
        assert mark not in text


def test_what_harms_is_escaped():
    text = page(hostile())
    is_harmless(text, len(Parsed(page(board())).all("script")))
    assert len(text.encode()) < 1_200_000, "a long name is cut"
    for entry in hostile():
        is_harmless(entry_page(entry), 0)


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
    placed = Standings(evidence(unknown(), noise=0.01))
    text = page(unknown(), placed)
    assert re.search(r"<option[^>]*>ROAR E \(higher is better\)", text)
    assert re.search(r"<option[^>]*>sparsity \(lower is better\)", text)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])[0]
    described = [(score["title"], score["better"]) for score in data["scores"]]
    assert described[-2:] == [("ROAR E", 1), ("sparsity", -1)]
    assert sent(data, "new", "ROAR E")["bits"] & 2, "it beats the trade-off"
    own = entry_page(unknown()[-1])
    for row in ("ROAR E", "density", "untitled detail"):
        assert f'<th scope="row">{row}' in own
    assert "zeroth order, logit" in own
    assert "Edges &lt;b&gt;" in own


def test_a_hostile_title_is_escaped():
    boards = unknown(f"<script>{HARM}</script>", f"\"><img src=x onerror='{HARM}'>")
    text = page(boards)
    is_harmless(text, len(Parsed(page(unknown())).all("script")))
    assert "&lt;script&gt;window.harmed = true&lt;/script&gt;" in text
    own = entry_page(boards[-1])
    is_harmless(own, 0)
    assert "&lt;script&gt;window.harmed = true&lt;/script&gt;" in own


def test_a_title_that_validation_would_refuse_is_printable_and_cut():
    *others, last = unknown()
    forged = last.scores["roar_edges"].model_copy(update={"title": "\u202e" + "W" * 5_000})
    forged = last.model_copy(update={"scores": last.scores | {"roar_edges": forged}})
    shown = page([*(e.model_copy(update={"scores": {}}) for e in others), forged])
    assert "\u202e" not in shown
    assert "W" * 58 + "…" in shown
    assert "W" * 59 not in shown
