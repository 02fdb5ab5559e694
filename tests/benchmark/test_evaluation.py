"""From measurements to an entry: curves and scores agree, ids, pictures, tracks."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pellucid.benchmark.data import datasets
from pellucid.benchmark.results import entries as evaluation
from pellucid.benchmark.results import recheck, tracks
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.manifold import Manifold
from pellucid.benchmark.units.plan import build, submission
from pellucid.benchmark.units.retrain import Retraining
from pellucid.benchmark.units.robustness import Robustness
from pellucid.benchmark.units.unit import SUBMISSION, Network
from pellucid.benchmark.units.vae_gan import VaeGanSection
from pellucid.leaderboard import entry as entries
from pellucid.leaderboard.card import Card, TrainingClaim
from pellucid.models.errors import InputError
from tests.leaderboard.made import made

FRACTIONS = [0.25, 0.75]


def curve(mode: str, own: float, random: float) -> entries.RetrainingCurve:
    return entries.RetrainingCurve(
        attribution="gradient",
        mode=mode,
        fractions=FRACTIONS,
        untouched=0.95,
        accuracy=[[[own, own], [own, own]]],
        random=[[random, random]] * 2,
    )


@pytest.mark.parametrize(("mode", "own", "random"), [("roar", 0.5, 0.7), ("kar", 0.9, 0.7)])
def test_a_score_follows_from_its_curve(mode, own, random):
    """Two flat curves 0.2 apart: trapezoids of 1/8 + 1/2 + 1/8 of it."""
    assert recheck.curve_score(curve(mode, own, random)) == pytest.approx(0.2 * 0.75)


def entry_with(score: float) -> entries.Entry:
    one = curve("roar", 0.5, 0.7)
    said = entries.Score(value=score, low=score - 0.1, high=score + 0.1, n=4, seeds=2)
    scores = made("a", 0.9).scores | {"roar_gradient": said}
    hits = entries.Score(value=0.5, low=0.4, high=0.6, n=10, seeds=1)
    scores |= dict.fromkeys(("test_accuracy", "robust_accuracy"), hits)
    after = [a.model_copy(update={"accuracy": hits}) for a in made("a", 0.9).autoattack.attacks]
    ensemble = made("a", 0.9).autoattack.model_copy(update={"attacks": after, "clean": hits})
    changed = {"scores": scores, "curves": [one], "attacks": [], "autoattack": ensemble}
    return entries.seal(made("a", 0.9).model_copy(update=changed))


def test_recheck_believes_scores_that_follow():
    assert recheck.recheck(entry_with(recheck.curve_score(curve("roar", 0.5, 0.7)))) is None


def test_recheck_finds_scores_that_do_not():
    assert "roar_gradient is stated as 0.25; its curves give 0.15" in recheck.recheck(
        entry_with(0.25)
    )
    honest = entry_with(0.15)
    half = entries.Score(value=0.55, low=0.4, high=0.6, n=10, seeds=1)
    wrong = honest.model_copy(update={"scores": honest.scores | {"test_accuracy": half}})
    assert "is not a whole number of 10 images" in recheck.recheck(wrong)
    bare = honest.model_copy(update={"curves": []})
    assert recheck.recheck(bare) == "it has ROAR or KAR scores without curves"
    missing = honest.model_copy(
        update={"scores": {k: v for k, v in honest.scores.items() if k != "roar_gradient"}}
    )
    assert "roar_gradient is stated as absent" in recheck.recheck(missing)


def test_recheck_compares_robust_accuracy_with_its_attacks():
    honest = entry_with(0.15)
    best = entries.Score(value=0.6, low=0.4, high=0.7, n=10, seeds=1)
    better = honest.model_copy(update={"scores": honest.scores | {"robust_accuracy": best}})
    assert (
        recheck.recheck(better)
        == "robust_accuracy is stated as 0.6; after its last attack it is 0.5"
    )
    without = honest.model_copy(update={"autoattack": None})
    assert recheck.recheck(without) == "it has a robust accuracy without AutoAttack"
    *first, last = honest.autoattack.attacks
    rising = [*first, last.model_copy(update={"accuracy": best})]
    risen = honest.model_copy(
        update={"autoattack": honest.autoattack.model_copy(update={"attacks": rising})}
    )
    assert recheck.recheck(risen) == "its accuracy rises from one attack of AutoAttack to the next"


def test_ids():
    training = TrainingClaim(norm="none", loss="xent")
    card = Card(name="My CNN, v2", authors=["A"], licence="MIT", description="x", training=training)
    assert evaluation.entry_id("submission", card, "ab" * 32) == "my-cnn-v2-abababababababab"
    assert (
        evaluation.entry_id("submission", card.model_copy(update={"name": "模型"}), "ab" * 32)
        == "model-abababababababab"
    )
    posing = card.model_copy(update={"name": "reference l2"})
    assert (
        evaluation.entry_id("submission", posing, "ab" * 32)
        == "model-reference-l2-abababababababab"
    )
    assert evaluation.reference_id(Network("l2", 0.5, "xent")) == "reference-l2-0.5-xent"


def test_pictures_are_png_at_their_own_size():
    signed = np.zeros((8, 6), np.float32)
    signed[2, 3] = 1.0
    with Image.open(io.BytesIO(base64.b64decode(evaluation.png(signed)))) as image:
        pixels = np.array(image)
    assert pixels.shape == (8, 6, 3)
    assert tuple(pixels[2, 3]) == (255, 0, 0), "what speaks for the class is red"
    assert tuple(pixels[0, 0]) == (255, 254, 254)
    grey = np.full((4, 4, 1), 0.2, np.float32)
    with Image.open(io.BytesIO(base64.b64decode(evaluation.png(grey)))) as image:
        assert np.array(image).tolist() == [[51] * 4] * 4


@pytest.mark.parametrize("name", tracks.names())
def test_every_track_has_all_that_a_submission_is_measured_by(name):
    config = tracks.get(name).config
    assert all(config.section(part) for part in (Retraining, Manifold, VaeGanSection))
    assert config.section(Robustness).l2
    assert config.section(Robustness).linf
    assert len(config.grid) >= 2, "the reference grid"
    assert all({"manifold", "retraining"} <= set(grid.measures) for grid in config.grid)


def test_unknown_track():
    with pytest.raises(InputError, match=r"Unknown track 'cifar'\. Did you mean 'cifar10'"):
        tracks.get("cifar")


def test_the_digest_covers_what_scores_depend_on_and_nothing_else(digits):
    config = tracks.get("digits").config

    def digest(**change) -> str:
        return tracks.record("digits", config.model_copy(update=change), digits).digest

    assert digest() == digest(description="other", pictures=1)
    assert digest() != digest(retraining=config.retraining.model_copy(update={"epochs": 13}))
    assert digest() != digest(grid=config.grid[:1])
    assert digest() != digest(robustness=config.robustness.model_copy(update={"steps": 21}))


def test_a_submission_shares_what_it_can_with_a_run_of_the_grid():
    config = configuration.resolve("quick", None, [])
    info = datasets.describe("digits")
    grid, own = build(config, info), submission(config, info, "0" * 64)
    shared = {u.key for u in grid.units} & {u.key for u in own.units}
    kinds = sorted({u.kind.name for u in own.units if u.key in shared})
    assert kinds == ["contamination", "retrain", "train", "vae_gan"]
    own_units = [u for u in own.units if u.network == SUBMISSION]
    trained = [u for u in grid.units if u.network == Network("l2", 0.6, "xent")]
    assert sorted(u.kind.name for u in own_units if u.kind.name != "submitted") == sorted(
        u.kind.name for u in trained if u.kind.name != "train"
    ), "a submission is measured as a network of the grid is"
    other = submission(config, info, "1" * 64)
    assert not {u.key for u in own_units} & {u.key for u in other.units}
