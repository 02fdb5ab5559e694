"""The rule by which reported scores agree with measured ones, and the comment that says so."""

import re

import pytest
from cmarkgfm import github_flavored_markdown_to_html

from pellucid.benchmark.submission import agreement, comment
from pellucid.benchmark.submission.measure import Measurement
from pellucid.benchmark.submission.source import Source
from pellucid.leaderboard.card import Card
from pellucid.leaderboard.tradeoff import Standings
from pellucid.models.errors import InputError
from tests.leaderboard.made import evidence, grid, made

ENTRY = made("new", 0.95, 0.2)
TWO = 2 / 597


@pytest.mark.parametrize(
    ("reported", "agrees"),
    [
        ({}, True),
        ({"test_accuracy": 0.95}, True),
        ({"test_accuracy": 0.95 + TWO}, True),
        ({"test_accuracy": 0.95 - TWO}, True),
        ({"test_accuracy": 0.95 + 3 / 597}, False),
        ({"test_accuracy": 0.99}, False),
        ({"robust_accuracy": 0.759}, True),
        ({"robust_accuracy": 0.7605}, True),  # .760, rounded
        ({"robust_accuracy": 0.762}, False),
        ({"roar_gradient": 0.195}, True),
        ({"roar_gradient": 0.25}, False),
        ({"log_ris_gradient": 1.0}, False),  # no such score of this model
    ],
)
def test_the_rule(reported, agrees):
    assert (not agreement.differences(reported, ENTRY)) == agrees


def test_without_an_interval_to_three_decimals():
    score = ENTRY.scores["roar_gradient"].model_copy(update={"low": None, "high": None})
    entry = ENTRY.model_copy(update={"scores": {"roar_gradient": score}})
    assert not agreement.differences({"roar_gradient": 0.1904}, entry)
    assert agreement.differences({"roar_gradient": 0.191}, entry)


def test_unknown_names():
    agreement.check_names({"test_accuracy": 1.0}, {"test_accuracy"})
    with pytest.raises(InputError, match=r"Unknown score 'test_acuracy'. Did you mean 'test_acc"):
        agreement.check_names({"test_acuracy": 1.0}, set(ENTRY.scores))


def report(entry=ENTRY, reported=None, **source) -> comment.Report:
    rows = [entry, *grid()]
    found = Measurement(entry, rows, Standings(evidence(rows, noise=0.01)))
    reported = reported or {}
    differences = agreement.differences(reported, entry)
    return comment.Report(Source("new", {}, **source), reported, differences, found, 83.2)


def test_a_comment():
    text = comment.measured(
        report(reported={"test_accuracy": 0.99, "roar_gradient": 0.19}, commit="a" * 40)
    )
    first, about, agrees, *_ = text.split("\n\n")
    assert first.startswith("**Model new, digits: ")
    assert "the trade\\-off in 2 of 3 scores" in first
    assert about.startswith("Measured in 1 min 23 s: commit aaaaaaaaaaaa, protocol version 1,")
    assert agrees == ("**Reported scores differ.** test accuracy: reported 0.990, measured 0.950.")
    rows = {row.split("|")[2].strip(): row for row in text.splitlines() if row.startswith("| ")}
    assert "0.990 (differs)" in rows["`test_accuracy`"]
    assert "0.950 [0.940, 0.960]" in rows["`test_accuracy`"]
    assert re.search(
        r"0\.190 +\| [+-]0\.\d+ \[[+-].*\] +\| \d(-\d)? of 7 ", rows["`roar_gradient`"]
    )
    assert "It is ranked. By ROAR GX, the table's 7 entries form" in text
    assert text.endswith("No flags.\n")


def test_a_comment_on_what_is_not_ranked():
    knows = made("new", 0.95, 0.2, flags=["test_contamination", "zero_gradients"])
    text = comment.measured(report(knows, changes=True))
    assert "It is **not ranked**: knows the test images." in text
    assert "Flag **zero gradients** (images 30, examples 597, epsilon 0.4): raised when" in text
    assert "No scores were reported." in text
    assert "The repository has a folder submissions/new already." in text


HARM = (
    "<script>alert(1)</script> [x](https://a.b) @team ![i](https://a.b/i.png) `c` | **b** www.a.b"
)


def test_text_from_outside_is_only_text():
    card = Card(**ENTRY.card.model_dump() | {"name": HARM[:80]})
    for text in (
        comment.measured(report(made("new", 0.95, 0.2, card=card))),
        comment.refused(f"card.toml: {HARM}\n# heading"),
    ):
        page = github_flavored_markdown_to_html(text)
        assert "<a" not in page
        assert "<img" not in page
        assert "<script" not in page
        assert "alert(1)" in page


def test_a_refusal_is_one_line():
    text = comment.refused("a\nb\u202ec")
    assert text.count("\n") == 1
    assert text.startswith("**Not measured.** a b")


def test_no_comment_is_longer_than_github_takes():
    assert len(comment.refused("x\n" * 100_000)) <= comment.MAX_CHARACTERS
    reported = {f"score_{n}": 0.5 for n in range(3000)}
    text = comment.measured(report(reported=reported))
    assert len(text) <= comment.MAX_CHARACTERS
    assert text.endswith("The rest is left out: a comment has a limit.\n")
