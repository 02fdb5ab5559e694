"""The dtype in which a network computes; its weights stay float32."""

import keras

from pellucid.models import backend
from pellucid.models.errors import InputError, unknown

COMPUTE = ("float32", "tf32", "bfloat16")
"""Types in which networks can be trained.

With tf32, convolutions and products of an accelerator round their factors to 10 bits of mantissa;
on a CPU it is float32. All else, attacks on trained networks and attributions included, is float32
with all its bits.
"""


def in_precision(model: keras.Model, compute: str) -> keras.Model:
    """A model with the same variables, in the same order, whose layers compute in another dtype.

    Args:
        model: A model; it is returned itself except with `"bfloat16"`.
        compute: One of `COMPUTE`; `"tf32"` is the compiler's business, and changes no layer.

    Returns:
        The model, for its structure: variables are cast where they are used, outputs have the dtype
        `compute`.

    Raises:
        InputError: Another dtype, or `"tf32"` with TensorFlow, which knows it for a process alone.
    """
    if compute not in COMPUTE:
        raise unknown("compute type", compute, COMPUTE)
    if compute == "tf32" and backend.NAME == "tensorflow":
        raise InputError("Training in tf32 needs KERAS_BACKEND=jax.")
    if compute != "bfloat16":
        return model
    policy = keras.DTypePolicy(f"mixed_{compute}")

    def recast(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | {"dtype": policy})

    return keras.models.clone_model(model, clone_function=recast)
