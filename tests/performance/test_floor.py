"""How near training comes to what the machine could do, in a process of its own."""

import pytest

from tests.conftest import needs_tfds
from tests.performance.cases import CASES
from tests.performance.contenders import Contender


@needs_tfds
@pytest.mark.parametrize("network", CASES)
def test_floor(benchmark, figure, network, tmp_path):
    """Images per second, beside the floors by arithmetic and by memory traffic."""
    with Contender("ours", "floor", network, tmp_path) as process:
        found = benchmark.pedantic(process.turn, rounds=1)
    for name, (value, unit) in found["figures"].items():
        figure(name, value, unit)
