"""An iterative attack on many images: an image once broken leaves the batch, and the next one takes its place.

Images are attacked in rows of a state (`attacks.stepping`). After a few steps the rows that are
done are read, and free rows are filled with images that wait. What comes out for an image does not
depend on which others it shared a batch with, unless the model draws at random, so on a CPU several
threads take from one queue.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from robust_interpretability.attacks.autoattack import stepping
from robust_interpretability.attacks.autoattack.stepping import Steps
from robust_interpretability.models import backend
from robust_interpretability.models.batching import to_device
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.functional import State, logits_of, pixels, program, state

MOST_AT_ONCE = 16
"""Steps between two looks at the rows, at most; in a run of many steps a hundredth of them."""
MANY_STAY = 7 / 8
"""The share of rows that must stay for a longer wait until the next look."""
REFILL = 0.25
"""The share of rows that must be free before images enter."""
SMALL = 8
"""Where every size costs a compilation, there are two: whole, and this many times smaller for the last images."""


Job = tuple[int, int]
"""An image's place and a run's number."""


class Outcome(NamedTuple):
    """What an attack did to each image.

    Attributes:
        broken: Whether an example was found within the radius, `(n,)` bool.
        found: The examples, `(n, ...)` float32; zeros where none was found.
        gradients: Gradients taken, `(n,)`.
        forwards: Forward passes beside them, `(n,)`.
    """

    broken: np.ndarray
    found: np.ndarray
    gradients: np.ndarray
    forwards: np.ndarray


def _begin(attack: Steps, model: keras.Model) -> Callable:
    def begin(trainable: Any, other: Any, x: Any, y: Any, keys: Any, radius: Any, run: Any) -> dict:
        given = stepping.given(pixels(x), y, keys, radius, run)
        return attack.start(logits_of(model, State(trainable, other)), given)

    return begin


def _advance(attack: Steps, model: keras.Model) -> Callable:
    def advance(trainable: Any, other: Any, rows: dict, count: Any) -> dict:
        return stepping.advance(attack, logits_of(model, State(trainable, other)), rows, count)

    return advance


def _arranged(parts: list[dict], index: np.ndarray) -> dict:
    """The rows of that index, counted through the parts."""
    whole = (
        parts[0]
        if len(parts) == 1
        else {k: ops.concatenate([part[k] for part in parts]) for k in parts[0]}
    )
    place = to_device(index.astype(np.int32))
    return {k: ops.take(v, place, axis=0) for k, v in whole.items()}


class _Run:
    """One attack on one set of images."""

    def __init__(
        self,
        attack: Steps,
        model: keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        radius: float,
        keys: np.ndarray,
        numbers: np.ndarray | None,
        batch_size: int,
        threads: int,
        progress: Callable[[int, int], None],
    ) -> None:
        self.attack, self.x, self.y, self.radius, self.keys = (
            attack,
            x,
            np.asarray(y, np.int32),
            radius,
            keys,
        )
        self.numbers = np.arange(len(x)) if numbers is None else numbers
        self.size, self.progress = batch_size, progress
        self.classes = int(model.output_shape[-1])
        self.runs = attack.runs(self.classes)
        self.most = max(MOST_AT_ONCE, attack.steps // 100)
        values = state(model)
        self.weights = (values.trainable, values.other)
        self.begin = program(model, ("begin", attack), lambda m: _begin(attack, m), rows_from=2)
        self.advance = program(
            model, ("advance", attack), lambda m: _advance(attack, m), rows_from=2
        )
        self.waiting = deque((image, 0) for image in range(len(x)))
        self.under_way, self.threads, self.failed = 0, threads, False
        self.fixed = backend.fixed_shapes()
        self.changed = threading.Condition()
        n = len(x)
        self.outcome = Outcome(
            np.zeros(n, bool), np.zeros(x.shape, np.float32), *np.zeros((2, n), np.int64)
        )

    def _enter(self, own: int) -> list[Job]:
        """Runs for a thread that has `own` rows: none while it has nearly its share, and after the last one."""
        with self.changed:
            while True:
                share = min(self.size, -(-(len(self.waiting) + self.under_way) // self.threads))
                if own and own > (1 - REFILL) * share:
                    return []
                if self.waiting or own or not self.under_way or self.failed:
                    entering = [
                        self.waiting.popleft() for _ in range(min(share - own, len(self.waiting)))
                    ]
                    self.under_way += len(entering)
                    return entering
                self.changed.wait()  # another thread's images may come back for their next run

    def _begun(self, jobs: list[Job], rows: int) -> dict:
        """The first states of some runs, filled up to a number of rows."""
        images, runs = np.array(jobs, np.int64).T
        images, runs = (
            np.concatenate([v, np.repeat(v[:1], rows - len(v))]) for v in (images, runs)
        )
        radius = np.full(rows, self.radius, np.float32)
        given = (self.x[images], self.y[images], self.keys[images], radius, runs.astype(np.int32))
        return self.begin(*self.weights, *map(to_device, given))

    def _leave(self, jobs: list[Job], rows: dict) -> np.ndarray:
        """Writes down the rows that are done; the places of the others."""
        broken, finite, i = (
            ops.convert_to_numpy(rows[k])[: len(jobs)] for k in ("broken", "finite", "i")
        )
        if not finite.all():
            image = jobs[int(np.flatnonzero(~finite)[0])][0]
            raise InputError(
                "The model's logits, or their gradient, are not finite for image"
                f" {self.numbers[image]} under attack."
            )
        done = broken | (i >= self.attack.steps)
        if done.any():
            places = np.flatnonzero(broken)
            found = np.asarray(ops.convert_to_numpy(rows["found"]))[places]
            gradients, forwards = (
                np.broadcast_to(v, i.shape) for v in self.attack.cost(i, self.classes)
            )
            with self.changed:
                for place, example in zip(places, found, strict=True):
                    self.outcome.found[jobs[place][0]] = example
                left = 0
                for place in np.flatnonzero(done):
                    image, run = jobs[place]
                    self.outcome.gradients[image] += gradients[place]
                    self.outcome.forwards[image] += forwards[place]
                    self.outcome.broken[image] = broken[place]
                    if broken[place] or run + 1 == self.runs:
                        left += 1
                    else:
                        self.waiting.append((image, run + 1))
                self.under_way -= int(done.sum())
                self.changed.notify_all()
                self.progress(left, len(places))
        return np.flatnonzero(~done)

    def _filled(self, rows: dict, live: np.ndarray, entering: list[Job]) -> dict:
        """The live rows and the first states of runs that enter; where a size costs a compilation, filled up to one."""
        total = len(live) + len(entering)
        small = self.size // SMALL
        size = total if not self.fixed else small if total <= small else self.size
        parts, index = [], [live]
        if len(live):
            parts.append(rows)
        if entering:
            index.append((len(rows["i"]) if len(live) else 0) + np.arange(len(entering)))
            parts.append(self._begun(entering, size if self.fixed else len(entering)))
        places = np.concatenate(index)
        return _arranged(parts, np.concatenate([places, np.repeat(places[:1], size - total)]))

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
                rows = self.advance(
                    *self.weights, rows, backend.to_device(np.array(count, np.int32))
                )
                live = self._leave(jobs, rows)
                count = (
                    max(count // 2, 1)
                    if len(live) < MANY_STAY * len(jobs)
                    else min(count * 2, self.most)
                )
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Has every thread end after the steps it is at: none must wait for another's images."""
        with self.changed:
            self.failed = True
            self.changed.notify_all()


def run(
    attack: Steps,
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epsilon: float,
    keys: np.ndarray,
    numbers: np.ndarray | None = None,
    batch_size: int = 500,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda left, broken: None,
) -> Outcome:
    """Attacks images until each is broken or has had all runs.

    Args:
        attack: The attack.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or float32 in [0, 1].
        y: Labels `(n,)`.
        epsilon: Radius in pixel units.
        keys: The images' random keys, `(n,)` uint32 (`randomness.keys_of`).
        numbers: What the images are called in a message, `(n,)`; their places where not given.
        batch_size: Images at a time.
        threads: Batches at a time; more than one helps a CPU.
        progress: Called with the numbers of images done and of those broken, since the last call.

    Returns:
        What happened to each image.

    Raises:
        InputError: Logits that are not finite; the image is named.
    """
    if not len(x):
        return Outcome(
            np.zeros(0, bool), np.zeros(x.shape, np.float32), *np.zeros((2, 0), np.int64)
        )
    batch_size = min(batch_size, 1 << max(len(x) - 1, 0).bit_length())
    work = _Run(attack, model, x, y, epsilon, keys, numbers, batch_size, threads, progress)
    if threads == 1:
        work.work()
    else:
        with ThreadPoolExecutor(threads) as pool:
            try:
                for done in [pool.submit(work.work) for _ in range(threads)]:
                    done.result()
            except BaseException:  # also what strikes this thread alone, such as Ctrl-C
                work.stop()
                raise
    return work.outcome
