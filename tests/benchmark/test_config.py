"""Configurations: presets, files, --set, and one line for every mistake."""

import json
import subprocess
import sys
import tomllib

import pytest

from pellucid.attacks import Attack
from pellucid.benchmark.config import toml
from pellucid.benchmark.data import datasets
from pellucid.benchmark.units import (
    configuration,
    manifold,
    plan,
    retrain,
    train,
    vae_gan,
)
from pellucid.models.errors import InputError


@pytest.mark.parametrize("name", toml.presets())
def test_presets_are_whole_and_survive_being_stored(name, tmp_path):
    for variant in configuration.variants(name, None, []):
        assert variant.config.name == name
        path = tmp_path / "config.toml"
        path.write_text(configuration.dumps(variant.config))
        assert configuration.load(path) == variant.config


def test_a_configuration_is_read_without_keras():
    """So that every mistake in one is answered at once."""
    program = (
        "import sys; from pellucid.benchmark.units import configuration;"
        " configuration.resolve('paper-cifar10', None, []);"
        " print({'keras', 'tensorflow', 'jax'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


INFOS = {
    "paper-mnist": datasets.Info("mnist", "3.0.1", 55_000, 10_000, (28, 28, 1), 10),
    "paper-cifar10": datasets.Info("cifar10", "3.0.2", 50_000, 10_000, (32, 32, 3), 10),
}
DIGITS = datasets.Info("digits", "1.0.0", 1200, 597, (8, 8, 1), 10)


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
    own = [u for u in units.of(retrain.KIND) if u.network is not None]
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
        ("adversary.warmup_epochs=30", "must be less than training.epochs, 30"),
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
        (
            "adversary.steps=3",
            "adversary.step_size_linf: 3 steps of 0.05 reach 0.15, less than the radius 0.2. Take"
            " more or longer steps.",
        ),
        (
            "evaluation.step_size=0.01",
            "evaluation.step_size: 20 steps of 0.01 reach 0.2, less than",
        ),
        (
            "manifold.steps=2",
            "manifold.step_size: 2 steps of 0.5 reach 1, less than the radius 1.5",
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


@pytest.mark.parametrize(
    "assignment",
    [
        "adversary.steps=4",  # 4 x 0.05 is the largest radius of Linf
        "grid.1.epsilons=[0.5]",
        "adversary={name='fgsm_rs'}",  # one step, as long as the radius
    ],
)
def test_an_adversary_that_just_reaches_its_radius(assignment):
    assert configuration.resolve("quick", None, [assignment])
    if "grid" in assignment:
        with pytest.raises(InputError, match=r"less than the radius 0\.51"):
            configuration.resolve("quick", None, ["grid.1.epsilons=[0.51]"])


ATTACK = {"cw_label_zero": True, "direction_floor": 2e-8, "xent_rounded": True}
PUBLISHED = {
    f"{section}.{field}": value
    for section in ("adversary", "evaluation", "manifold")
    for field, value in ATTACK.items()
} | {
    "compat": "2019",
    "manifold.sample_posterior": True,
    "training.reshuffle": False,
    "vae_gan.discriminator": "2019",
    "vae_gan.reshuffle": False,
}


def leaves(values: dict, at: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= leaves(value, f"{at}{name}.") if isinstance(value, dict) else {at + name: value}
    return found


def test_compat_states_what_the_published_code_did(tmp_path):
    """In the resolved configuration each of its fields can be seen, and nothing else changes."""
    ours = configuration.resolve("paper-cifar10", None, [])
    compat = configuration.resolve(
        "paper-cifar10", None, ["compat='2019'", "manifold.sample_posterior=true"]
    )
    before, after = (leaves(tomllib.loads(configuration.dumps(c))) for c in (ours, compat))
    assert {k: v for k, v in after.items() if before.get(k) != v} == PUBLISHED
    assert before.keys() - after.keys() == set()
    assert not before.keys() & (PUBLISHED.keys() - {"manifold.sample_posterior"})
    assert ours.as_published() == compat == compat.as_published()
    path = tmp_path / "config.toml"
    path.write_text(configuration.dumps(compat))
    assert configuration.load(path) == compat


def test_compat_of_a_configuration_without_some_sections():
    toy = configuration.resolve("paper-toy", None, ["compat=2019"])  # a number, as a user types it
    assert (toy.compat, toy.training.reshuffle) == ("2019", False)
    assert toy.tilt.published() == toy.adversary.published()
    assert toy.vae_gan is None
    raw = tomllib.loads(configuration.dumps(configuration.resolve("paper-toy", None, [])))
    del raw["adversary"]
    assert configuration.parse(raw | {"compat": "2019"}).adversary.direction_floor == 2e-8


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["compat=2019"],
            'the configuration: compat = "2019" stands for manifold.sample_posterior = true, and'
            " the configuration says false. Leave out one of the two, or also set"
            " manifold.sample_posterior=true.",
        ),
        (
            ["training.reshuffle=true", "compat=2019"],
            'compat = "2019" stands for training.reshuffle = false, and the configuration says'
            " true.",
        ),
        (["compat=2020"], "compat: Input should be '2019'. Received 2020."),
        (
            ["adversary.name=fgsm", "adversary.direction_floor=1e-8"],
            "adversary: 'direction_floor' is an option of pgd. The attack is 'fgsm'.",
        ),
        (["adversary.direction_floor=0"], "adversary.direction_floor: Input should be greater"),
        (["vae_gan.discriminator=2018"], "vae_gan.discriminator: Input should be '2019'"),
    ],
)
def test_compat_never_wins_over_a_statement_in_silence(assignments, message):
    with pytest.raises(InputError) as error:
        configuration.resolve("paper-cifar10", None, assignments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_stated_defaults_leave_no_trace():
    """Of `compat`'s fields, what this program does anyway changes no key."""
    stated = ["training.reshuffle=true", "adversary.cw_label_zero=false", "vae_gan.reshuffle=true"]
    stated.append("adversary.xent_rounded=false")
    info = INFOS["paper-cifar10"]
    plain, spelled = (
        plan.build(configuration.resolve("paper-cifar10", None, changes), info)
        for changes in ([], stated)
    )
    assert [u.key for u in plain.units] == [u.key for u in spelled.units]


@pytest.mark.parametrize("field", [k for k in PUBLISHED if k != "compat"])
def test_each_field_of_compat_changes_the_units_it_concerns(field):
    """Of 13 networks, the standard one and its distances do not follow from the adversary."""
    change = f"{field}={json.dumps(PUBLISHED[field])}"
    before, after = (
        plan.build(configuration.resolve("paper-mnist", None, changes), INFOS["paper-mnist"])
        for changes in ([], [change])
    )

    def changed(kind) -> int:
        pairs = zip(before.of(kind), after.of(kind), strict=True)
        return sum(a.key != b.key for a, b in pairs)

    section = field.partition(".")[0]
    assert changed(train.KIND) == {"adversary": 12, "training": 13}.get(section, 0)
    assert changed(vae_gan.KIND) == (section == "vae_gan")
    assert changed(manifold.KIND) == {"adversary": 24, "evaluation": 0}.get(section, 26)


@pytest.mark.parametrize(
    ("loss", "norm"), [("xent", "l2"), ("cw", "l2"), ("xent", "linf"), ("cw", "linf")]
)
def test_a_networks_adversary_is_the_published_one(loss, norm):
    """From the configuration to the attack's function."""
    grid = [f"grid.0.norm={norm}", f"grid.0.losses=['{loss}']", "grid.0.epsilons=[0.1]"]

    def attack(*changes: str) -> Attack:
        work = plan.build(configuration.resolve("quick", None, [*grid, *changes]), DIGITS)
        unit = list(work.of(train.KIND))[1]
        assert unit.spec.attack is not None
        return unit.spec.attack.attack()

    assert dict(attack().more) == {}
    assert dict(attack("compat=2019", "manifold.sample_posterior=true").more) == ATTACK
    assert attack("adversary.direction_floor=2e-8").more == (("direction_floor", 2e-8),)


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
