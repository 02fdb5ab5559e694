"""The schema of an entry and of a card: what is refused, and that numbers are numbers."""

import json
import os

import pytest

from pellucid.leaderboard import card as cards
from pellucid.leaderboard import entry as entries
from pellucid.leaderboard.flags import MEANINGS
from pellucid.models.errors import InputError
from tests.conftest import ROOT
from tests.leaderboard.made import made
from tests.leaderboard.many import unknown

CARD = """
name = "My CNN"
authors = ["A. Author", "B. Author"]
link = "https://example.org/paper"
licence = "MIT"
description = "A small CNN."
[training]
norm = "l2"
epsilon = 0.4
loss = "xent"
"""


def changed(old: str, new: str) -> str:
    assert old in CARD
    return CARD.replace(old, new)


@pytest.fixture
def read(tmp_path):
    def from_text(text: str) -> cards.Card:
        path = tmp_path / "card.toml"
        path.write_text(text, encoding="utf-8")
        return cards.read(path)

    return from_text


def test_a_card(read):
    card = read(CARD)
    assert (card.name, card.training.epsilon, card.training.extra_data) == ("My CNN", 0.4, "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            changed("licence", "lisence"),
            "card.toml. Did you mean 'licence'? (2) licence: This key is missing.",
        ),
        (
            changed("epsilon", "epsilom"),
            "card.toml. Did you mean 'epsilon'?",
        ),
        (changed('licence = "MIT"\n', ""), "licence: This key is missing."),
        (
            changed("https://example.org/paper", "javascript:alert(1)"),
            "link: String should match pattern",
        ),
        (changed("https://example.org/paper", "https://a.org/<x"), None),
        (
            changed("https://example.org/paper", "https://a.org/a b"),
            "link: String should match pattern",
        ),
        (changed("My CNN", "x" * 81), "name: String should have at most 80 characters"),
        (changed("My CNN", "\u202ecod.exe"), "name: holds the invisible or blank character U+202E"),
        (changed("My CNN", "a\\nb"), "name: holds the invisible or blank character U+000A"),
        *(
            (
                changed("My CNN", f"a{hidden}b"),
                f"name: holds the invisible or blank character {said}",
            )
            for hidden, said in (
                ("\u3164", "U+3164"),
                ("\u2800", "U+2800"),
                ("\u00ad", "U+00AD"),
                ("\u200d", "U+200D"),
                ("\ufe0f", "U+FE0F"),
                ("\U000e0041", "U+E0041"),
                ("\u00a0", "U+00A0"),
                ("\u034f", "U+034F"),
            )
        ),
        (changed("My CNN", "e" + "\u0301" * 79), "name: holds more than 2 combining marks on one"),
        (changed("0.4", "1" * 5_000), "is not valid TOML (Exceeds the limit"),
        (changed("0.4", "0x" + "f" * 15_000), "training.epsilon: Input should be"),
        (
            changed('licence = "MIT"\n', "").replace("0.4", "-1").replace("My CNN", " "),
            "has 3 mistakes: (1) name: must be text without spaces at its ends. (2) licence: This"
            " key is missing. (3) training.epsilon: Input should be greater than",
        ),
        (changed("My CNN", " "), "name: must be text without spaces at its ends."),
        (changed('"l2"', '"l3"'), "training.norm: Input should be 'none', 'l2' or 'linf'"),
        (changed("0.4", "inf"), "training.epsilon: Input should be"),
        (changed("0.4", "0"), "training: an adversary has a norm and a radius above 0"),
        (changed("0.4", "-1"), "training.epsilon: Input should be greater than or equal to 0"),
        (changed('["A. Author", "B. Author"]', "[]"), "authors: List should have at least 1 item"),
        ("name = ", "is not valid TOML"),
        ("#" * 30_000, "is larger than 20,000 bytes."),
    ],
)
def test_mistakes_in_a_card_are_one_line(read, text, message):
    if message is None:
        assert read(text).link.endswith("<x"), (
            "harmless where it is escaped, which the page's tests show"
        )
        return
    with pytest.raises(InputError) as caught:
        read(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Réseau n° 3", "Mạng nơ-ron", "网络", "שלום", "Модель (β=0.5)"])
def test_names_in_any_script(read, name):
    assert read(changed("My CNN", name)).name == name


def test_no_card(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        cards.read(tmp_path / "none.toml")
    assert cards.anonymous(tmp_path / "net\u202e\udcff\U000e0041.keras").name == "net"


def raw(**change) -> dict:
    return json.loads(entries.dumps(made("a", 0.9, 0.1, flags=["zero_gradients"]))) | change


def test_round_trip():
    one = made("a", 0.9, 0.1, manifold=-0.5, flags=["zero_gradients"])
    assert entries.loads(entries.dumps(one).encode(), "it") == one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "Unknown key 'extra' in the schema"),
        ({"schema_version": 1}, "schema_version"),
        ({"id": "../x"}, "id: String should match pattern"),
        ({"verified": "yes, really"}, "verified: Input should be a valid boolean"),
        (
            {"scores": {"test_accuracy": {"value": "0.9", "n": 1, "seeds": 1}}},
            "value: Input should be a valid number",
        ),
        (
            {"scores": {"test_accuracy": {"value": 0.9, "n": 1.5, "seeds": 1}}},
            "n: Input should be a valid integer",
        ),
        (
            {"scores": {"a": {"value": 0.9, "low": 0.95, "high": 1, "n": 1, "seeds": 1}}},
            "lies outside its interval",
        ),
        (
            {"scores": {"a": {"value": 0.9, "low": 0.8, "n": 1, "seeds": 1}}},
            "an interval has two ends",
        ),
        ({"scores": {"a": {"value": 1e999, "n": 1, "seeds": 1}}}, "finite number"),
        ({"seconds": 0.5}, "was changed after it was measured"),
        ({"flags": []}, "was changed after it was measured"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(change, message):
    with pytest.raises(InputError, match="Entry x/a") as caught:
        entries.loads(json.dumps(raw(**change)).encode(), "Entry x/a")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"title": "a\nb"}, "holds the invisible or blank character U+000A"),
        ({"title": "\u202eevil"}, "holds the invisible or blank character U+202E"),
        ({"title": ""}, "must not be empty"),
        ({"title": " a"}, "must be text without spaces at its ends"),
        ({"title": "W" * 61}, "at most 60 characters"),
        ({"better": "more"}, "better: Input should be 'higher' or 'lower'"),
    ],
)
def test_titles_and_directions_are_validated(stated, message):
    scores = {"roar_edges": {"value": 0.1, "n": 1, "seeds": 1} | stated}
    with pytest.raises(InputError) as caught:
        entries.loads(json.dumps(raw(scores=scores)).encode(), "Entry x/a")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["Roar", "roar edges", "../x", "", "<b>", "_x", "1x", "x" * 61, "é", "a\n"]
)
def test_names_of_scores_attributions_and_attacks_are_checked_by_pattern(name):
    score = {"value": 0.1, "n": 1, "seeds": 1}
    one = made("a", 0.9, 0.1)
    attacked = {"attack": name, "norm": "l2", "epsilon": 1.0, "loss": None, "steps": 1}
    changes = [
        {"scores": {name: score}},
        {"curves": [one.curves[0].model_dump() | {"attribution": name}]},
        {"attacks": [attacked | {"accuracy": score}]},
    ]
    for change in changes:
        with pytest.raises(InputError, match="String should match pattern"):
            entries.loads(json.dumps(raw(**change)).encode(), "Entry x/a")


def test_an_accuracy_states_no_direction():
    scores = {"test_accuracy": {"value": 0.1, "n": 1, "seeds": 1, "better": "higher"}}
    with pytest.raises(InputError, match="test_accuracy is an accuracy"):
        entries.loads(json.dumps(raw(scores=scores)).encode(), "Entry x/a")


def test_scores_that_no_code_names_round_trip():
    for one in unknown():
        assert entries.loads(entries.dumps(one).encode(), "it") == one
    stated = json.loads(entries.dumps(one))
    assert stated["schema_version"] == 4
    assert (stated["scores"]["sparsity"]["title"], stated["scores"]["sparsity"]["better"]) == (
        "sparsity",
        "lower",
    )
    assert not {"title", "better"} & set(stated["scores"]["test_accuracy"])
    assert not {"title", "better"} & set(stated["curves"][0])


def test_an_entry_must_lie_where_it_says(tmp_path):
    one = made("a", 0.9, 0.1)
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "a-v1.json").write_text(entries.dumps(one))
    assert entries.read(tmp_path) == [one]
    (tmp_path / "digits" / "b-v1.json").write_text(entries.dumps(one))
    with pytest.raises(InputError, match=r"Entry digits/b-v1\.json says it is digits/a-v1\.json"):
        entries.read(tmp_path)


def test_every_flag_has_a_meaning():
    names = entries.Flag.model_fields["name"].annotation.__args__
    assert set(names) == set(MEANINGS)
    document = (ROOT / "docs" / "submitting.md").read_text()
    for meaning in MEANINGS.values():
        row = (meaning.title, meaning.raised_when, meaning.means, meaning.advice)
        assert f"| {' | '.join(row)} |" in document


def test_the_schema_names_every_part():
    schema = entries.schema()
    assert schema["additionalProperties"] is False
    assert {"card", "scores", "flags", "environment", "track"} <= set(schema["required"])


def test_a_pipe_as_an_entry_is_one_line(tmp_path):
    (tmp_path / "digits").mkdir()
    os.mkfifo(tmp_path / "digits" / "a-v3.json")
    with pytest.raises(InputError, match=r"Entry digits/a-v3.json cannot be read \(not a regular"):
        entries.read(tmp_path)
