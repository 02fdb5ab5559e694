"""Orders of pixels and controls as a run makes them, against maps worked out apart."""

import dataclasses
import functools

import keras
import numpy as np
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.training.prediction import predicted_classes
from pellucid.benchmark.units import configuration, orders, plan, train
from pellucid.benchmark.units.context import Context, derived_seed
from pellucid.benchmark.units.orders import OWN, Order
from pellucid.benchmark.units.store import Store
from pellucid.metrics import CONTROLS, attributions, controls, ranking, spectrum
from pellucid.models.functional import predict
from tests.commands import TINY

ALL = f"retraining.controls={list(CONTROLS)}"
close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7)
"""Equal in float32: a batch of another size may use another kernel, by the processor."""
BOTH = "retraining.fills=['mean', 'imputed']"


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    """A standard network and one against an adversary, trained and stored."""
    data = datasets.load("digits", train_limit=300, test_limit=100)
    grid = "grid=[{norm='l2', epsilons=[0.6]}]"
    work = plan.build(configuration.resolve(None, TINY, [grid, ALL, BOTH]), data.info)
    store = Store(tmp_path_factory.mktemp("orders"))
    made = Context(work, store, data)
    for unit in work.of(train.KIND):
        store.put(unit, unit.kind.work(unit.spec, made), environment={}, seconds=0)
    made.keys = [unit.key for unit in work.of(train.KIND)]
    made.work = work
    return made


def maps(order: Order, context: Context, split: str = "test") -> np.ndarray:
    n = len(getattr(context.data, f"x_{split}"))
    images = orders.Images(context.data.x_train, context.data.x_test)
    made = orders.maps(order, context, images, split)
    return np.concatenate([made(slice(start, min(start + 40, n))) for start in range(0, n, 40)])


def own(context: Context, key: int, split: str = "test") -> np.ndarray:
    model, x = context.model(context.keys[key]), getattr(context.data, f"x_{split}")
    return attributions.run("gradient", model, x)


def test_own_and_mean_and_blurred_maps(context):
    source = context.keys[1]
    close(maps(Order("gradient", OWN, source), context), own(context, 1))
    mean = own(context, 1, "train").mean(axis=0)
    found = maps(Order("gradient", "mean", source), context)
    close(found, np.broadcast_to(mean, found.shape))
    close(
        maps(Order("gradient", "blurred", source), context),
        spectrum.blur(own(context, 1), controls.blur_width(8)),
    )


def test_the_standard_map_is_blurred_until_its_spectrum_is_nearest(context):
    standard, source = context.keys
    found = maps(Order("gradient", "blur_matched", source, standard), context, "train")
    target = spectrum.radial_power(own(context, 1, "train"))
    reached = spectrum.spectral_distance(found, target)
    unblurred = own(context, 0, "train")
    tried = [
        spectrum.spectral_distance(spectrum.blur(unblurred, sigma), target)
        for sigma in np.linspace(0, 4, 41)
    ]
    assert reached <= min(tried) + 1e-3
    itself = maps(Order("gradient", "blur_matched", standard, standard), context, "train")
    close(itself, unblurred)


@pytest.mark.parametrize("dead", [0, 1])
def test_maps_that_do_not_vary_are_matched_by_a_random_order(context, monkeypatch, dead):
    """A network whose gradients are all 0, standard or not, does not end a run."""
    trained = Context.explained

    def explained(self, order):
        model = trained(self, order)
        if order.source != context.keys[dead]:
            return model
        made = keras.models.clone_model(model)
        made.set_weights([np.zeros_like(w) for w in model.get_weights()])
        return made

    monkeypatch.setattr(Context, "explained", explained)
    standard, source = context.keys
    found = maps(Order("gradient", "blur_matched", source, standard), context)
    assert found.shape == (100, 8, 8)
    assert not np.ptp(found, axis=(1, 2)).any()
    ranks = ranking.pieces(lambda part: found[part], found.shape, seed=0)
    first = np.concatenate(list(ranks)).reshape(100, -1).argmin(axis=1)
    assert len(set(first)) > 30  # no pixel comes first everywhere


@pytest.mark.parametrize("name", ["shuffled", "shuffled_within"])
def test_a_shuffled_map_is_another_image_s(context, name):
    """Every shuffled map is the own map of one other image, each of them used once."""
    found = maps(Order("gradient", name, context.keys[1]), context)
    mine = own(context, 1)
    distances = np.abs(found[:, None] - mine[None]).sum(axis=(2, 3))
    other = distances.argmin(axis=1)
    assert np.allclose(distances.min(axis=1), 0, atol=1e-4)
    classes = predicted_classes(context.model(context.keys[1]), context.data.x_test)
    alone = np.bincount(classes, minlength=10)[classes] == 1
    if name == "shuffled":
        assert (other != np.arange(100)).all()
    else:
        np.testing.assert_array_equal(other == np.arange(100), alone)
        np.testing.assert_array_equal(classes[other], classes)
    assert sorted(other) == list(range(100))


def test_untrained_maps_are_those_of_initial_weights(context):
    """The weights that base model 0 starts from, and others for another draw."""
    found = [maps(Order("gradient", "untrained", draw=draw), context) for draw in (0, 1)]
    spec = next(context.work.of(train.KIND)).spec
    model = context.build(spec.model, derived_seed("train", 0))
    close(found[0], attributions.run("gradient", model, context.data.x_test))
    assert not np.allclose(found[0], found[1])


def test_imputed_images_keep_what_is_not_removed(context):
    order = Order("gradient", OWN, context.keys[1])
    for mode in ("roar", "kar"):
        train_images, test_images = context.imputed(order, 0.3, mode)
        ranks = np.asarray(context.ranks(order)[0])
        kept = ranks >= 19 if mode == "roar" else ranks < 19
        images = np.asarray(train_images)
        assert images.dtype == test_images.dtype == np.uint8
        np.testing.assert_array_equal(images[kept], context.data.x_train[kept])
        assert (images[~kept] != context.data.x_train[~kept]).mean() > 0.5


def test_a_plan_has_every_control_once(context):
    units = [u for u in context.work.units if u.kind.name == "retrain"]
    labels = [unit.label for unit in units]
    assert len(set(labels)) == len(labels)
    seen = {(u.network.label if u.network else "none", u.spec.order.control) for u in units}
    of_networks = {c.name for c in CONTROLS.values() if c.of_network}
    assert {name for label, name in seen if label == "l2-0.6-xent"} == of_networks | {OWN}
    assert {name for label, name in seen if label == "standard"} == of_networks - {
        "blur_matched"
    } | {OWN}
    assert {u.spec.order.attribution for u in units if u.network is None} == {
        "none",
        "random",
        "gaussian",
        "sobel",
        "gradient",
    }


def test_seeds_have_draws_of_their_own():
    """Pairs of draws: no retraining of one base-model seed is compared with that of another."""
    data = datasets.load("digits", train_limit=300, test_limit=100)
    work = plan.build(configuration.resolve(None, TINY, ["seeds=3", ALL, BOTH]), data.info)
    units = [u for u in work.units if u.kind.name == "retrain"]
    for seed in range(3):
        draws = {u.spec.draw for u in units if u.seed == seed and u.network}
        assert draws == {2 * seed, 2 * seed + 1}
    free = {u.spec.draw for u in units if u.network is None}
    assert free == set(range(6))
    submitted = plan.submission(work.config, data.info, "0" * 64)
    draws = {u.spec.draw for u in submitted.units if u.kind.name == "retrain"}
    assert draws == {0, 1}


def test_a_network_alone_gives_the_same_as_beside_others(context):
    """Maps of an order do not depend on which part of the images is asked for."""
    order = Order("gradient", "shuffled_within", context.keys[0])
    images = orders.Images(context.data.x_train, context.data.x_test)
    made = orders.maps(order, context, images, "train")
    whole = made(slice(0, 300))
    close(made(slice(100, 130)), whole[100:130])


def test_the_network_asked_is_the_one_of_the_order(context):
    first, second = (context.explained(Order("gradient", OWN, key)) for key in context.keys)
    x = context.data.x_test
    assert not np.allclose(predict(first, x), predict(second, x))
    replaced = dataclasses.replace(Order("gradient", OWN, context.keys[0]), control="mean")
    assert context.explained(replaced) is first
