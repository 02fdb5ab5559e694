"""How time and memory grow with networks, fractions and images; how Ray's workers share work.

Each size runs in a process of its own, so its memory is its own. An exponent is the slope of a line
through the
logarithms: 1 is proportional growth, 0 none.
"""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from pellucid.benchmark import environment
from pellucid.benchmark.execution import runner
from pellucid.benchmark.units import configuration, orders, plan, retrain
from pellucid.leaderboard import entry as entries
from pellucid.leaderboard.board import Board, pages, rendered
from tests.conftest import ROOT, needs_tfds
from tests.leaderboard.many import measured

SIZES = (1, 2, 4, 8)

PROGRAM = """
import os, resource, sys, time
os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
from pellucid import models
models.choose_kernels("strided_cnn")
from pellucid.models import backend
backend.configure()
import numpy as np
from pellucid.benchmark.data import datasets
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.models.batching import to_device
from tests.ranks import random_ranks
what, size = sys.argv[1], int(sys.argv[2])
images = 1000 * (size if what == "images" else 4)
data = datasets.load("mnist", train_limit=images)
x, y = to_device(data.x_train), data.y_train
ranks = to_device(random_ranks(data.x_train.shape[:3], seed=0))
def one(fraction, seed):
    model = models.get("strided_cnn")(data.info.shape, 10, seed=seed)
    mask = Mask(ranks, fraction, "roar", data.channel_means())
    train(model, x, y, seed=seed, epochs=1, mask=mask)
one(0.5, 0)
start = time.perf_counter()
if what == "fractions":
    for fraction in np.linspace(0.1, 0.9, size):
        one(float(fraction), 0)
else:
    for seed in range(size if what == "networks" else 1):
        one(0.5, seed)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@needs_tfds
@pytest.mark.parametrize("what", ["networks", "fractions", "images"])
def test_growth(benchmark, figure, what):
    """Masked training of the strided CNN on MNIST. Aim: memory flat in the number of fractions."""

    def measure() -> np.ndarray:
        found = []
        for size in SIZES:
            command = [sys.executable, "-c", PROGRAM, what, str(size)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found.append([float(v) for v in done.stdout.split()[-2:]])
        return np.array(found)

    seconds, memory = benchmark.pedantic(measure, rounds=1).T
    for name, values, unit in (("time", seconds, "s"), ("memory", memory, "MiB")):
        for size, value in zip(SIZES, values, strict=True):
            figure(f"{name} {size}", value, unit)
        figure(f"{name} exponent", float(np.polyfit(np.log(SIZES), np.log(values), 1)[0]))


class Clock:
    """When units end."""

    def __init__(self):
        self.ended = []

    def finished(self, unit, seconds):
        self.ended.append(time.perf_counter())

    def __getattr__(self, name):
        return lambda *_: None


RETRAININGS = (
    "data.name=mnist",
    "data.train_limit=4000",
    "data.test_limit=1000",
    "model.name=strided_cnn",
    "retraining.repeats=16",
    "retraining.epochs=3",
    "retraining.fractions=[0.5]",
    "retraining.modes=['roar']",
)


@needs_tfds
def test_two_ray_workers_against_one(benchmark, figure, tmp_path):
    """Retrainings per hour of single-threaded workers after their first. Aim: at least 1.7 times.

    Three turns; the medians, and the median, the least and the greatest of the ratios.
    """
    from pellucid.benchmark.execution.ray import RayPool

    resolved = configuration.resolve("quick", None, list(RETRAININGS))
    whole = runner.plan(resolved, None)
    units = tuple(u for u in whole.of(retrain.KIND) if u.spec.order.attribution == orders.RANDOM)
    work = plan.Plan(resolved, whole.info, (), units)
    data = {"name": "mnist", "train_limit": 4000, "test_limit": 1000}

    def pace(turn: int, workers: int) -> float:
        out = tmp_path / f"{turn}-{workers}"
        out.mkdir()
        (out / "config.toml").touch()
        pool = RayPool(
            work,
            out,
            data,
            here=environment.collect(),
            address=None,
            workers=workers,
            cores=1,
            notice=lambda _: None,
        )
        clock = Clock()
        runner.execute(work, set(), pool, clock)
        first, last = clock.ended[workers - 1], clock.ended[-workers]  # all at work in between
        return 3600 * (len(clock.ended) - 2 * workers + 1) / (last - first)

    found = benchmark.pedantic(
        lambda: [(pace(turn, 1), pace(turn, 2)) for turn in range(3)], rounds=1
    )
    for name, values in zip(("one worker", "two workers"), zip(*found, strict=True), strict=True):
        figure(name, statistics.median(values), "retrainings/h")
    ratios = [two / one for one, two in found]
    figure("ratio", statistics.median(ratios))
    figure("least", min(ratios))
    figure("greatest", max(ratios))


BOARDS = (250, 500, 1000, 2000)


def test_a_board_of_2000_entries(benchmark, figure, tmp_path):
    """Everything of a board rendered, an entry added to the largest, and its page opened.

    Entries are as full as measured ones. Processor seconds but for Chromium. Aims: 10 s, an
    exponent of 1.1, a page of 2 MB that opens in 2 s.
    """
    found = benchmark.pedantic(lambda: [rendering(n) for n in BOARDS], rounds=1)
    for number, (of_board, of_pages) in zip(BOARDS, found, strict=True):
        figure(f"rendering {number} entries", of_board, "s")
        figure(f"{number} pages of entries", of_pages, "s")
    seconds = [sum(one) for one in found]
    figure("rendering exponent", float(np.polyfit(np.log(BOARDS), np.log(seconds), 1)[0]))

    rows, behind = measured(BOARDS[-1] + 1)
    board = Board(tmp_path / "board")
    board.put(rows[:-1], behind)
    start = time.process_time()
    board.put(rows[-1:], behind)
    figure("adding an entry", time.process_time() - start, "s")
    page = board.root / "index.html"
    figure("page", page.stat().st_size / 1e6, "MB")
    figure("opening the page", statistics.median(opening(page) for _ in range(3)), "s")


def rendering(number: int) -> tuple[float, float]:
    """Processor seconds from the text of so many entries to the board, and to their own pages."""
    rows, behind = measured(number)
    texts = [entries.dumps(entry).encode() for entry in rows]
    start = time.process_time()
    read = [entries.loads(text, "an entry") for text in texts]
    rendered(read, behind)
    middle = time.process_time()
    pages(read)
    return middle - start, time.process_time() - middle


def opening(page: Path) -> float:
    """Seconds until a board's table and plot are drawn by a new Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        shown = browser.new_page()
        start = time.perf_counter()
        shown.goto(page.as_uri())
        shown.locator("[data-table='0'] tbody tr[data-index]").first.wait_for()
        shown.locator("[data-scatter='0'] .point").first.wait_for()
        seconds = time.perf_counter() - start
        browser.close()
    return seconds
