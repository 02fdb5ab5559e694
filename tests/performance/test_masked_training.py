"""What masks cost in training, with one thread, in a process of its own."""

import pytest

from tests.conftest import needs_tfds
from tests.performance.contenders import Contender


@needs_tfds
@pytest.mark.parametrize(
    "case",
    ["strided_cnn-28x28x1", "strided_cnn-32x32x3", "cifar_cnn-32x32x3", "digits_cnn-8x8x1"],
)
def test_masked_training(benchmark, figure, case, tmp_path):
    """Images a second with a mask of 30 percent and without."""
    with Contender("ours", "masked_training", case, tmp_path) as process:
        found = benchmark.pedantic(process.turn, rounds=1)
    for name, (value, unit) in found["figures"].items():
        figure(name, value, unit)
