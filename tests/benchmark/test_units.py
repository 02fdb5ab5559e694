"""Single units, where a whole run would hide what they see."""

import dataclasses

import numpy as np

from benchmark import config, datasets, plan, units
from tests.commands import TINY


def hits(data: datasets.Dataset, *assignments: str) -> list[int]:
    """Of the networks retrained on pixels kept at random: no base model is needed."""
    work = plan.build(config.resolve(None, TINY, ["retraining.epochs=30", *assignments]), data.info)
    context = units.Context(work, None, data)
    random = list(work.of("retrain", attribution=plan.BASELINE, mode="kar", fraction=0.7))
    return [result.values["hits"] for result in units.perform(random, context)]


def test_masks_alone_tell_nothing_of_the_pixels(digits):
    """With another picture under the same masks, a network on images learns something else, one on masks the same."""
    part = dataclasses.replace(
        digits, info=dataclasses.replace(digits.info, train_size=300, test_size=100),
        x_train=digits.x_train[:300], y_train=digits.y_train[:300],
        x_test=digits.x_test[:100], y_test=digits.y_test[:100],
    )  # fmt: skip
    other = dataclasses.replace(part, x_train=np.flip(part.x_train, 0).copy(), x_test=np.flip(part.x_test, 0).copy())
    alone = "retraining.content=mask"
    assert hits(part, alone) == hits(other, alone)
    assert hits(part) != hits(other)
    assert max(hits(part, alone)) < 25  # of 100: the masks are random, so this is chance
    assert min(hits(part)) > 35


def test_what_is_seen_is_part_of_the_key(digits):
    def keys(*assignments: str) -> set[str]:
        work = plan.build(config.resolve(None, TINY, list(assignments)), digits.info)
        return {u.key for u in work.of("retrain")}

    assert not keys() & keys("retraining.content=mask")
    assert keys() == keys("retraining.content=image")
