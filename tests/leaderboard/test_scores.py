"""Titles and directions of scores: stated by entries, or those of protocol 2."""

import csv
import io
import re

import pandas as pd
import pytest
from cmarkgfm import github_flavored_markdown_to_html

from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import render, scores, table
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.entry import Entry, Score
from pellucid.leaderboard.tradeoff import Standings, compared
from pellucid.models.errors import InputError
from tests.leaderboard.made import evidence, grid, made, score
from tests.leaderboard.many import HARM, unknown

KNOWN_ORDER = ["roar_gradient_input", "roar_gradient", "kar_gradient"]


def stating(name: str, **stated) -> Entry:
    """An entry with one more score, which states what is given."""
    entry = made(name, 0.9, 0.1)
    added = Score(**score(0.5).model_dump(), **stated)
    return entries.seal(entry.model_copy(update={"scores": entry.scores | {"extra": added}}))


def test_known_scores_come_first_and_the_others_by_name():
    assert scores.interpretability(unknown()) == [
        *KNOWN_ORDER,
        "manifold_xent_excess_over_noise",
        "roar_edges",
        "sparsity",
    ]
    assert scores.others(unknown()) == ["test_accuracy", "robust_accuracy", "density"]


def test_what_is_not_stated_is_that_of_protocol_2():
    rows = grid()
    assert scores.title(rows, "roar_gradient_input") == "ROAR GX"
    assert scores.direction(rows, "roar_gradient_input") == scores.HIGHER
    assert scores.direction(rows, "manifold_xent_excess_over_noise") == scores.LOWER
    assert scores.direction(rows, "test_accuracy") == 0
    kept = "distance of adversarial examples to the manifold (cross-entropy)"
    assert scores.title(rows, "manifold_xent_kept_distance") == kept


def test_one_entry_that_states_them_is_enough():
    rows = [made("a", 0.9, 0.1), stating("b", title="Extra", better="lower"), stating("c")]
    assert scores.title(rows, "extra") == "Extra"
    assert scores.direction(rows, "extra") == scores.LOWER


def test_titles_do_not_depend_on_the_order_of_entries():
    rows = [stating("a", title="B"), stating("b", title="A")]
    assert scores.title(rows, "extra") == scores.title(rows[::-1], "extra") == "A"


def test_entries_that_contradict_each_other_are_refused(tmp_path):
    standing = Board(tmp_path)
    standing.put([stating("a", better="higher")])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()}
    with pytest.raises(InputError, match=r"digits state both directions for the score 'extra'"):
        standing.put([stating("b", better="lower")])
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()} == before
    assert standing.check() == []
    worse = Score(**score(0.5).model_dump(), better="lower")
    rows = [made("b", 0.9).model_copy(update={"scores": {"kar_gradient": worse}})]
    with pytest.raises(InputError, match="both directions for the score 'kar_gradient'"):
        scores.direction(rows, "kar_gradient")


def test_the_direction_signs_the_advantage():
    rows = unknown()
    placed = Standings(evidence(rows, noise=0.01))
    for name in ("roar_edges", "sparsity"):
        assert placed.of(rows, name)["new"].beats


def test_the_score_that_most_entries_have_leads():
    """ROAR GX, which one entry lacks, comes after one that both have."""
    rows = [made("a", 0.9, 0.1), made("b", 0.9)]
    extra = Score(**score(0.5).model_dump(), better="higher")
    rows = [e.model_copy(update={"scores": e.scores | {"extra": extra}}) for e in rows]
    assert compared(rows) == ["extra", *KNOWN_ORDER]


def test_markdown_and_tables_have_scores_that_no_code_names():
    rows = unknown()
    text, frame = render.markdown(table.of(rows)), render.frame(table.of(rows))
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert headings[-2:] == ["ROAR E (higher is better)", "sparsity (lower is better)"]
    assert "density" in headings
    assert "untitled detail" not in text
    for row in csv.DictReader(io.StringIO(render.csv(frame))):
        entry = next(e for e in rows if e.id == row["id"])
        assert float(row["roar_edges"]) == entry.value("roar_edges")
        standing = Standings().of(rows, "sparsity")[entry.id]
        assert float(row["sparsity_advantage"]) == pytest.approx(standing.advantage)
        assert "density_advantage" not in row
    parquet = pd.read_parquet(io.BytesIO(render.parquet(frame)))
    assert {"roar_edges_rank", "sparsity_pareto", "untitled_detail"} <= set(parquet.columns)


def test_a_hostile_title_is_harmless_in_markdown():
    title = f"[x](//a.b) | <script>{HARM[:20]}</script>"

    def shown(rows: list) -> str:
        return github_flavored_markdown_to_html(render.markdown(table.of(rows)))

    text = shown(unknown(title))
    assert "<script" not in text
    assert "<a " not in text
    assert title in re.sub("<[^>]*>", "", text).replace("&lt;", "<").replace("&gt;", ">")
    assert text.count("<th>") == shown(unknown()).count("<th>")


@pytest.mark.parametrize("name", ["epsilon", "name", "roar_gradient_low", "sparsity_rank"])
def test_a_score_whose_columns_would_replace_others_is_refused(name, tmp_path):
    rows = unknown()
    taken = rows[-1].scores | {name: score(0.1)}
    rows[-1] = entries.seal(rows[-1].model_copy(update={"scores": taken}))
    with pytest.raises(InputError, match=f"would have the name '{name}'"):
        Board(tmp_path).put(rows)
