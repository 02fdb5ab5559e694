"""PGD by other libraries, each in its own way, behind one signature.

Every function of `PEERS` wraps a Keras classifier of logits once and returns the attack `(x, y) ->
x_adv` on images `(n, h, w, c)` float32 in [0, 1] and integer labels: untargeted, on cross-entropy,
without a random start. Its first call compiles what the library compiles. A library is imported
when its function is called."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np

Attack = Callable[[np.ndarray, np.ndarray], np.ndarray]
BATCH = 500


def _in_batches(attack: Attack, size: int = BATCH) -> Attack:
    """The attack on at most `size` images at a time."""

    def whole(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [attack(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
        )

    return whole


def keras_plain(
    model: keras.Model, *, norm: str, epsilon: float, steps: int, step_size: float
) -> Attack:
    """The loop a Keras user writes: `GradientTape` inside one `tf.function` a step."""
    import tensorflow as tf

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    def length(v: tf.Tensor) -> tf.Tensor:
        return tf.maximum(tf.sqrt(tf.reduce_sum(v**2, axis=(1, 2, 3), keepdims=True)), 1e-12)

    @tf.function
    def step(x_adv: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x_adv)
            value = loss(y, model(x_adv, training=False))
        gradient = tape.gradient(value, x_adv)
        if norm == "linf":
            delta = tf.clip_by_value(x_adv + step_size * tf.sign(gradient) - x, -epsilon, epsilon)
        else:
            delta = x_adv + step_size * gradient / length(gradient) - x
            delta *= tf.minimum(1.0, epsilon / length(delta))
        return tf.clip_by_value(x + delta, 0.0, 1.0)

    def attack(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        start, labels = tf.constant(x), tf.constant(y)
        x_adv = start
        for _ in range(steps):
            x_adv = step(x_adv, start, labels)
        return x_adv.numpy()

    return _in_batches(attack)


def _art(classifier: object, norm: str, epsilon: float, steps: int, step_size: float) -> Attack:
    from art.attacks.evasion import ProjectedGradientDescent

    order = {"l2": 2, "linf": np.inf}[norm]
    return ProjectedGradientDescent(
        classifier,
        norm=order,
        eps=epsilon,
        eps_step=step_size,
        max_iter=steps,
        batch_size=BATCH,
        verbose=False,
    ).generate


def art_tensorflow(
    model: keras.Model, *, norm: str, epsilon: float, steps: int, step_size: float
) -> Attack:
    """ART, its `TensorFlowV2Classifier`; the loss is summed over images, as in the others."""
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model,
        nb_classes=model.output_shape[-1],
        input_shape=model.input_shape[1:],
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"),
        clip_values=(0.0, 1.0),
    )
    return _art(classifier, norm, epsilon, steps, step_size)


def art_keras(
    model: keras.Model, *, norm: str, epsilon: float, steps: int, step_size: float
) -> Attack:
    """ART, its `KerasClassifier`, which asks for a compiled model."""
    from art.estimators.classification import KerasClassifier

    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    classifier = KerasClassifier(model, use_logits=True, clip_values=(0.0, 1.0))
    return _art(classifier, norm, epsilon, steps, step_size)


def foolbox(
    model: keras.Model, *, norm: str, epsilon: float, steps: int, step_size: float
) -> Attack:
    """Foolbox, its `TensorFlowModel`.

    Labels of int64, like its argmax: its conversion of types needs numpy 1.
    """
    import tensorflow as tf
    from foolbox import TensorFlowModel, attacks

    kind = {
        "l2": attacks.L2ProjectedGradientDescentAttack,
        "linf": attacks.LinfProjectedGradientDescentAttack,
    }[norm]
    pgd = kind(abs_stepsize=step_size, steps=steps, random_start=False)
    wrapped = TensorFlowModel(model, bounds=(0, 1))

    def attack(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        _, x_adv, _ = pgd(wrapped, tf.constant(x), tf.constant(y, tf.int64), epsilons=epsilon)
        return x_adv.numpy()

    return _in_batches(attack)


def cleverhans(
    model: keras.Model, *, norm: str, epsilon: float, steps: int, step_size: float
) -> Attack:
    """CleverHans for TensorFlow 2; it compiles its gradient itself."""
    import tensorflow as tf
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    order = {"l2": 2, "linf": np.inf}[norm]

    def attack(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return projected_gradient_descent(
            model,
            tf.constant(x),
            epsilon,
            step_size,
            steps,
            order,
            clip_min=0.0,
            clip_max=1.0,
            y=tf.constant(y),
            rand_init=False,
            sanity_checks=False,
        ).numpy()

    return _in_batches(attack)


def _from_torch(attack: Callable, variant: str | None = None) -> Attack:
    """An attack on PyTorch's tensors `(n, c, h, w)` as one on our arrays."""
    import torch

    from tests.peers.torch_models import FASTEST

    last = "channels_last" in (variant or FASTEST)
    order = torch.channels_last if last else torch.contiguous_format

    def on_arrays(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(x.transpose(0, 3, 1, 2)).contiguous(memory_format=order)
        return (
            attack(images, torch.from_numpy(y.astype(np.int64)))
            .detach()
            .numpy()
            .transpose(0, 2, 3, 1)
        )

    return _in_batches(on_arrays)


def _port(model: keras.Model, variant: str | None) -> Callable:
    """The PyTorch port, in the fastest variant if none is named."""
    from tests.peers.torch_models import FASTEST, fastest, to_torch

    return fastest(to_torch(model), variant or FASTEST)


def torchattacks(
    model: keras.Model,
    *,
    norm: str,
    epsilon: float,
    steps: int,
    step_size: float,
    variant: str | None = None,
) -> Attack:
    """torchattacks on the PyTorch port: `PGD` or `PGDL2`."""
    import torchattacks as library

    kind = {"l2": library.PGDL2, "linf": library.PGD}[norm]
    module = _port(model, variant)
    return _from_torch(
        kind(module, eps=epsilon, alpha=step_size, steps=steps, random_start=False), variant
    )


def torch_apgd(model: keras.Model, *, norm: str, epsilon: float) -> Attack:
    """torchattacks' APGD on cross-entropy with the published 100 steps."""
    import torchattacks as library

    return _from_torch(
        library.APGD(
            _port(model, None),
            norm={"l2": "L2", "linf": "Linf"}[norm],
            eps=epsilon,
            steps=100,
            loss="ce",
        )
    )


def pytorch(
    model: keras.Model,
    *,
    norm: str,
    epsilon: float,
    steps: int,
    step_size: float,
    variant: str | None = None,
) -> Attack:
    """The loop a PyTorch user writes, on the PyTorch port."""
    import torch
    from torch.nn import functional

    module = _port(model, variant)

    def length(v: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(v, dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)

    def attack(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x_adv = x
        for _ in range(steps):
            x_adv = x_adv.detach().requires_grad_()
            loss = functional.cross_entropy(module(x_adv), y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x_adv)
            with torch.no_grad():
                if norm == "linf":
                    delta = (x_adv + step_size * gradient.sign() - x).clamp(-epsilon, epsilon)
                else:
                    delta = x_adv + step_size * gradient / length(gradient) - x
                    delta = delta * (epsilon / length(delta)).clamp_max(1.0)
                x_adv = (x + delta).clamp(0.0, 1.0)
        return x_adv

    return _from_torch(attack, variant)


def jax(
    model: keras.Model,
    *,
    norm: str,
    epsilon: float,
    steps: int,
    step_size: float,
    convolution: str = "patches",
) -> Attack:
    """The loop a JAX user writes: all steps and the network's layers in one jitted program.

    On a CPU a convolution as the matrix product of its `patches` takes less than a quarter of the
    time of `lax.conv_general_dilated` (`lax`), whose gradient through strides XLA computes slowly:
    0.91 and 3.9 processor seconds for PGD-40 of 500 MNIST images on `strided_cnn`.
    """
    from jax import grad, jit, lax, nn
    from jax import numpy as jnp

    def patches(x: jnp.ndarray, kernel: np.ndarray, strides: tuple[int, int]) -> jnp.ndarray:
        high, wide, *_, filters = kernel.shape
        zeros = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, "SAME")
        x = jnp.pad(x, [(0, 0), *zeros, (0, 0)])
        ends = [size - k + 1 for size, k in zip(x.shape[1:3], (high, wide), strict=True)]
        parts = [
            x[:, i : i + ends[0] : strides[0], j : j + ends[1] : strides[1]]
            for i in range(high)
            for j in range(wide)
        ]
        return jnp.concatenate(parts, axis=-1) @ kernel.reshape(-1, filters)

    def dilated(x: jnp.ndarray, kernel: np.ndarray, strides: tuple[int, int]) -> jnp.ndarray:
        order = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=order)

    convolve = {"patches": patches, "lax": dilated}[convolution]
    weights = {layer.name: layer.get_weights() for layer in model.layers}

    def logits(x: jnp.ndarray) -> jnp.ndarray:
        for layer in model.layers:
            match layer:
                case keras.layers.Rescaling():
                    x = x * layer.scale + layer.offset
                case keras.layers.Conv2D(padding="same"):
                    kernel, bias = weights[layer.name]
                    x = convolve(x, kernel, layer.strides) + bias
                case keras.layers.Flatten():
                    x = x.reshape(len(x), -1)
                case keras.layers.Dense():
                    kernel, bias = weights[layer.name]
                    x = x @ kernel + bias
                case _:
                    raise ValueError(f"Layer '{layer.name}' is not one that this peer knows.")
            if getattr(layer, "activation", None) is keras.activations.relu:
                x = nn.relu(x)
        return x

    def length(v: jnp.ndarray) -> jnp.ndarray:
        return jnp.maximum(jnp.sqrt(jnp.sum(v**2, axis=(1, 2, 3), keepdims=True)), 1e-12)

    @jit
    def attack(x: jnp.ndarray, y: jnp.ndarray) -> jnp.ndarray:
        def loss(z: jnp.ndarray) -> jnp.ndarray:
            return -jnp.take_along_axis(nn.log_softmax(logits(z)), y[:, None], axis=1).sum()

        def step(_: int, x_adv: jnp.ndarray) -> jnp.ndarray:
            gradient = grad(loss)(x_adv)
            if norm == "linf":
                delta = jnp.clip(x_adv + step_size * jnp.sign(gradient) - x, -epsilon, epsilon)
            else:
                delta = x_adv + step_size * gradient / length(gradient) - x
                delta *= jnp.minimum(1.0, epsilon / length(delta))
            return jnp.clip(x + delta, 0.0, 1.0)

        return lax.fori_loop(0, steps, step, x)

    return _in_batches(lambda x, y: np.asarray(attack(x, y)))


PEERS: dict[str, Callable[..., Attack]] = {
    "keras-plain": keras_plain,
    "art-tensorflow": art_tensorflow,
    "art-keras": art_keras,
    "foolbox": foolbox,
    "cleverhans": cleverhans,
    "torchattacks": torchattacks,
    "torchattacks-plain": partial(torchattacks, variant="plain"),
    "pytorch": pytorch,
    "pytorch-plain": partial(pytorch, variant="plain"),
    "jax": jax,
    "jax-lax": partial(jax, convolution="lax"),
}
