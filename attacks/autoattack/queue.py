"""An iterative attack on many images: those attacked successfully make room for the next.

Images are attacked in rows of a state (`stepping`). After a few steps the rows that are done are
read, and free rows are filled with images that wait. What comes out for an image does not depend on
which others it shared a batch with, unless the model draws at random, so on a CPU several threads
take from one queue.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from pellucid.attacks.autoattack import stepping
from pellucid.attacks.autoattack.stepping import IterativeAttack
from pellucid.models import backend
from pellucid.models.batching import bounded, to_device
from pellucid.models.errors import InputError
from pellucid.models.functional import State, logits_of, pixels, program, state
from pellucid.models.types import Array, Tensor

MOST_AT_ONCE = 16
"""Steps between two looks at the rows, at most; in a run of many steps a hundredth of them."""

MANY_STAY = 7 / 8
"""The share of rows that must stay for a longer wait until the next look."""

REFILL = 0.25
"""The share of rows that must be free before images enter."""

SMALL = 8
"""If every batch size costs a compilation, there is one more, this many times smaller, for the last
images."""

Job = tuple[int, int]
"""An image's place and a run's number."""


class Outcome(NamedTuple):
    """What an attack did to each image.

    Attributes:
        success: Whether an example within the radius is misclassified, `(n,)` bool.
        x_adv: The adversarial examples, `(n, ...)` float32; zeros without success.
        gradients: Gradients taken, `(n,)`.
        forwards: Further forward passes, `(n,)`.
    """

    success: Array
    x_adv: Array
    gradients: Array
    forwards: Array


def _begin(attack: IterativeAttack, model: keras.Model) -> Callable[..., dict]:
    """The program from images to their states before the first step."""

    def begin(
        trainable: list[Tensor],
        other: list[Tensor],
        x: Tensor,
        y: Tensor,
        keys: Tensor,
        radius: Tensor,
        run: Tensor,
    ) -> dict:
        before = stepping.initial_state(pixels(x), y, keys, radius, run)
        return attack.start(logits_of(model, State(trainable, other)), before)

    return begin


def _advance(attack: IterativeAttack, model: keras.Model) -> Callable[..., dict]:
    """The program from states to those some steps later."""

    def advance(trainable: list[Tensor], other: list[Tensor], rows: dict, count: Tensor) -> dict:
        return stepping.advance(attack, logits_of(model, State(trainable, other)), rows, count)

    return advance


def _gathered(parts: list[dict], index: Array) -> dict:
    """The rows of an index that counts through all parts."""
    rows = parts[0]
    if len(parts) > 1:
        rows = {k: ops.concatenate([part[k] for part in parts]) for k in rows}
    place = to_device(index.astype(np.int32))
    return {k: ops.take(v, place, axis=0) for k, v in rows.items()}


def _nothing(x: Array) -> Outcome:
    """The outcome before an attack."""
    counts = np.zeros((2, len(x)), np.int64)
    return Outcome(np.zeros(len(x), bool), np.zeros(x.shape, np.float32), *counts)


class _Queue:
    """One attack on one set of images; the arguments are those of `run`."""

    def __init__(
        self,
        attack: IterativeAttack,
        model: keras.Model,
        x: Array,
        y: Array,
        radius: float,
        keys: Array,
        numbers: Array | None,
        batch_size: int,
        threads: int,
        progress: Callable[[int, int], None],
    ) -> None:
        n = len(x)
        self.attack, self.radius, self.keys = attack, radius, keys
        self.x, self.y = x, np.asarray(y, np.int32)
        self.numbers = np.arange(n) if numbers is None else numbers
        self.progress = progress
        self.classes = int(model.output_shape[-1])
        self.runs = attack.runs(self.classes)
        self.most = max(MOST_AT_ONCE, attack.steps // 100)

        values = state(model)
        self.weights = (values.trainable, values.other)
        self.begin = program(model, ("begin", attack), lambda m: _begin(attack, m), rows_from=2)
        self.advance = program(
            model, ("advance", attack), lambda m: _advance(attack, m), rows_from=2
        )
        self.size = bounded(self.advance, batch_size)
        self.fixed = backend.fixed_shapes()

        self.waiting = deque((image, 0) for image in range(n))
        self.under_way, self.threads, self.failed = 0, threads, False
        self.changed = threading.Condition()
        self.outcome = _nothing(x)

    def _enter(self, rows: int) -> list[Job]:
        """Runs for a thread that works on some rows.

        None, as long as it has nearly its share, and after the last run.
        """
        with self.changed:
            while True:
                share = min(self.size, -(-(len(self.waiting) + self.under_way) // self.threads))
                if rows and rows > (1 - REFILL) * share:
                    return []
                if self.waiting or rows or not self.under_way or self.failed:
                    count = min(share - rows, len(self.waiting))
                    entering = [self.waiting.popleft() for _ in range(count)]
                    self.under_way += len(entering)
                    return entering
                self.changed.wait()  # another thread's images may come back for their next run

    def _begun(self, jobs: list[Job], rows: int) -> dict:
        """The states of some runs before their first step, padded to a number of rows."""
        images, runs = np.array(jobs, np.int64).T
        images, runs = (
            np.concatenate([v, np.repeat(v[:1], rows - len(v))]) for v in (images, runs)
        )
        radius = np.full(rows, self.radius, np.float32)
        arrays = (self.x[images], self.y[images], self.keys[images], radius, runs.astype(np.int32))
        return self.begin(*self.weights, *map(to_device, arrays))

    def _leave(self, jobs: list[Job], rows: dict) -> Array:
        """Writes the outcomes of the rows that are done; returns the places of the others."""
        success, finite, i = (
            ops.convert_to_numpy(rows[k])[: len(jobs)] for k in ("success", "finite", "i")
        )
        if not finite.all():
            image = jobs[int(np.flatnonzero(~finite)[0])][0]
            raise InputError(
                "The model's logits, or their gradient, are not finite for image"
                f" {self.numbers[image]} under attack."
            )

        done = success | (i >= self.attack.steps)
        if done.any():
            successes = np.flatnonzero(success)
            x_adv = np.asarray(ops.convert_to_numpy(rows["x_adv"]))[successes]
            gradients, forwards = (
                np.broadcast_to(v, i.shape) for v in self.attack.cost(i, self.classes)
            )
            with self.changed:
                for place, example in zip(successes, x_adv, strict=True):
                    self.outcome.x_adv[jobs[place][0]] = example
                finished = 0
                for place in np.flatnonzero(done):
                    image, run = jobs[place]
                    self.outcome.gradients[image] += gradients[place]
                    self.outcome.forwards[image] += forwards[place]
                    self.outcome.success[image] = success[place]
                    if success[place] or run + 1 == self.runs:
                        finished += 1
                    else:
                        self.waiting.append((image, run + 1))
                self.under_way -= int(done.sum())
                self.changed.notify_all()
                self.progress(finished, len(successes))
        return np.flatnonzero(~done)

    def _filled(self, rows: dict, live: Array, entering: list[Job]) -> dict:
        """The live rows and those of runs that enter.

        If every batch size costs a compilation, they are padded to one of two sizes.
        """
        total = len(live) + len(entering)
        size = total
        if self.fixed:
            small = max(1, self.size // SMALL)
            size = small if total <= small else self.size

        parts, index = [], [live]
        if len(live):
            parts.append(rows)
        if entering:
            index.append((len(rows["i"]) if len(live) else 0) + np.arange(len(entering)))
            parts.append(self._begun(entering, size if self.fixed else len(entering)))
        places = np.concatenate(index)
        return _gathered(parts, np.concatenate([places, np.repeat(places[:1], size - total)]))

    def work(self) -> None:
        """Attacks images until none is left."""
        jobs: list[Job] = []
        live = np.zeros(0, np.int64)
        rows: dict = {}
        count = 1
        try:
            while not self.failed:
                entering = self._enter(len(live))
                if not len(live) and not entering:
                    return
                if entering or len(live) < len(jobs):
                    rows = self._filled(rows, live, entering)
                    jobs = [jobs[place] for place in live] + entering
                steps = backend.to_device(np.array(count, np.int32))
                rows = self.advance(*self.weights, rows, steps)
                live = self._leave(jobs, rows)

                # Look again sooner if many rows have become free.
                if len(live) < MANY_STAY * len(jobs):
                    count = max(count // 2, 1)
                else:
                    count = min(count * 2, self.most)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends every thread after its present steps: none must wait for another's images."""
        with self.changed:
            self.failed = True
            self.changed.notify_all()


def run(
    attack: IterativeAttack,
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    epsilon: float,
    keys: Array,
    numbers: Array | None = None,
    batch_size: int = 500,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, successes: None,
) -> Outcome:
    """Attacks images until each is misclassified or has had all runs.

    Args:
        attack: The attack.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or float32 in [0, 1].
        y: Labels `(n,)`.
        epsilon: Radius in pixel units.
        keys: The images' random keys, `(n,)` uint32 (`randomness.keys_of`).
        numbers: What the images are called in a message, `(n,)`. None: their places.
        batch_size: Images at a time.
        threads: Batches at a time; more than one helps a CPU.
        progress: Called with the number of images done since the last call, and of successes among
            them.

    Returns:
        What happened to each image.

    Raises:
        InputError: Logits that are not finite; the image is named.
    """
    if not len(x):
        return _nothing(x)
    batch_size = min(batch_size, 1 << max(len(x) - 1, 0).bit_length())
    queue = _Queue(attack, model, x, y, epsilon, keys, numbers, batch_size, threads, progress)
    if threads == 1:
        queue.work()
    else:
        with ThreadPoolExecutor(threads) as pool:
            try:
                for done in [pool.submit(queue.work) for _ in range(threads)]:
                    done.result()
            except BaseException:  # also what only this thread receives, such as Ctrl-C
                queue.stop()
                raise
    return queue.outcome
