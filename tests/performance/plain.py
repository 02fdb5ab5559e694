"""The other side: what a Keras user writes by hand, and the peers of `tests.peers`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pellucid import models
from tests.peers.attacks import PEERS, torch_apgd
from tests.performance.cases import BATCH, CASES, EPSILON, FRACTIONS, STEP_SIZE, STEPS, load, many
from tests.performance.clock import clock
from tests.performance.contenders import Share

WHOLE = Share()


def _compiled(network: str, shape: tuple[int, ...], kind: type | None = None) -> keras.Model:
    model = models.get(network)(shape, 10, seed=0)
    if kind is not None:
        model = kind(model.inputs, model.outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def _scaled(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / 255


def _fitting(network: str, size: tuple[int, int], kind: type | None = None) -> Callable[[], None]:
    x, y, *_ = load(network)
    images, epochs = size
    x, y, model = _scaled(x[:images]), y[:images], _compiled(network, x.shape[1:], kind)
    return lambda: model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0) and None


def training(network: str, _: Path) -> Callable[[], None]:
    """`fit`."""
    return _fitting(network, CASES[network].training)


def _length(v: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(v**2, axis=(1, 2, 3), keepdims=True)) + 1e-12


class Adversarial(keras.Model):
    """A `train_step` that replaces the batch by PGD's examples."""

    def train_step(self, data: Any) -> dict:
        """One step."""
        x, y = data
        x_adv = x
        for _ in range(STEPS):
            with tf.GradientTape() as tape:
                tape.watch(x_adv)
                value = self.compute_loss(x, y, self(x_adv, training=False))
            gradient = tape.gradient(value, x_adv)
            x_adv += STEP_SIZE * gradient / _length(gradient)
            delta = x_adv - x
            delta *= tf.minimum(1.0, EPSILON / _length(delta))
            x_adv = tf.clip_by_value(x + delta, 0.0, 1.0)
        return super().train_step((tf.stop_gradient(x_adv), y))


def adversarial_training(network: str, _: Path) -> Callable[[], None]:
    """`fit` with PGD inside."""
    return _fitting(network, CASES[network].adversarial, Adversarial)


def _gradient(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    @tf.function
    def batch(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = model(x, training=False)
            value = loss(tf.argmax(logits, axis=-1), logits)
        return tf.reduce_sum(tf.abs(tape.gradient(value, x)), axis=-1)

    return lambda x: np.concatenate(
        [batch(tf.constant(x[i : i + 500])).numpy() for i in range(0, len(x), 500)]
    )


def attribution(network: str, _: Path) -> Callable[[], None]:
    """A tape in a compiled function, a batch at a time."""
    x = _scaled(many(load(network)[2], CASES[network].attributed))
    gradient = _gradient(models.get(network)(x.shape[1:], 10, seed=0))
    return lambda: gradient(x) is None or None


def roar_curve(network: str, _: Path) -> Callable[[], None]:
    """Sets masked by NumPy, a new model and `fit` for each fraction."""
    x, y, x_test, y_test = load(network)
    images, epochs = CASES[network].retraining
    x, y, x_test, y_test = (
        _scaled(x[:images]),
        y[:images],
        _scaled(x_test[: images // 4]),
        y_test[: images // 4],
    )
    gradient, fill = _gradient(models.get(network)(x.shape[1:], 10, seed=0)), x.mean((0, 1, 2))

    def order(x: np.ndarray) -> np.ndarray:
        return np.argsort(-gradient(x).reshape(len(x), -1), axis=1)

    def masked(x: np.ndarray, order: np.ndarray, fraction: float) -> np.ndarray:
        out = x.reshape(len(x), -1, x.shape[-1]).copy()
        top = order[:, : int(fraction * order.shape[1] + 0.5)]
        out[np.arange(len(x))[:, None], top] = fill
        return out.reshape(x.shape)

    def work() -> None:
        own, test = order(x), order(x_test)
        for fraction in FRACTIONS:
            model = _compiled(network, x.shape[1:])
            model.fit(masked(x, own, fraction), y, batch_size=BATCH, epochs=epochs, verbose=0)
            model.evaluate(masked(x_test, test, fraction), y_test, batch_size=500, verbose=0)

    return work


class Masked(keras.Model):
    """A model that takes the places of images, and masks these in its own graph.

    A pixel is masked by arithmetic: on a CPU `tf.where` takes many times as long.
    """

    def prepare(self, sets: list[tuple[np.ndarray, np.ndarray]], fill: np.ndarray) -> None:
        """The images, and the pixels' ranks, of both sets: to train on and to test on."""
        shapes = [(*x.shape[:-1], 1) for x, _ in sets]
        self.sets = [
            (tf.constant(x), tf.constant(ranks.reshape(shape).astype(np.float32)))
            for (x, ranks), shape in zip(sets, shapes, strict=True)
        ]
        self.fill = tf.constant(fill)
        self.count = tf.Variable(0.0, trainable=False)

    def _masked(self, which: int, index: tf.Tensor) -> tf.Tensor:
        x, ranks = (tf.gather(v, index) for v in self.sets[which])
        keep = tf.cast(ranks >= self.count, tf.float32)
        return x * keep + self.fill * (1.0 - keep)

    def train_step(self, data: Any) -> dict:
        """One step."""
        index, y = data
        return super().train_step((self._masked(0, index), y))

    def test_step(self, data: Any) -> dict:
        """One batch."""
        index, y = data
        return super().test_step((self._masked(1, index), y))


def roar_curve_in_graph(network: str, _: Path, share: Share = WHOLE) -> Callable[[], None]:
    """The curve as fast as plain Keras makes it: one compiled model, masks in its graph.

    The weights and the optimizer's state are set back for each fraction. Of several processes each
    computes the ranks and retrains at its share of the fractions.
    """
    x, y, x_test, y_test = load(network)
    images, epochs = CASES[network].retraining
    x, y, x_test, y_test = (
        _scaled(x[:images]),
        y[:images],
        _scaled(x_test[: images // 4]),
        y_test[: images // 4],
    )
    gradient, fill = _gradient(models.get(network)(x.shape[1:], 10, seed=0)), x.mean((0, 1, 2))
    model = _compiled(network, x.shape[1:], Masked)
    model.compile(
        model.optimizer,
        model.loss,
        metrics=["accuracy"],
        steps_per_execution=len(x) // BATCH,  # a tenth faster; XLA's kernels gain nothing
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    start = [np.array(v) for v in variables]
    pixels = x[0, ..., 0].size
    index, index_test = (np.arange(len(v)) for v in (x, x_test))

    def ranks(x: np.ndarray) -> np.ndarray:
        order, out = (
            np.argsort(-gradient(x).reshape(len(x), -1), axis=1),
            np.empty((len(x), pixels), np.float32),
        )
        np.put_along_axis(out, order, np.arange(pixels, dtype=np.float32)[None], axis=1)
        return out

    def work() -> None:
        model.prepare([(x, ranks(x)), (x_test, ranks(x_test))], fill)
        for fraction in FRACTIONS[share.index :: share.of]:
            for variable, value in zip(variables, start, strict=True):
                variable.assign(value)
            model.count.assign(int(fraction * pixels + 0.5))
            model.fit(index, y, batch_size=BATCH, epochs=epochs, verbose=0)
            model.evaluate(index_test, y_test, batch_size=500, verbose=0)

    return work


class PlainVaeGan(keras.Model):
    """The VAE-GAN's losses in a `train_step` with three tapes and three optimizers."""

    def __init__(self, parts: Any, latent: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.discriminator = (
            parts.encoder,
            parts.decoder,
            parts.discriminator,
        )
        self.latent = latent
        self.optimizers = [keras.optimizers.Adam(5e-4, 0.5, 0.9) for _ in range(3)]

    def _encode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        mean, log_variance = tf.split(self.encoder(x, training=True), 2, axis=-1)
        return (
            mean,
            log_variance,
            mean + tf.exp(log_variance / 2) * tf.random.normal(tf.shape(mean)),
        )

    def train_step(self, x: Any) -> dict:
        """One step."""
        prior = tf.random.normal((tf.shape(x)[0], self.latent))
        networks = (self.discriminator, self.encoder, self.decoder)
        with tf.GradientTape() as first:
            fakes = [self.decoder(z, training=True) for z in (self._encode(x)[2], prior)]
            judged = [self.discriminator(v, training=True) for v in (x, *fakes)]
            losses = [
                tf.reduce_mean(tf.nn.softplus(-judged[0]))
                + sum(tf.reduce_mean(tf.nn.softplus(j)) for j in judged[1:])
            ]
        with tf.GradientTape() as second, tf.GradientTape() as third:
            mean, log_variance, z = self._encode(x)
            image = self.decoder(z, training=True)
            r = 2 * tf.reduce_mean(tf.reduce_sum(tf.abs(x - image), axis=(1, 2, 3)))
            kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_variance) - 1 - log_variance, axis=-1)
            judged = [
                self.discriminator(v, training=True)
                for v in (image, self.decoder(prior, training=True))
            ]
            losses += [
                r + tf.reduce_mean(kl),
                5e-3 * r + sum(tf.reduce_mean(tf.nn.softplus(-j)) for j in judged),
            ]
        for network, tape, loss, optimizer in zip(
            networks, (first, second, third), losses, self.optimizers, strict=True
        ):
            gradients = tape.gradient(loss, network.trainable_variables)
            optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return {"reconstruction": r}


def vae_gan_epoch(network: str, _: Path) -> Callable[[], dict]:
    """One epoch of `fit`, of two that are timed after one that compiles."""
    name, width, latent, images = CASES[network].vae_gan
    x = _scaled(load(network)[0][:images])

    def work() -> dict:
        model = PlainVaeGan(
            models.get(name)(x.shape[1:], seed=0, latent=latent, width=width), latent
        )
        model.compile()
        times: list[dict[str, float]] = []
        told = clock()
        stamp = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: times.append(told()))
        model.fit(x, batch_size=50, epochs=3, verbose=0, callbacks=[stamp])
        return {name: (times[2][name] - times[0][name]) / 2 for name in times[0]}

    return work


def peer(name: str, what: str, folder: Path, share: Share = WHOLE) -> Callable[[], dict]:
    """PGD, or torchattacks' APGD, on the same weights and images; returns the success rate."""
    kind, _, norm = what.partition("_")
    model = keras.saving.load_model(folder / "strided_cnn.keras", compile=False)
    arrays = np.load(folder / "images.npz")
    x, y = _scaled(arrays["x"]), arrays["y"]
    if kind == "apgd":
        right = model.predict(x, verbose=0).argmax(-1) == y
        x, y = x[right], y[right]
        attack = torch_apgd(model, norm=norm, epsilon={"l2": 1e-3, "linf": 1e-4}[norm])
    else:
        epsilon, step_size = {"l2": (1.0, 0.1), "linf": (0.1, 0.01)}[norm]
        attack = PEERS[name](model, norm=norm, epsilon=epsilon, steps=40, step_size=step_size)
    x, y = (np.array_split(v, share.of)[share.index] for v in (x, y))

    def work() -> dict:
        told = clock()
        x_adv = attack(x, y)
        return told() | {"success": float((model.predict(x_adv, verbose=0).argmax(-1) != y).mean())}

    return work
