"""PGD by other libraries, each in its own way, behind one signature.

Every function of `PEERS` wraps a Keras classifier of logits once and returns the attack `(x, y) ->
x_adv` on images `(n, h, w, c)` float32 in [0, 1] and integer labels: untargeted, on cross-entropy,
without a random start. Its first call compiles what the library compiles. A library is imported
when its function is called."""

from collections.abc import Callable

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


def _from_torch(attack: Callable) -> Attack:
    """An attack on PyTorch's tensors `(n, c, h, w)` as one on our arrays."""
    import torch

    def on_arrays(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        return (
            attack(images, torch.from_numpy(y.astype(np.int64)))
            .detach()
            .numpy()
            .transpose(0, 2, 3, 1)
        )

    return _in_batches(on_arrays)


def torchattacks(
    model: keras.Model, *, norm: str, epsilon: float, steps: int, step_size: float
) -> Attack:
    """torchattacks on the PyTorch port: `PGD` or `PGDL2`."""
    import torchattacks as library

    from tests.peers.torch_models import to_torch

    kind = {"l2": library.PGDL2, "linf": library.PGD}[norm]
    return _from_torch(
        kind(to_torch(model), eps=epsilon, alpha=step_size, steps=steps, random_start=False)
    )


def torch_apgd(model: keras.Model, *, norm: str, epsilon: float) -> Attack:
    """torchattacks' APGD on cross-entropy with the published 100 steps."""
    import torchattacks as library

    from tests.peers.torch_models import to_torch

    module = to_torch(model).requires_grad_(False)
    return _from_torch(
        library.APGD(
            module, norm={"l2": "L2", "linf": "Linf"}[norm], eps=epsilon, steps=100, loss="ce"
        )
    )


def pytorch(
    model: keras.Model, *, norm: str, epsilon: float, steps: int, step_size: float
) -> Attack:
    """The loop a PyTorch user writes, on the PyTorch port."""
    import torch
    from torch.nn import functional

    from tests.peers.torch_models import to_torch

    module = to_torch(model).requires_grad_(False)

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

    return _from_torch(attack)


PEERS: dict[str, Callable[..., Attack]] = {
    "keras-plain": keras_plain,
    "art-tensorflow": art_tensorflow,
    "art-keras": art_keras,
    "foolbox": foolbox,
    "cleverhans": cleverhans,
    "torchattacks": torchattacks,
    "pytorch": pytorch,
}
