"""Configurations: presets, files, --set, and one line for every mistake."""

import tomllib

import pytest

from robust_interpretability.benchmark.config import toml
from robust_interpretability.benchmark.data import datasets
from robust_interpretability.benchmark.units import configuration, manifold, plan, retrain, train
from robust_interpretability.models.errors import InputError


@pytest.mark.parametrize("name", toml.presets())
def test_presets_are_whole_and_survive_being_stored(name, tmp_path):
    resolved = configuration.resolve(name, None, [])
    assert resolved.name == name
    path = tmp_path / "config.toml"
    path.write_text(configuration.dumps(resolved))
    assert configuration.load(path) == resolved


INFOS = {
    "paper-mnist": datasets.Info("mnist", "3.0.1", 55_000, 10_000, (28, 28, 1), 10),
    "paper-cifar10": datasets.Info("cifar10", "3.0.2", 50_000, 10_000, (32, 32, 3), 10),
}


def test_paper_cifar10_is_the_papers_grid():
    """81 networks with 4,860 retrainings, 13 for the distances; radii are half of the paper's."""
    resolved = configuration.resolve("paper-cifar10", None, [])
    networks = plan.networks(resolved)
    retrained = [n for n, measures in networks.items() if "retraining" in measures]
    assert len(retrained) == 81
    assert len([n for n, measures in networks.items() if "manifold" in measures]) == 13
    assert {n.epsilon for n in retrained if n.norm == "l2"} == {
        round(0.04 * i, 4) for i in range(1, 21)
    }
    assert {n.epsilon for n in retrained if n.norm == "linf"} == {
        round(0.001 * i, 4) for i in range(1, 21)
    }
    units = plan.build(resolved, INFOS["paper-cifar10"])
    own = [
        u
        for u in units.of(retrain.KIND)
        if u.spec.attribution not in (retrain.BASELINE, retrain.UNTOUCHED)
    ]
    assert len(own) == 4860


def test_paper_mnist_is_the_papers_grid():
    work = plan.build(configuration.resolve("paper-mnist", None, []), INFOS["paper-mnist"])
    assert len(list(work.of(train.KIND))) == 13
    assert len(list(work.of(manifold.KIND))) == 26
    assert {u.images for u in work.of(train.KIND)} == {275_000}


def test_file_alone_and_over_a_preset(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 3\n")
    changed = configuration.resolve(
        "quick", path, ["training.learning_rate=0.01", "grid.0.epsilons=[0.5]", "name=mine"]
    )
    assert (changed.training.epochs, changed.training.learning_rate, changed.name) == (
        3,
        0.01,
        "mine",
    )
    assert changed.grid[0].epsilons == [0.5]
    with pytest.raises(InputError, match=r"version: This key is missing"):
        configuration.resolve(None, path, [])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "training.epocs=3",
            "Unknown key 'training.epocs' in the configuration. Did you mean 'epochs'?",
        ),
        (
            "grid.0.norms='l2'",
            "Unknown key 'grid.0.norms' in the configuration. Did you mean 'norm'?",
        ),
        (
            "vae_gan.latnt=3",
            "Unknown key 'vae_gan.latnt' in the configuration. Did you mean 'latent'?",
        ),
        ("modle={}", "Unknown key 'modle' in the configuration. Did you mean 'model'?"),
        (
            "training.epochs=0",
            "training.epochs: Input should be greater than or equal to 1. Received 0.",
        ),
        ("training.epochs=many", "training.epochs: Input should be a valid integer"),
        (
            "grid.0.epsilons=[-0.5]",
            "grid.0.epsilons.0: Input should be greater than 0. Received -0.5.",
        ),
        (
            "grid.0.epsilons=[nan]",
            "grid.0.epsilons.0: Input should be a finite number. Received nan.",
        ),
        (
            "evaluation.epsilon=-1",
            "evaluation.epsilon: Input should be greater than or equal to 0. Received -1.",
        ),
        ("evaluation.epsilon=wide", "evaluation.epsilon: Input should be a valid number"),
        (
            "retraining.fractions=[0.5, 1.0]",
            "retraining.fractions.1: Input should be less than 1. Received 1.0.",
        ),
        (
            "retraining.fractions=[0.0]",
            "retraining.fractions.0: Input should be greater than 0. Received 0.0.",
        ),
        ("retraining.fractions=[0.5, 0.3]", "retraining.fractions: fractions must increase"),
        (
            "model.name=digit_cnn",
            "model.name: Unknown model 'digit_cnn'. Did you mean 'digits_cnn'?",
        ),
        ("grid.0.norm=l22", "grid.0.norm: Unknown norm 'l22'. Did you mean 'l2'?"),
        (
            "retraining.attributions=['gradients']",
            "Unknown attribution 'gradients'. Did you mean 'gradient'?",
        ),
        ("version=9", "The configuration is of version 9. This program reads version 1."),
        ("grid.7.norm=l2", "'grid.7.norm' cannot be set: '7' is not a part of the value there."),
        ("grid", "--set takes key=value. Received 'grid'."),
    ],
)
def test_mistakes(assignment, message):
    with pytest.raises(InputError) as error:
        configuration.resolve("quick", None, [assignment])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        configuration.resolve(None, tmp_path / "none.toml", [])
    broken = tmp_path / "broken.toml"
    broken.write_text("[training\n")
    with pytest.raises(InputError, match="is not valid TOML"):
        configuration.resolve(None, broken, [])
    with pytest.raises(InputError, match=r"Unknown preset 'quik'\. Did you mean 'quick'"):
        configuration.resolve("quik", None, [])


def test_manifold_needs_a_manifold_model():
    raw = tomllib.loads(configuration.dumps(configuration.resolve("quick", None, [])))
    del raw["vae_gan"]
    with pytest.raises(InputError, match=r"\[manifold\] needs a \[vae_gan\] section"):
        configuration.parse(raw)


def test_unknown_measure_of_a_grid():
    message = r"grid\.1\.measures: Unknown measure 'retrainin'\. Did you mean 'retraining'\?"
    with pytest.raises(InputError, match=message):
        configuration.resolve("quick", None, ["grid.1.measures=['retrainin']"])
