"""Every file of the corpus is refused by the line that it should be, runs nothing and reaches nothing."""

import re
import socket
import time

import pytest

from robust_interpretability.models.untrusted import Refused
from robust_interpretability.models.untrusted.sandbox import child
from tests.hostile import corpus_config, corpus_weights
from tests.hostile.building import CLASSES, SHAPE
from tests.hostile.corpus import CASES, Trap

assert corpus_config.CASES is corpus_weights.CASES is CASES


def check_line(message: str, pattern: str) -> None:
    assert re.search(pattern, message), message
    assert len(message) < 400
    assert message.isprintable()
    assert message.isascii()


@pytest.fixture
def trap(tmp_path):
    """A file that must not appear and a port that must not be reached."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.001)
        yield Trap(str(tmp_path / "canary"), listener.getsockname()[1])
        with pytest.raises(TimeoutError):
            listener.accept()
    assert not (tmp_path / "canary").exists()


def test_the_corpus_is_large_and_its_names_differ():
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused(case, trap):
    data = case.build(trap)
    began = time.process_time()
    with pytest.raises(Refused) as refused:
        child.examine(data, SHAPE, CLASSES)
    assert time.process_time() - began < 5
    check_line(str(refused.value), case.message)
