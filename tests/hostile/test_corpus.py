"""Every file of the corpus is refused by the right line, runs nothing and reaches nothing."""

import time

import pytest

from pellucid.models.untrusted import Refused
from pellucid.models.untrusted.sandbox import child
from tests.hostile import corpus_config, corpus_operations, corpus_weights
from tests.hostile.building import CLASSES, SHAPE, check_line
from tests.hostile.corpus import CASES

assert corpus_config.CASES is corpus_operations.CASES is corpus_weights.CASES is CASES


def test_the_corpus_is_large_and_its_names_differ():
    assert len(CASES) >= 290
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
