"""One rule about versions: when a kind of unit gives other results, its version is raised.

`golden_units.json` has the result of one unit of each kind on a tiny configuration, with the kind's
version. `python -m tests.benchmark.test_golden` writes it again.
"""

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner
from pellucid.benchmark.units import configuration, plan
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.kinds import KINDS
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Unit, to_json
from tests.commands import TINY

GOLDEN = Path(__file__).with_name("golden_units.json")
TOY = ["seeds=1", "training.epochs=1", "training.batch_size=400", "grid.0.epsilons=[0.25]"]
"""Few steps: training carries on how a processor rounds (tried with `ONEDNN_MAX_CPU_ISA`)."""
BFLOAT16 = ["training.compute=bfloat16", "training.epochs=1"]
FIT = ["training.until=0.15", "measures={images=20}"]
MANIFOLDS = [
    "data.train_limit=200",
    "training.epochs=1",
    "vae_gan.epochs=1",
    "calibration={images=40, longest=1.5, blurs=[1.0], steps=10, prior_draws=1}",
    "off_manifold={lengths=[0.4], draws=2}",
]
TUNED = ["measures={images=20, names=['f_fidelity'], fine_tuning_epochs=2}"]
COMPUTED = {kind.name for kind in KINDS} - {"submitted", "attacked"}
"""Kinds of units; the results of the two others are stored by what they belong to."""
RELATIVE, HITS = 1e-3, 2
"""How far numbers, and counts of images, may differ between processors."""
TANGENTS, OF_TANGENTS = "decoder_fraction", 5e-2
"""The tangent space of a decoder of ReLUs jumps where one of them is at 0: of one that was trained
for an epoch the fractions of 16 of 40 images, and their mean by 2 percent, differ between AVX2 and
AVX-512 (`ONEDNN_MAX_CPU_ISA`)."""
NOT_OF_THE_RESULT = {"seconds", "correct"}


def with_needs(work: plan.Plan, kinds: set[str]) -> Iterator[Unit]:
    """The last unit of each of these kinds, after what it needs."""
    by_key = {unit.key: unit for unit in work.units}
    last = {unit.kind.name: unit for unit in work.units if unit.kind.name in kinds}
    needed: dict[str, Unit] = {}

    def need(unit: Unit) -> None:
        for key in unit.needs:
            need(by_key[key])
        needed[unit.key] = unit

    for unit in last.values():
        need(unit)
    yield from needed.values()


def summary(value: object) -> object:
    """A result without what differs from run to run."""
    if isinstance(value, dict):
        return {k: summary(v) for k, v in value.items() if k not in NOT_OF_THE_RESULT}
    return [summary(v) for v in value] if isinstance(value, list) else value


def results(folder: Path) -> dict[str, dict]:
    """By kind: its version, the unit's label, its values, and means of its arrays."""
    runs = {
        "tiny": (
            configuration.resolve(None, TINY, []),
            COMPUTED
            - {"tilt", "agreement", "trial", "fit", "measures", "fine_tune"}
            - {"calibration", "off_manifold"},
        ),
        "manifolds": (
            configuration.resolve(None, TINY, MANIFOLDS),
            {"calibration", "off_manifold"},
        ),
        "fit": (configuration.resolve(None, TINY, FIT), {"fit", "measures"}),
        "tuned": (configuration.resolve(None, TINY, TUNED), {"fine_tune"}),
        "toy": (configuration.resolve("paper-toy", None, TOY), {"tilt"}),
        "types": (configuration.resolve(None, TINY, BFLOAT16), {"agreement", "trial"}),
    }
    found: dict[str, dict] = {}
    for name, (config, kinds) in runs.items():
        (folder / name).mkdir()
        work, store = runner.plan(config, None), Store(folder / name)
        context = Context(work, store, datasets.load(**runner.limited(config, None)))
        for unit in with_needs(work, kinds):
            runner.perform([unit], context, store, {})
            if unit.kind.name not in kinds:
                continue
            file = store.root / next(iter(store.stored(unit).files), "")
            found[unit.kind.name] = {
                "version": unit.kind.version,
                "label": unit.label,
                "values": summary(to_json(store.values(unit))),
                "means": means(store.arrays(unit)) if file.suffix == ".npz" else {},
            }
    return found


def means(arrays: dict[str, np.ndarray]) -> dict[str, list]:
    return {k: [list(v.shape), float(np.mean(v, dtype=np.float64))] for k, v in arrays.items()}


@pytest.fixture(scope="module")
def computed(tmp_path_factory) -> dict[str, dict]:
    return results(tmp_path_factory.mktemp("golden"))


def differences(expected: object, got: object, where: str = "") -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in expected.keys() | got.keys():
            yield from differences(expected.get(name), got.get(name), f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for i, pair in enumerate(zip(expected, got, strict=True)):
            yield from differences(*pair, f"{where}.{i}")
    elif type(expected) is int and type(got) is int:
        if abs(expected - got) > HITS:
            yield f"{where} is {got}, was {expected}"
    elif isinstance(expected, float) and isinstance(got, (int, float)):
        relative = OF_TANGENTS if TANGENTS in where else RELATIVE
        if got != pytest.approx(expected, rel=relative, abs=RELATIVE, nan_ok=True):
            yield f"{where} is {got}, was {expected}"
    elif expected != got:
        yield f"{where} is {got}, was {expected}"


@pytest.mark.parametrize("kind", sorted(COMPUTED))
def test_the_same_specification_gives_the_same_result(kind, computed):
    golden = json.loads(GOLDEN.read_text())[kind]
    version = computed[kind]["version"]
    again = "then write the golden results again: python -m tests.benchmark.test_golden"
    if version != golden["version"]:
        pytest.fail(f"{kind} has version {version}, its golden result {golden['version']}: {again}")
    changed = list(differences(golden, computed[kind], kind))
    if changed:
        pytest.fail(
            f"Units of kind '{kind}' give another result than before ({'; '.join(changed[:3])}). If"
            f" that is meant, raise `version` in benchmark/units/{kind}.py from {version} to"
            f" {version + 1}, so that stored results are not used; {again}"
        )


def test_a_raised_version_makes_stored_results_unused(tmp_path):
    work = runner.plan(configuration.resolve(None, TINY, []), None)
    unit = next(unit for unit in work.units if unit.kind.name == "train")
    store = Store(tmp_path)
    runner.perform([unit], Context(work, store, datasets.load("digits")), store, {})
    assert store.done(unit)
    raised = dataclasses.replace(unit, kind=dataclasses.replace(unit.kind, version=2))
    assert not store.done(raised)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        GOLDEN.write_text(json.dumps(results(Path(scratch)), indent=1, sort_keys=True) + "\n")
