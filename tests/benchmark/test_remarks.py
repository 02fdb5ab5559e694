"""What a reader must know is found where it is, and only there."""

import re
from types import NoneType
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from pellucid.benchmark.results import caveats
from pellucid.benchmark.units import configuration
from tests.commands import TINY

N = 60


def tables(**changes: object) -> dict[str, pd.DataFrame]:
    """Results of a good standard network, in which single numbers can be made bad."""
    v = {
        "accuracy": 0.9,
        "train": 0.99,
        "change": 1.5,
        "kept": N,
        "error": 0.01,
        "noise": 5.0,
        "angle": 30.0,
        "robust_change": 0.4,
    }
    v |= changes
    about = {"network": "standard", "norm": "none", "seed": 0}
    rng = np.random.default_rng(0)
    return {
        "accuracy": pd.DataFrame(
            [
                about | {"measure": "train", "accuracy": v["train"], "change": np.nan},
                about | {"measure": "test", "accuracy": v["accuracy"], "change": np.nan},
                about | {"measure": "pgd", "accuracy": 0.1, "change": v["robust_change"]},
            ]
        ),
        "manifold": pd.DataFrame(
            about
            | {
                "attack_loss": "cw",
                "image": np.arange(N),
                "kept": np.arange(N) < v["kept"],
                "change": np.where(np.arange(N) < 10, v["change"], 1.5),
                "clean_distance": 4 + 0.1 * rng.random(N),
                "noise_distance": v["noise"] + 0.1 * rng.random(N),
            }
        ),
        "manifold_model": pd.DataFrame(
            {
                "measure": ["mean_squared_error", "pca_mean_squared_error", "variance"],
                "value": [v["error"], 0.02, 0.1],
            }
        ),
        "tilt": pd.DataFrame([about | {"angle": v["angle"], "mean_change": 0.5}]),
        "dataset": pd.DataFrame({"measure": ["classes"], "value": [10]}),
    }


CONFIG = configuration.resolve(None, TINY, [])  # manifold attack 1.5, evaluation 0.4


def test_nothing_to_remark():
    found = caveats.build(CONFIG, tables())
    assert found.empty
    assert list(found.columns) == ["kind", "network", "text"]


EACH = pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"train": 0.979}, "not fitted", "classifies 0.979 of its training images correctly"),
        ({"accuracy": 0.149}, "at chance", "did not learn: test accuracy 0.149, chance 0.100"),
        (
            {"change": 1.4},
            "radius not reached",
            "attack (cw) ends inside its radius 1.5 on 10 of 60 images",
        ),
        (
            {"robust_change": 0.39},
            "radius not reached",
            "the evaluation's attack of radius 0.4 changes images by 0.390",
        ),
        ({"kept": 29}, "few examples", "on 29 of 60 images: no density is drawn below 30"),
        ({"error": 0.03}, "manifold model", "0.0300, is not below 0.0200, that of a PCA"),
        ({"noise": 4.0}, "manifold model", "not shown to lie nearer"),
        ({"angle": np.nan}, "no direction", "moves the class mean nowhere"),
    ],
)


@EACH
def test_each_remark(change, kind, text):
    found = caveats.build(CONFIG, tables(**change))
    assert found["kind"].tolist() == [kind]
    assert text in found["text"].iloc[0]


def test_each_kind_says_whether_it_matters_and_what_to_do():
    """By a key of the configuration, where it names one."""
    cases = EACH.mark.args[1]
    assert set(caveats.ADVICE) == {kind for _, kind, _ in cases}
    for advice in caveats.ADVICE.values():
        assert advice.startswith(("This matters", "This hardly matters"))
        named = re.findall(r"\b([a-z_]+)\.([a-z_]+)\b", advice)
        assert named or "raise its steps" in advice
        for section, key in named:
            annotation = configuration.RunConfig.model_fields[section].annotation
            (kind,) = [part for part in (get_args(annotation) or (annotation,)) if part != NoneType]
            assert key in kind.model_fields, (section, key)


def test_numbers_just_good_enough():
    assert caveats.build(CONFIG, tables(accuracy=0.151, change=1.486, kept=30, error=0.0199)).empty
