"""Which way of training several networks is quickest is measured once for each device."""

import json
import os
import shutil

import pytest

from pellucid.benchmark.training import ways
from pellucid.benchmark.training.batched import WAYS
from pellucid.benchmark.training.ways import ALONE, CANDIDATES, Case, Way
from pellucid.models import backend
from pellucid.models.sharing import share_environment

CASE = Case("digits_cnn", 0.5, (8, 8, 1), 10, 20, "float32")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(ways, "cache_folder", lambda: tmp_path)
    return tmp_path / "ways.json"


@pytest.fixture
def accelerator(monkeypatch):
    """As JAX on a GPU that is called so."""
    monkeypatch.setattr(backend, "WHOLE_RUNS", True)
    monkeypatch.setattr(backend, "has_accelerator", lambda: True)
    monkeypatch.setattr(backend, "device_names", lambda: ["card A"])


def told(rates: dict[Way, float], calls: list | None = None):
    def measure(way: Way, case: Case) -> float:
        if calls is not None:
            calls.append(way)
        return rates.get(way, 1.0)

    return measure


def test_on_a_cpu_it_is_one_network_at_a_time_and_nothing_is_measured(cache):
    assert ways.chosen(CASE) == ALONE
    assert not cache.exists()


def test_the_quickest_is_chosen(cache, accelerator, monkeypatch):
    best, shared = Way("vmap", 8), Way("one", 1, 4)
    monkeypatch.setattr(ways.measured, "__defaults__", (told({best: 30.0, shared: 32.0}),))
    lines: list[str] = []
    assert ways.chosen(CASE, lines.append) == best
    assert not lines, "two percent more are not worth another command"


def test_processes_that_share_the_device_are_recommended(cache, accelerator, monkeypatch):
    monkeypatch.setattr(ways.measured, "__defaults__", (told({Way("one", 1, 4): 3.0}),))
    lines: list[str] = []
    assert ways.chosen(CASE, lines.append).processes == 1
    assert lines == [
        "4 processes that share this device would retrain 3.0 times as many networks:"
        " --executor ray --share 4"
    ]


def test_it_is_measured_once_for_each_device_and_network(cache, accelerator, monkeypatch):
    calls: list[Way] = []
    first = ways.measured(CASE, told({Way("map", 8): 7.0}, calls))
    assert calls == list(CANDIDATES)
    assert ways.measured(CASE, told({}, calls)) == first
    assert len(calls) == len(CANDIDATES)
    ways.measured(CASE._replace(batch_size=10), told({}, calls))
    assert len(calls) == 2 * len(CANDIDATES)
    monkeypatch.setattr(backend, "device_names", lambda: ["card B"])
    ways.measured(CASE, told({}, calls))
    assert len(calls) == 3 * len(CANDIDATES)
    assert len(json.loads(cache.read_text())) == 3


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}'])
def test_a_damaged_cache_is_measured_again(cache, accelerator, content):
    cache.write_text(content)
    assert ways.measured(CASE, told({ALONE: 5.0}))[ALONE] == 5.0
    assert ways.measured(CASE, lambda *_: pytest.fail("measured twice"))[ALONE] == 5.0


@pytest.mark.parametrize("way", WAYS)
def test_a_rate_is_measured(way, monkeypatch):
    if way != "one" and not backend.WHOLE_RUNS:
        pytest.skip("needs JAX, with which test_jax runs this")
    monkeypatch.setattr(ways, "BATCHES", 2)
    assert ways.rate(Way(way, 1 if way == "one" else 2), CASE) > 0


def test_a_way_without_enough_memory_is_not_chosen(monkeypatch):
    def full(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(ways, "train_together", full)
    assert ways.rate(ALONE, CASE) == 0


def test_processes_that_share_a_device_are_timed(monkeypatch):
    """Two real ones, here on a CPU; and two that end at once."""
    assert ways.rate(Way("one", 1, 2), CASE) > 0
    monkeypatch.setattr(ways.sys, "executable", shutil.which("true"))
    assert ways.rate(Way("one", 1, 2), CASE) == 0


def test_what_processes_find_in_their_environment(monkeypatch):
    assert share_environment(1) == {}
    assert share_environment(4) == {
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.225",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50",
    }
    monkeypatch.setitem(os.environ, "XLA_PYTHON_CLIENT_MEM_FRACTION", "0.1")
    assert share_environment(4)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.1"
