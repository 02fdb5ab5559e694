"""`submission.toml`: what it may state, every mistake in one line, and no traceback whatever."""

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.benchmark.submission import request
from pellucid.models.errors import InputError
from tests.submission.made import CARD, SUBMISSION

HASH = "0" * 64


def refusal(text: str) -> str:
    with pytest.raises(InputError) as refused:
        request.read(text.encode())
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_it_states():
    stated = request.read(
        f'track = "digits"\naddress = "https://example.org/a/net.keras?x=1"\nsha256 = "{HASH}"\n'
        "[reported]\ntest_accuracy = 0.98\nroar_gradient = -1\n".encode()
    )
    assert stated.reported == {"test_accuracy": 0.98, "roar_gradient": -1.0}
    assert request.read(SUBMISSION.encode()).reported == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('track = "digits"\nmodle = "a.keras"', "Unknown key 'modle' in submission.toml. Did you"),
        ('track = "digits"', "by either model = "),
        ('track = "digits"\nmodel = "a.keras"\naddress = "https://a.b/c"', "by either model = "),
        ('track = "digits"\naddress = "https://a.b/c"', "needs the sha256"),
        (f'track = "d"\naddress = "http://a.b/c"\nsha256 = "{HASH}"', "address: "),
        (f'track = "d"\naddress = "file:///etc/passwd"\nsha256 = "{HASH}"', "address: "),
        (f'track = "d"\naddress = "https://user@a.b/c"\nsha256 = "{HASH}"', "address: "),
        ('track = "digits"\nmodel = "../a.keras"', "model: "),
        ('track = "digits"\nmodel = "/a.keras"', "model: "),
        ('track = "digits"\nmodel = "a.h5"', "model: "),
        ('track = "digits"\nmodel = "a.keras"\n[reported]\nx = "high"', "reported.x: "),
        ('track = "digits"\nmodel = "a.keras"\n[reported]\nx = true', "reported.x: "),
        ('track = "digits"\nmodel = "a.keras"\n[reported]\nx = nan', "reported.x: "),
        ('track = "digits"\nmodel = "a.keras"\n[reported]\n"a|b" = 1', "reported.a|b"),
        ("track = ", "is not valid TOML"),
        ("#" * 20_001, "submission.toml is larger than 20,000 bytes"),
        ("x = " + "[" * 10_000, "is not valid TOML"),
    ],
)
def test_mistakes(text, message):
    assert message in refusal(text)


def test_every_mistake_at_once():
    message = refusal('track = ""\nmodel = "a.h5"\nsha256 = "x"\nmodell = 1')
    assert message.startswith("submission.toml has 4 mistakes: (1) Unknown key 'modell'")


def test_both_files_at_once():
    card = CARD.replace("MIT", "").replace('"none"', '"l3"')
    submission, found, wrong = request.read_both(
        {"submission.toml": b"track = 1", "card.toml": card.encode()}
    )
    assert submission is found is None
    assert [line.split(" ")[0].rstrip(":") for line in wrong] == ["submission.toml", "card.toml"]
    assert "card.toml has 2 mistakes" in wrong[1]


KEYS = st.sampled_from(["track", "model", "address", "sha256", "reported"]) | st.text(max_size=8)
VALUES = st.recursive(
    st.text(max_size=30)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.datetimes()
    | st.sampled_from(["digits", "a.keras", "https://a.b/c.keras", HASH]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_whatever_it_states_is_read_or_refused(stated):
    check(tomli_w.dumps(stated).encode(errors="surrogatepass"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_bytes_it_has_it_is_read_or_refused(content):
    check(content)


def check(content: bytes) -> None:
    submission, card, wrong = request.read_both({"submission.toml": content, "card.toml": content})
    assert (submission is None) + (card is None) == len(wrong)
    assert all("\n" not in line for line in wrong)
