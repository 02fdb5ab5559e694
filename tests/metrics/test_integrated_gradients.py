"""Integrated Gradients: completeness, and networks on which the integral is known."""

import numpy as np
import pytest
from keras import ops
from numpy.polynomial import Chebyshev

from pellucid.metrics import attributions
from pellucid.metrics.integrated_gradients import STEPS, path_integral
from pellucid.models import backend
from pellucid.models.errors import InputError
from tests.conftest import linear_model

SHAPE, PIXELS, HIDDEN = (2, 3, 2), 12, 8
UNIT = 2.0**-24
"""The relative error of one rounding to float32."""
BASELINES = {"integrated_gradients": 0.0, "integrated_gradients_mean": np.array([0.3, 0.6])}


def images(rng: np.random.Generator, n: int = 6) -> np.ndarray:
    return rng.uniform(0, 1, (n, *SHAPE)).astype(np.float32)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


class TwoClasses:
    """A linear network of two classes: its margin m is linear, and dL/dx = -sigmoid(-m) dm/dx."""

    def __init__(self, seed: int, scale: float = 1.0):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(0, scale, (PIXELS, 2)).astype(np.float32).astype(np.float64)
        self.bias = rng.normal(0, scale, 2).astype(np.float32).astype(np.float64)
        self.x = images(rng)
        self.model = linear_model(self.weights, self.bias, SHAPE)
        logits = self.x.reshape(-1, PIXELS) @ self.weights + self.bias
        self.label = logits.argmax(1)
        sign = np.where(self.label == 0, 1.0, -1.0)
        self.slope = (sign[:, None] * (self.weights[:, 0] - self.weights[:, 1])).reshape(
            self.x.shape
        )
        self.offset = sign * (self.bias[0] - self.bias[1])

    def margin(self, x: np.ndarray) -> np.ndarray:
        return (self.slope * x).sum((1, 2, 3)) + self.offset

    def rounding(self, length: np.ndarray) -> np.ndarray:
        """A bound on float32's error of |length * dL/dx|, summed over channels.

        A sum of d products is off by d roundings of the absolute sum. The margin is two such sums
        at a rounded point, and the sigmoid's relative error is the margin's error. 50 gradients are
        added up; 50 more roundings cover the rest.
        """
        size = np.abs(self.weights).sum(0).max() + np.abs(self.bias).max()
        relative = UNIT * (2 * (PIXELS + 4) * size + STEPS + 50)
        weights = np.abs(self.weights).sum(1).reshape(SHAPE)
        return (relative * np.abs(length) * weights).sum(-1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", BASELINES)
def test_linear_margin_in_closed_form(name, seed):
    """IG_i = (x_i - b_i) dm/dx_i (L(x) - L(b)) / (m(x) - m(b)), which 50 midpoints are close to."""
    assert STEPS == 50
    network, baseline = TwoClasses(seed), BASELINES[name]
    path = network.x - baseline
    maps = attributions.run(name, network.model, network.x, fill=np.array([0.3, 0.6]))
    start, end = network.margin(baseline * np.ones(network.x.shape)), network.margin(network.x)

    midpoints = start[:, None] + (end - start)[:, None] * (np.arange(STEPS) + 0.5) / STEPS
    each = np.abs(path * network.slope)
    rounding = network.rounding(path)
    expected = (each * sigmoid(-midpoints).mean(1)[:, None, None, None]).sum(-1)
    assert (np.abs(maps - expected) <= rounding).all()

    # |sigmoid''| <= 1 / (6 sqrt(3)), and the midpoint rule is off by that / 24 / steps^2 at most
    integral = (np.log1p(np.exp(-start)) - np.log1p(np.exp(-end))) / (end - start)
    midpoint = (end - start) ** 2 / (6 * np.sqrt(3)) / (24 * STEPS**2)
    factor, bound = integral[:, None, None, None], midpoint[:, None, None, None]
    off = np.abs(maps - (each * factor).sum(-1))
    assert (off <= (each * bound).sum(-1) + rounding).all()


def test_linear_margin_changes_class_on_the_way():
    """So these networks tell a class that is fixed at the image from one that follows the path."""
    networks = [TwoClasses(seed) for seed in range(4)]
    assert sum((n.margin(np.zeros(n.x.shape)) < 0).sum() for n in networks) >= 4


@pytest.mark.parametrize("seed", range(3))
def test_from_grey_a_linear_margin_ranks_as_gradient_times_input(seed):
    """x - b is half of 2x - 1 then: the maps' ratio is mean(sigmoid(-m)) over the path / at x."""
    network = TwoClasses(seed)
    grey = np.full(2, 0.5)
    maps = attributions.run("integrated_gradients_mean", network.model, network.x, fill=grey)
    product = attributions.run("gradient_input", network.model, network.x)
    start, end = network.margin(np.full(network.x.shape, 0.5)), network.margin(network.x)
    integral = (np.log1p(np.exp(-start)) - np.log1p(np.exp(-end))) / (end - start)
    midpoint = (end - start) ** 2 / (6 * np.sqrt(3)) / (24 * STEPS**2)
    ratio = (integral / sigmoid(-end))[:, None, None]
    path = np.abs(network.x - 0.5)
    bound = (np.abs(network.slope) * path * midpoint[:, None, None, None]).sum(-1)
    rounding = network.rounding(path) * (1 + ratio)
    assert (np.abs(maps - ratio * product) <= bound + rounding).all()


class Smooth:
    """A network of one hidden layer with tanh, in float32 and in float64."""

    def __init__(self, seed: int):
        rng = np.random.default_rng(seed)
        first, second = rng.normal(0, 1.0, (PIXELS, HIDDEN)), rng.normal(0, 1.5, (HIDDEN, 3))
        self.first, self.second = first.astype(np.float32), second.astype(np.float32)
        self.x, self.label = images(rng, 4), rng.integers(0, 3, 4)

    def logits(self, x):
        flat = ops.reshape(x, (-1, PIXELS))
        return ops.matmul(ops.tanh(ops.matmul(flat, self.first)), self.second)

    def loss(self, x: np.ndarray, label: int) -> np.ndarray:
        """In float64, of images `(m, pixels)`."""
        first, second = self.first.astype(np.float64), self.second.astype(np.float64)
        logits = np.tanh(x @ first) @ second
        return np.log(np.exp(logits).sum(1)) - logits[:, label]

    def signed(self, steps: int) -> np.ndarray:
        compute = backend.jit(
            lambda x, label: path_integral(self.logits, x, 0.0, label, steps=steps)
        )
        x, label = backend.to_device(self.x), backend.to_device(self.label)
        return ops.convert_to_numpy(compute(x, label)).astype(np.float64)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [6, 12, 24, 50])
def test_completeness(seed, steps):
    """The sum is off by the midpoint rule's error alone, which Euler and Maclaurin give.

    With l(t) the loss on the path: -(l''(1) - l''(0)) / (24 steps^2), and no more than
    2 * 7/5760 max|l^(5)| / steps^4 beyond that.
    """
    network = Smooth(seed)
    sums = network.signed(steps).sum((1, 2, 3))
    for i, label in enumerate(network.label):
        end = network.x[i].reshape(-1).astype(np.float64)
        loss = Chebyshev.interpolate(
            lambda t, end=end, label=label: network.loss(t[:, None] * end, label), 60, [0, 1]
        )
        curvature = loss.deriv(2)
        predicted = -(curvature(1.0) - curvature(0.0)) / (24 * steps**2)
        grid = np.linspace(0, 1, 500)
        remainder = 2 * 7 / 5760 * np.abs(loss.deriv(5)(grid)).max() / steps**4
        # roundings as in `TwoClasses.rounding`, through two layers
        inner, outer = np.abs(network.first), np.abs(network.second)
        logits = (PIXELS + 4) * (end @ inner).max() + (HIDDEN + 4) * outer.sum(0).max()
        rounding = UNIT * (2 * logits + steps + 50) * (end @ inner @ outer).max()
        error = sums[i] - (loss(1.0) - loss(0.0))
        assert abs(error - predicted) <= remainder + rounding


def test_completeness_has_an_error_that_falls_with_the_square_of_the_steps():
    """Twice the steps, about a quarter of the error, which is large enough to be seen."""
    network = Smooth(0)
    errors = []
    for steps in (6, 12, 24):
        expected = [
            float(np.diff(network.loss(np.stack([0 * e, e]).astype(np.float64), label))[0])
            for e, label in zip(network.x.reshape(4, -1), network.label, strict=True)
        ]
        errors.append(np.abs(network.signed(steps).sum((1, 2, 3)) - expected).max())
    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 1e-3


def test_a_gradient_of_pixels_as_in_the_baseline_is_zero():
    """Sensitivity: what does not differ from the baseline changes nothing."""
    network = TwoClasses(5)
    x = network.x.copy()
    x[:, 0, 1] = 0
    maps = attributions.run("integrated_gradients", network.model, x)
    assert (maps[:, 0, 1] == 0).all()
    assert (np.delete(maps.reshape(-1, 6), 1, axis=1) > 0).all()
    x[:, 0, 1] = [0.25, 0.75]
    fill = np.array([0.25, 0.75])
    maps = attributions.run("integrated_gradients_mean", network.model, x, fill=fill)
    assert (maps[:, 0, 1] == 0).all()
    assert (np.delete(maps.reshape(-1, 6), 1, axis=1) > 0).all()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("bias", [[0.0, 0.0, 0.0], [0.0, 2.0, -1.0]])
def test_gradients_of_a_network_that_ignores_its_input_are_zero(name, bias):
    model = linear_model(np.zeros((PIXELS, 3)), np.array(bias), SHAPE)
    maps = attributions.run(
        name, model, images(np.random.default_rng(0)), fill=np.array([0.3, 0.6])
    )
    assert (maps == 0).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_map_does_not_depend_on_the_batch(name):
    network, fill = TwoClasses(6), np.array([0.3, 0.6])
    rounding = 2 * network.rounding(network.x - BASELINES[name])
    whole = attributions.run(name, network.model, network.x, fill=fill)
    parts = attributions.run(name, network.model, network.x, fill=fill, batch_size=4)
    back = attributions.run(name, network.model, network.x[::-1], fill=fill, batch_size=1)[::-1]
    assert (np.abs(whole - parts) <= rounding).all()
    assert (np.abs(whole - back) <= rounding).all()


def test_more_steps_do_not_make_a_larger_program():
    network = Smooth(0)
    sizes = [
        backend.loops_and_gradients(
            lambda x, steps=steps: path_integral(network.logits, x, 0.0, steps=steps), network.x
        )
        for steps in (2, 50)
    ]
    assert sizes[0] == sizes[1]
    assert sizes[0]["loops"] == 1


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (None, r"'integrated_gradients_mean' needs `fill`, .* channel means, shape \(2,\)\."),
        (np.array([0.5]), r"in \[0, 1\], shape \(2,\)\. Received \[0\.5\]\."),
        (np.array([127.0, 3.0]), r"in \[0, 1\], .* Received \[127\.0, 3\.0\]\."),
        (np.array([0.5, np.nan]), r"in \[0, 1\], .* Received \[0\.5, nan\]\."),
    ],
)
def test_channel_means_are_needed_of_which_there_is_one_each(fill, message):
    network = TwoClasses(7)
    with pytest.raises(InputError, match=message) as error:
        attributions.run("integrated_gradients_mean", network.model, network.x, fill=fill)
    assert "\n" not in str(error.value)
