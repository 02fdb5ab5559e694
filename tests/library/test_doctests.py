"""Every public function has an example, and it runs."""

import doctest
import inspect
import operator
import subprocess
import sys

import pytest

import pellucid
from tests.conftest import ROOT

FUNCTIONS = [name for name in pellucid.__all__ if inspect.isfunction(getattr(pellucid, name))]
CLASSES = ["AdversarialModel", "callbacks.Interpretability", "callbacks.RobustAccuracy"]


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_the_example_of_a_public_function_or_class_runs(name):
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(operator.attrgetter(name)(pellucid), name, globs={})
    assert example.examples, f"pellucid.{name} has no example"
    result = doctest.DocTestRunner(verbose=False).run(example)
    assert result.attempted
    assert not result.failed


def test_public_functions_are_those_of_the_documents():
    assert {"evaluate", "interpretability", "attack", "attribute", "input_gradient", "fit"} < set(
        FUNCTIONS
    )
    assert {"load_data", "list_datasets", "list_attacks", "list_attributions"} < set(FUNCTIONS)
    assert set(pellucid.__all__) <= set(dir(pellucid))
    with pytest.raises(AttributeError, match="no attribute 'evaluates'"):
        _ = pellucid.evaluates


def test_importing_it_imports_nothing_heavy():
    program = """
import sys, time
start = time.perf_counter()
import pellucid
taken = time.perf_counter() - start
heavy = {"keras", "tensorflow", "jax", "numpy", "pandas", "scipy"} & set(sys.modules)
assert not heavy, heavy
assert taken < 0.3, taken
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    assert (ROOT / "pellucid" / "py.typed").exists()
