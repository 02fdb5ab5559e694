"""SmoothGrad, SmoothGrad-Squared and VarGrad against NumPy and where their moments are known."""

import functools

import numpy as np
import pytest
from keras import ops
from scipy import stats

from pellucid.metrics import attributions
from pellucid.metrics.smoothgrad import moments, noise, smoothgrad_squared
from pellucid.models import backend
from tests.conftest import linear_model

SHAPE, PIXELS, CLASSES = (2, 3, 2), 12, 3
DRAWS, SIGMA = 50, 0.15
UNIT = 2.0**-24
"""The relative error of one rounding to float32."""
NAMES = ("smoothgrad", "smoothgrad_squared", "vargrad")


@functools.cache
def draws_of_noise() -> np.ndarray:
    """The noise itself, `(DRAWS, *SHAPE)`."""
    draw = backend.jit(lambda k: noise(SHAPE, k))
    draws = [draw(backend.to_device(np.array(k, np.int32))) for k in range(DRAWS)]
    return np.stack([ops.convert_to_numpy(n) for n in draws]).astype(np.float64)


class Linear:
    """A linear network of three classes, and images of which some are at the ends of [0, 1]."""

    def __init__(self, seed: int, classes: int = CLASSES):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(0, 1, (PIXELS, classes)).astype(np.float32).astype(np.float64)
        self.bias = rng.normal(0, 1, classes).astype(np.float32).astype(np.float64)
        self.x = rng.uniform(0, 1, (6, *SHAPE)).astype(np.float32)
        self.x[:3] = np.round(self.x[:3])
        self.model = linear_model(self.weights, self.bias, SHAPE)
        self.label = self.logits(self.x).argmax(1)

    def logits(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, PIXELS) @ self.weights + self.bias

    def gradients(self) -> tuple[np.ndarray, np.ndarray]:
        """d xent / d(2x - 1) = W (p - onehot) / 2 of every draw, and |W| |p - onehot| / 2.

        In float64, each `(draws, n, *SHAPE)`. The loop is the point: one noisy image at a time.
        """
        found = np.empty((2, DRAWS, *self.x.shape))
        for k, n in enumerate(draws_of_noise()):
            for i, x in enumerate(self.x):
                exp = np.exp(self.logits(x + SIGMA * n)[0])
                p = exp / exp.sum()
                p[self.label[i]] -= 1
                found[0, k, i] = (self.weights @ p / 2).reshape(SHAPE)
                found[1, k, i] = (np.abs(self.weights) @ np.abs(p) / 2).reshape(SHAPE)
        return found[0], found[1]

    def rounding(self, name: str) -> np.ndarray:
        """A bound on float32's error of a map.

        A logit is a sum of d products, off by d roundings of their absolute sum. The relative error
        of p - onehot is that of two logits. 50 gradients are averaged; 50 more roundings cover the
        rest. A square's relative error is twice a number's, and the variance is two of them.
        """
        size = (np.abs(self.weights).sum(0) * (1 + SIGMA * np.abs(draws_of_noise()).max())).max()
        relative = UNIT * (2 * (PIXELS + 4) * (size + np.abs(self.bias).max()) + DRAWS + 50)
        _, bound = self.gradients()
        if name == "smoothgrad":
            return relative * bound.mean(0).sum(-1)
        return (2 if name == "smoothgrad_squared" else 4) * relative * (bound**2).mean(0).sum(-1)


@pytest.mark.parametrize("seed", range(4))
def test_linear_network_against_a_loop(seed):
    """The same noise, unclipped, added one draw after the other; the class is the clean image's."""
    network = Linear(seed)
    gradients, _ = network.gradients()
    expected = {
        "smoothgrad": np.abs(gradients.mean(0)).sum(-1),
        "smoothgrad_squared": (gradients**2).mean(0).sum(-1),
        "vargrad": gradients.var(0).sum(-1),
    }
    for name, values in expected.items():
        maps, rounding = attributions.run(name, network.model, network.x), network.rounding(name)
        assert (np.abs(maps - values) <= rounding).all(), name
        # a variance that divides by 49 instead of by 50 is 2 percent off
        assert np.median(rounding / values) < 0.01


def test_linear_networks_change_class_under_the_noise():
    """So the loop above tells the clean image's class from the noisy one's."""
    changed = 0
    for network in map(Linear, range(4)):
        noisy = [network.logits(network.x + SIGMA * n).argmax(1) for n in draws_of_noise()]
        changed += (np.stack(noisy) != network.label).any(0).sum()
    assert changed >= 4


@pytest.mark.parametrize("seed", range(3))
def test_moments_of_a_linear_margin_in_closed_form(seed):
    """Under noise a linear margin is N(m, sigma^2 ||w||^2), and a gradient -sigmoid(-margin) w / 2.

    Mean and variance of the sigmoid follow from a quadrature; those of 2,000 draws lie within 4.5
    standard errors. Of 4,000 choices of the noise one would fail somewhere in the 36 comparisons.
    """
    draws, network = 2000, Linear(seed + 10, classes=2)
    sign = np.where(network.label == 0, 1.0, -1.0)[:, None]
    slope = sign * (network.weights[:, 0] - network.weights[:, 1])
    logits = network.logits(network.x)
    margin = sign[:, 0] * (logits[:, 0] - logits[:, 1])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights /= weights.sum()
    spread = SIGMA * np.linalg.norm(slope, axis=1)
    values = 1 / (1 + np.exp(margin[:, None] + spread[:, None] * nodes))
    mean = values @ weights
    second, fourth = (((values - mean[:, None]) ** k) @ weights for k in (2, 4))

    compute = backend.jit(lambda x: ops.stack(moments(network.model, x, draws=draws)))
    found = ops.convert_to_numpy(compute(backend.to_device(network.x))).reshape(2, 6, PIXELS)
    pixel = np.abs(slope).argmax(1)
    at = np.arange(6)
    size = slope[at, pixel] / 2
    np.testing.assert_array_less(
        np.abs(found[0, at, pixel] / -size - mean), 4.5 * np.sqrt(second / draws)
    )
    np.testing.assert_array_less(
        np.abs(found[1, at, pixel] / size**2 - second),
        4.5 * np.sqrt((fourth - second**2) / draws) + second / draws,
    )


class Smooth:
    """A network of one hidden layer with tanh."""

    def __init__(self, seed: int):
        rng = np.random.default_rng(seed)
        self.first = rng.normal(0, 1.0, (PIXELS, 8)).astype(np.float32)
        self.second = rng.normal(0, 1.5, (8, CLASSES)).astype(np.float32)
        self.x = rng.uniform(0, 1, (4, *SHAPE)).astype(np.float32)

    def logits(self, x):
        flat = ops.reshape(x, (-1, PIXELS))
        return ops.matmul(ops.tanh(ops.matmul(flat, self.first)), self.second)

    def rounding(self, largest: float) -> tuple[float, np.ndarray]:
        """As `Linear.rounding`, through two layers: a relative error, of a bound of the gradient.

        Args:
            largest: The largest pixel.
        """
        first, second = np.abs(self.first), np.abs(self.second)
        logits = (PIXELS + 4) * largest * first.sum(0).max() + (8 + 4) * second.sum(0).max()
        bound = (first @ second).max(1).reshape(SHAPE)
        return UNIT * (2 * logits + DRAWS + 50), bound


@pytest.mark.parametrize("seed", range(3))
def test_moments_are_those_of_single_gradients(seed):
    """Of any network: NumPy's mean and variance of gradients that are taken one at a time."""
    network = Smooth(seed)
    one = backend.jit(lambda x, label: attributions.loss_gradient(network.logits, x, label))
    x = backend.to_device(network.x)
    label = attributions.predicted(network.logits, x)
    noisy = (network.x + SIGMA * draws_of_noise()[:, None]).astype(np.float32)
    gradients = np.stack([ops.convert_to_numpy(one(backend.to_device(z), label)) for z in noisy])
    compute = backend.jit(lambda z: ops.stack(moments(network.logits, z)))
    mean, variance = ops.convert_to_numpy(compute(x)).astype(np.float64)

    relative, bound = network.rounding(np.abs(noisy).max())
    gradients = gradients.astype(np.float64)
    assert (np.abs(mean - gradients.mean(0)) <= 2 * relative * bound).all()
    assert (np.abs(variance - gradients.var(0)) <= 8 * relative * bound**2).all()
    assert (variance >= 0).all()

    squares = backend.jit(lambda z: smoothgrad_squared(network.logits, z))(x)
    off = np.abs(ops.convert_to_numpy(squares) - (mean**2 + variance).sum(-1))
    assert (off <= 8 * relative * (bound**2).sum(-1)).all()


@pytest.mark.parametrize("seed", range(2))
def test_gradients_without_noise(seed):
    """The mean is the gradient itself, and the variance exactly zero."""
    network = Smooth(seed)
    compute = backend.jit(
        lambda x: (
            moments(network.logits, x, sigma=0.0),
            attributions.loss_gradient(network.logits, x),
        )
    )
    (mean, variance), gradient = compute(backend.to_device(network.x))
    relative, bound = network.rounding(1.0)
    off = np.abs(ops.convert_to_numpy(mean) - ops.convert_to_numpy(gradient))
    assert (off <= 2 * relative * bound).all()
    assert (ops.convert_to_numpy(variance) == 0).all()


def test_a_given_label_replaces_the_class_of_the_draws():
    network = Smooth(0)
    x = backend.to_device(network.x)
    for label in range(CLASSES):
        labels = np.full(4, label)
        mean, _ = moments(network.logits, x, labels, draws=1, sigma=0.0)
        gradient = attributions.loss_gradient(network.logits, x, labels)
        relative, bound = network.rounding(1.0)
        off = np.abs(ops.convert_to_numpy(mean) - ops.convert_to_numpy(gradient))
        assert (off <= 2 * relative * bound).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bias", [[0.0, 0.0, 0.0], [0.0, 2.0, -1.0]])
def test_gradients_of_a_network_that_ignores_its_input_are_zero(name, bias):
    model = linear_model(np.zeros((PIXELS, CLASSES)), np.array(bias), SHAPE)
    assert (attributions.run(name, model, Linear(0).x) == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_draws_do_not_depend_on_the_batch(name):
    """Nor on the image's place: beyond rounding, every image has the map it has alone."""
    network = Linear(6)
    rounding = 2 * network.rounding(name)
    whole = attributions.run(name, network.model, network.x)
    parts = attributions.run(name, network.model, network.x, batch_size=4)
    back = attributions.run(name, network.model, network.x[::-1], batch_size=1)[::-1]
    assert (np.abs(whole - parts) <= rounding).all()
    assert (np.abs(whole - back) <= rounding).all()


def test_draws_of_noise_are_standard_normal_and_apart():
    """Over 50 draws of 16x16x3: the distribution, and no correlation of draws or of neighbours."""
    shape = (16, 16, 3)
    drawn = np.stack([ops.convert_to_numpy(noise(shape, k)).ravel() for k in range(DRAWS)])
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-3
    pixels = drawn.shape[1]
    assert np.abs(drawn.mean(1)).max() < 4.5 / np.sqrt(pixels)
    between = np.corrcoef(drawn)[np.triu_indices(DRAWS, 1)]
    assert np.abs(between).max() < 5 / np.sqrt(pixels)
    neighbours = (drawn[:, 1:] * drawn[:, :-1]).mean()
    assert abs(neighbours) < 4 / np.sqrt(drawn.size)


def test_draws_are_the_same_with_every_backend():
    """The first numbers of the first and the last draw, which stored maps depend on."""
    found = [ops.convert_to_numpy(noise(SHAPE, k)).ravel()[:3] for k in (0, DRAWS - 1)]
    recorded = [[-0.971563, -0.757249, -0.908586], [-1.521574, -0.032486, -1.522243]]
    np.testing.assert_allclose(found, recorded, atol=2e-6)


def test_more_draws_do_not_make_a_larger_program():
    network = Smooth(0)
    sizes = [
        backend.loops_and_gradients(
            lambda x, draws=draws: ops.stack(moments(network.logits, x, draws=draws)), network.x
        )
        for draws in (2, 50)
    ]
    assert sizes[0] == sizes[1]
    assert sizes[0]["loops"] == 1
