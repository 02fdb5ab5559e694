"""Base models are trained until the standard network fits its images."""

import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.units import configuration, fit, plan, retrain, train
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.store import Store
from tests.commands import TINY

SETTINGS = ["grid=[{norm='l2', epsilons=[0.3]}]", "training.epochs=12", "data.train_limit=600"]


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", train_limit=600, test_limit=100)


def trained(data, folder, until: float) -> tuple[fit.Values, list[train.Values]]:
    work = plan.build(
        configuration.resolve(None, TINY, [*SETTINGS, f"training.until={until}"]), data.info
    )
    store = Store(folder)
    context = Context(work, store, data)
    units = [*work.of(fit.KIND), *work.of(train.KIND)]
    for unit in units:
        store.put(unit, unit.kind.work(unit.spec, context), environment={}, seconds=0)
    return store.values(units[0]), [store.values(unit) for unit in units[1:]]


def test_all_networks_take_the_epochs_that_the_standard_one_needs(data, tmp_path):
    found, networks = trained(data, tmp_path, 0.5)
    assert found.reached
    assert 1 < found.epochs < 12
    assert found.accuracy[found.epochs - 1] >= 0.5 > max(found.accuracy[: found.epochs - 1])
    assert len(networks) == 2
    assert {len(network.history) for network in networks} == {found.epochs}
    standard = [epoch.accuracy for epoch in networks[0].history]
    assert standard == pytest.approx(found.accuracy[: found.epochs])


def test_where_it_does_not_fit_it_takes_all_epochs_and_says_so(data, tmp_path):
    found, networks = trained(data, tmp_path, 0.9999)
    assert (found.epochs, found.reached) == (12, False)
    assert {len(network.history) for network in networks} == {12}


def test_without_the_rule_nothing_changes(data):
    def keys(*more: str) -> set[str]:
        work = plan.build(configuration.resolve(None, TINY, [*SETTINGS, *more]), data.info)
        return {unit.key for unit in work.units if unit.kind is not retrain.KIND}

    assert keys() != keys("training.until=0.98")
    work = plan.build(configuration.resolve(None, TINY, SETTINGS), data.info)
    assert not list(work.of(fit.KIND))
    assert "until" not in work.config.model_dump()["training"]
    assert all(unit.spec_json["training"].get("until") is None for unit in work.of(retrain.KIND))


def test_retraining_on_fewer_images_is_another_unit(data):
    def units(limit: str) -> list:
        settings = [*SETTINGS, f"retraining.train_limit={limit}"]
        work = plan.build(configuration.resolve(None, TINY, settings), data.info)
        return list(work.of(retrain.KIND))

    few, all_images, more = units("200"), units("600"), units("5000")
    assert {u.images for u in few} == {400}
    assert {u.images for u in all_images} == {1200}
    assert [u.key for u in all_images] == [u.key for u in more]
    assert not {u.key for u in few} & {u.key for u in more}
    context = Context(
        plan.build(configuration.resolve(None, TINY, SETTINGS), data.info), None, data
    )
    random = next(u for u in few if u.spec.order.attribution == "random")
    assert context.ranks(random.spec.order, 200)[0].shape[0] == 200
    assert retrain.work(random.spec, context).values.examples == 100
