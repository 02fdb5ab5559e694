"""The dtype in which a network computes; its weights stay float32."""

import keras

from robust_interpretability.models.errors import unknown

COMPUTE = ("float32", "bfloat16")


def in_precision(model: keras.Model, compute: str) -> keras.Model:
    """A model with the same variables, in the same order, whose layers compute in another dtype.

    Args:
        model: A model; with `"float32"` it is returned itself.
        compute: `"float32"` or `"bfloat16"`.

    Returns:
        The model, for its structure: variables are cast where they are used, outputs have the dtype
        `compute`.

    Raises:
        InputError: Another dtype.
    """
    if compute not in COMPUTE:
        raise unknown("compute type", compute, COMPUTE)
    if compute == "float32":
        return model
    policy = keras.DTypePolicy(f"mixed_{compute}")

    def recast(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | {"dtype": policy})

    return keras.models.clone_model(model, clone_function=recast)
