"""Adam: the same steps as Keras' optimizer, for tensors of any shape."""

import keras
import numpy as np
import pytest
from keras import ops

from pellucid.models.adam import adam_start, adam_step


@pytest.mark.parametrize("shape", [(6,), (2, 3, 1)])
@pytest.mark.parametrize("options", [{}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}])
def test_ten_steps_are_those_of_keras(shape, options):
    rng = np.random.default_rng(0)
    start = rng.normal(size=shape).astype(np.float32)
    variable = keras.Variable(start)
    theirs = keras.optimizers.Adam(0.1, **options)
    ours = ops.convert_to_tensor(start)
    adam = adam_start(ours)
    for _ in range(10):
        gradient = ops.convert_to_tensor(rng.normal(size=shape).astype(np.float32))
        theirs.apply([gradient], [variable])
        ours, adam = adam_step(ours, gradient, adam, 0.1, **options)
    np.testing.assert_allclose(ours, variable.value, rtol=1e-5, atol=1e-6)
    assert float(adam.step) == 10
