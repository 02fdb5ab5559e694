"""Trains and saves a usual model under the backend of `KERAS_BACKEND`.

    KERAS_BACKEND=torch python tests/hostile/elsewhere.py tests/hostile/saved_by_torch

wrote `saved_by_torch.keras` and the model's logits, `saved_by_torch.npy` (Keras 3.15.0, torch
2.13.0). It imports nothing of this project: any environment with that backend will do.
"""

import sys

import keras
import numpy as np
from keras import layers, ops

SHAPE, CLASSES = (16, 16, 3), 10


def images() -> np.ndarray:
    return np.random.default_rng(0).random((32, *SHAPE), np.float32)


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    x = h = keras.Input(SHAPE)
    h = layers.RandomFlip("horizontal")(h)
    h = layers.Rescaling(2.0, -1.0)(h)
    h = layers.SpectralNormalization(layers.Conv2D(8, 3, padding="same"))(h)
    h = ops.relu(layers.BatchNormalization()(h))
    h = h + layers.SeparableConv2D(8, 3, padding="same", activation="gelu")(h)
    h = layers.MaxPooling2D()(h)
    tokens = layers.Reshape((64, 8))(h)
    h = layers.LayerNormalization()(tokens + layers.MultiHeadAttention(2, 4)(tokens, tokens))
    h = layers.Dropout(0.3)(layers.GlobalAveragePooling1D()(h))
    return keras.Model(x, layers.Dense(CLASSES)(h))


def main(path: str) -> None:
    made, x = model(), images()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile("adam", loss, metrics=["accuracy"])
    made.fit(x, np.arange(len(x)) % CLASSES, batch_size=8, epochs=2, verbose=0)
    made.save(f"{path}.keras")
    np.save(f"{path}.npy", made.predict(x, verbose=0))


if __name__ == "__main__":
    main(sys.argv[1])
