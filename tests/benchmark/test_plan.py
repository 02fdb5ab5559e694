"""Keys: the same for the same work, another when anything changes that the result depends on."""

import dataclasses
from pathlib import Path

import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.units import configuration, pictures, plan, train

TINY = Path(__file__).parent / "tiny.toml"
INFO = datasets.Info("digits", "1.0.0", 300, 100, (8, 8, 1), 10)


def build(*assignments: str, info: datasets.Info = INFO) -> plan.Plan:
    return plan.build(configuration.resolve(None, TINY, list(assignments)), info)


def keys(work: plan.Plan, kind: str) -> set[str]:
    return {unit.key for unit in work.units if unit.kind.name == kind}


def test_units_of_the_tiny_plan():
    """6 networks, each with all measures: 2 attack losses, 24 retrainings; 3 orders beside."""
    work = build()
    assert {kind: count for kind, count, _ in plan.summary(work)} == {
        "train": 6,
        "vae_gan": 1,
        "accuracy": 6,
        "robustness": 6,
        "contamination": 6,
        "autoattack": 6,
        "pictures": 6,
        "manifold": 12,
        "retrain": 6 * 24 + 8 + 8 + 2,
    }
    assert len({unit.key for unit in work.units}) == len(work.units)
    assert len({(unit.kind.name, unit.label) for unit in work.units}) == len(work.units)
    assert next(work.of(train.KIND)).images == 900


def test_every_unit_comes_after_what_it_needs():
    seen: set[str] = set()
    for unit in build().units:
        assert seen.issuperset(unit.needs)
        seen.add(unit.key)


def test_same_configuration_same_keys_whatever_its_name():
    assert [u.key for u in build().units] == [
        u.key for u in build("name=other", "scale=reduced").units
    ]


@pytest.mark.parametrize(
    ("assignment", "changed", "kept"),
    [
        ("training.epochs=4", {"train", "accuracy", "manifold", "pictures"}, {"vae_gan"}),
        ("vae_gan.epochs=4", {"vae_gan", "manifold"}, {"train", "accuracy", "pictures", "retrain"}),
        (
            "evaluation.steps=4",
            {"accuracy"},
            {"train", "vae_gan", "manifold", "pictures", "retrain"},
        ),
        (
            "retraining.epochs=4",
            {"retrain"},
            {"train", "vae_gan", "manifold", "pictures", "accuracy"},
        ),
        ("model.width=1.0", {"train", "accuracy", "manifold", "pictures", "retrain"}, {"vae_gan"}),
    ],
)
def test_a_change_reaches_what_depends_on_it_and_nothing_else(assignment, changed, kept):
    before, after = build(), build(assignment)
    assert all(not keys(before, kind) & keys(after, kind) for kind in changed)
    assert all(keys(before, kind) == keys(after, kind) for kind in kept)


def test_the_versions_of_data_and_kind_are_part_of_every_key(monkeypatch):
    before = {u.key: u.kind.name for u in build().units}
    other = datasets.Info("digits", "1.0.1", 300, 100, (8, 8, 1), 10)
    assert not before.keys() & {u.key for u in build(info=other).units}
    raised = dataclasses.replace(pictures.KIND, version=2)
    monkeypatch.setattr(pictures, "KIND", raised)
    kinds = [raised if kind.name == "pictures" else kind for kind in plan.KINDS]
    monkeypatch.setattr(plan, "KINDS", kinds)
    after = {u.key for u in build().units}
    assert {kind for key, kind in before.items() if key not in after} == {"pictures"}


def test_larger_grids_repeats_and_seeds_keep_what_is_done():
    before = {u.key for u in build().units}
    for more in ("retraining.repeats=3", "grid.1.epsilons=[0.1, 0.15]", "seeds=2"):
        after = {u.key for u in build(more).units}
        assert before < after
