"""Messages: on one line, safe on a terminal, with the closest match."""

import pytest

from pellucid import models
from pellucid.models.errors import InputError, printable, unknown
from pellucid.models.validation import shown


def test_unknown_names_get_the_close_match():
    with pytest.raises(
        InputError, match=r"Unknown model 'cifar_cn'\. Did you mean 'cifar_cnn'\? Known: "
    ):
        models.get("cifar_cn")
    assert "Known" not in str(unknown("thing", "x", map(str, range(30))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a plain text, \u00e9 \u65e5", "a plain text, \u00e9 \u65e5"),
        ("\x1b[31mred\x1b[0m\a", "\\x1b[31mred\\x1b[0m\\x07"),
        ("two\nlines\u2028", "two\\nlines\\u2028"),
        ("\u202eright to left", "\\u202eright to left"),
    ],
)
def test_a_terminal_acts_on_nothing_that_is_printed(text, expected):
    assert printable(text) == expected
    assert printable(text).isprintable()


def test_a_long_text_is_cut():
    assert printable("x" * 200, 200) == "x" * 200
    assert printable("x" * 201, 200) == "x" * 200 + "..."
    assert printable("\x1b" * 10**7, 8) == "\\x1b\\x1b..."


def test_a_received_value_is_shown_by_its_repr():
    class Hostile:
        def __repr__(self):
            return "\x1b]0;title\x07"

    assert shown("a'b") == '"a\'b"'
    assert shown(Hostile()) == "\\x1b]0;title\\x07"
    assert shown([0] * 1000) == f"{[0] * 1000!r:.200}..."
