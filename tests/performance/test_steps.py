"""What a step of AutoAttack's attacks costs, with one thread, in a process of its own."""

import pytest

from tests.conftest import needs_tfds
from tests.performance.contenders import Contender


@needs_tfds
@pytest.mark.parametrize("shape", ["28x28x1", "32x32x3"])
def test_steps(benchmark, figure, shape, tmp_path):
    """In forward passes; 500 images, none of which is broken. Square: the mean over its queries.

    Aim: Square at most 1.3, APGD 3, FAB 4.5.
    """
    with Contender("ours", "steps", f"strided_cnn-{shape}", tmp_path) as process:
        found = benchmark.pedantic(process.turn, rounds=1)
    for name, (value, unit) in found["figures"].items():
        figure(name, value, unit)
