"""Both backends have the same functions, and choosing one changes nothing else."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from pellucid.models import backend
from pellucid.models.errors import InputError
from tests.conftest import ROOT

FILES = [Path(backend.__file__).parent / f"{name}.py" for name in backend.BACKENDS]


def public(path: Path) -> dict[str, str]:
    """The public names of a file; for a function its parameters with their types and defaults."""
    names = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names[node.name] = f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
        elif isinstance(node, ast.Assign):
            names |= {t.id: "" for t in node.targets if isinstance(t, ast.Name)}
    return {name: what for name, what in names.items() if name[0] != "_"}


def exported(path: Path) -> list[str]:
    (assigned,) = (
        node.value
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return ast.literal_eval(assigned)


def test_the_same_names_and_parameters():
    tensorflow, jax = map(public, FILES)
    assert tensorflow == jax
    assert exported(FILES[0]) == exported(FILES[1]) == sorted(tensorflow.keys() - {"State"})


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_function_says_what_it_does(path):
    functions = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
    assert len(functions) > 20
    assert all(ast.get_docstring(f) for f in functions if f.name[0] != "_")


def test_the_package_has_them_all():
    assert all(hasattr(backend, name) for name in exported(FILES[0]))


def test_scan():
    compiled = backend.jit(
        lambda x: backend.scan(lambda state, x: (state + x, state * x), 1.0 + 0.0 * x[0], x)
    )
    state, outputs = compiled(ops.convert_to_tensor(np.float32([1, 2, 3])))
    assert float(state) == 7
    np.testing.assert_array_equal(outputs, [1, 4, 12])


@pytest.mark.parametrize("seed", range(3))
def test_derivative_along_a_direction(seed):
    """J v of x -> (sum x^3, A x, 1) for every row, by hand; zero where nothing depends on x."""
    rng = np.random.default_rng(seed)
    x, v, a = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 3), (4, 3), (3, 2)))

    def function(x):
        cubes = ops.sum(x**3, axis=1, keepdims=True)
        return ops.concatenate([cubes, ops.matmul(x, a), ops.ones((4, 1))], axis=1)

    compiled = backend.jit(lambda x, v: backend.jvp(function, x, v))
    expected = np.hstack([np.sum(3 * x**2 * v, axis=1, keepdims=True), v @ a, np.zeros((4, 1))])
    found = compiled(*map(backend.to_device, (x, v)))
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5, atol=1e-5)
    constant = backend.jvp(lambda x: ops.ones((4, 2)), *map(backend.to_device, (x, v)))
    np.testing.assert_array_equal(ops.convert_to_numpy(constant), np.zeros((4, 2)))


@pytest.mark.parametrize("how", ["vmap", "map_"])
def test_a_function_of_many_arguments_at_once(how):
    function = getattr(backend, how)(lambda a, b: (ops.sum(a) * b, a))
    compiled = backend.jit(function)
    a, b = np.arange(6, dtype=np.float32).reshape(3, 2), np.float32([1, 2, 3])
    sums, same = compiled(*map(ops.convert_to_tensor, (a, b)))
    np.testing.assert_array_equal(sums, a.sum(1) * b)
    np.testing.assert_array_equal(same, a)


def test_stacked_keys_draw_as_each_alone():
    keys = [backend.key(seed) for seed in (1, 2)]
    together = backend.map_(lambda key: backend.normal(key, (3,)))(backend.stack(keys))
    np.testing.assert_array_equal(together, np.stack([backend.normal(k, (3,)) for k in keys]))


def test_a_programs_memory():
    run = backend.jit(lambda x: x + 1)
    x = (ops.zeros((10,)),)
    if backend.NAME == "jax":
        assert backend.memory_of(run, x) == 40
        return
    with pytest.raises(InputError, match="TensorFlow does not report a program's memory"):
        backend.memory_of(run, x)


def test_flatten_and_back():
    tensors = [ops.convert_to_tensor(np.float32(v)) for v in ([[1, 2], [3, 4]], [5], 6)]
    vector = backend.flatten(tensors)
    np.testing.assert_array_equal(vector, [1, 2, 3, 4, 5, 6])
    for a, b in zip(tensors, backend.unflatten(vector, [(2, 2), (1,), ()]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert backend.flatten([]).shape == (0,)
    assert backend.unflatten(vector, []) == []


def python(code: str, **environment: str) -> str:
    """What a program prints, whose first import of ours is the backend."""
    around = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "KERAS_BACKEND")}
    around.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=around | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


MISTAKE = """
import sys
sys.modules[{hidden!r}] = None
from pellucid.models.errors import InputError
try:
    from pellucid.models import backend
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("chosen", "hidden", "message"),
    [
        (
            "tensorflwo",
            "none",
            "The backend 'tensorflwo' (KERAS_BACKEND) cannot be used. Did you mean 'tensorflow'?"
            " Set KERAS_BACKEND to tensorflow or jax.",
        ),
        (
            "torch",
            "none",
            "The backend 'torch' (KERAS_BACKEND) cannot be used. Set KERAS_BACKEND to tensorflow or"
            " jax.",
        ),
        (
            "",
            "tensorflow",
            "The backend 'tensorflow' (the default) is not installed. Install it with `pip install"
            " -r requirements.txt` in this project's folder, or set KERAS_BACKEND=jax, which is"
            " installed.",
        ),
        ("jax", "jax", "The backend 'jax' (KERAS_BACKEND) is not installed. Install it with `pip"),
    ],
)
def test_an_unknown_or_missing_backend_is_one_line(chosen, hidden, message, tmp_path):
    told = {"KERAS_BACKEND": chosen, "KERAS_HOME": str(tmp_path)}
    printed = python(MISTAKE.format(hidden=hidden), **told)
    assert printed.startswith(message)
    assert len(printed.splitlines()) == 1


BROKEN = """
import sys
sys.modules["tensorflow"] = sys  # is found, and has nothing of TensorFlow
from pellucid.models.errors import InputError
from pellucid.models import startup
startup.check_backend = lambda: "tensorflow"
try:
    from pellucid.models import backend
except InputError as error:
    print(error)
"""


def test_a_backend_that_is_there_but_cannot_be_imported_is_one_line():
    printed = python(BROKEN, KERAS_BACKEND="tensorflow")
    assert printed.startswith("The backend 'tensorflow' cannot be imported: ")


CHOSEN = "from pellucid.models import startup; print(*startup.chosen())"


def test_the_backend_is_the_one_that_keras_takes(tmp_path):
    """The variable, else the file in Keras' folder, else TensorFlow; as Keras itself says."""
    home = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": ""}
    asked = "import keras; print(keras.backend.backend())"
    assert python(CHOSEN, **home).split() == ["tensorflow", "the", "default"]
    file = tmp_path / "keras.json"
    for content, expected in (
        ('{"backend": "jax"}', f"jax {file}"),
        ("{", "tensorflow the default"),
        ('{"floatx": "float32"}', "tensorflow the default"),
    ):
        file.write_text(content)
        assert python(CHOSEN, **home) == expected
    file.write_text('{"backend": "jax"}')
    assert python(asked, **home) == "jax"
    assert python(CHOSEN, **home | {"KERAS_BACKEND": "tensorflow"}) == "tensorflow KERAS_BACKEND"


SETTINGS = """
import logging, os
import tensorflow as tf
def settings():
    return (tf.get_logger().level, tf.config.threading.get_intra_op_parallelism_threads(),
        tf.config.threading.get_inter_op_parallelism_threads(),
        tf.config.experimental.is_op_determinism_enabled()
        if hasattr(tf.config.experimental, "is_op_determinism_enabled") else None,
        os.environ.get("XLA_FLAGS"))
before = settings()
from pellucid.models import backend
from pellucid.models import functional
print(before == settings())
backend.configure()
print(before != settings())
"""


def test_an_import_leaves_tensorflow_as_it_is():
    assert python(SETTINGS).split() == ["True", "True"]


ENVIRONMENT = """
import os
from pellucid.models import backend
print(os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ.get("XLA_FLAGS"))
"""


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({"KERAS_BACKEND": "tensorflow"}, "2 None"),
        ({"TF_CPP_MIN_LOG_LEVEL": "1", "XLA_FLAGS": "--a"}, "1 --a"),
        ({"KERAS_BACKEND": "jax"}, "2 --xla_gpu_deterministic_ops=true"),
        (
            {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_gpu_deterministic_ops=false"},
            "2 --xla_gpu_deterministic_ops=false",
        ),
    ],
)
def test_what_is_set_before_the_backend_is_imported(environment, printed):
    assert python(ENVIRONMENT, **environment) == printed


@pytest.mark.parametrize("seed", range(4))
def test_largest_is_a_stable_sort_without_one(seed):
    """Ties are many. The gradient goes to the first of equal values, as with a sort's places."""
    from pellucid.models.backend.selection import largest_by_masks

    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 3, (50, 7)).astype(np.float32) * np.float32(0.1)
    weights = rng.normal(size=(50, 4)).astype(np.float32)
    order = np.argsort(-x, axis=1, kind="stable")[:, :4]
    expected = np.zeros_like(x)
    np.put_along_axis(expected, order, weights, axis=1)
    for largest in (backend.largest, largest_by_masks):
        np.testing.assert_array_equal(
            largest(backend.to_device(x), 4), np.take_along_axis(x, order, axis=1)
        )
        _, gradient = backend.value_and_gradient(
            lambda x, largest=largest: ops.sum(largest(x, 4) * weights), backend.to_device(x)
        )
        np.testing.assert_array_equal(gradient, expected)


def test_largest_of_infinite_values():
    """Where all that is left is minus infinity, it is the value: no taken one comes again."""
    from pellucid.models.backend.selection import largest_by_masks

    x = backend.to_device(np.float32([[5, -np.inf, 2, -np.inf], [-np.inf] * 4]))
    expected = np.float32([[5, 2, -np.inf, -np.inf], [-np.inf] * 4])
    np.testing.assert_array_equal(largest_by_masks(x, 4), expected)


@pytest.mark.parametrize("kind", ["float32", "int32", "bool"])
def test_select_takes_rows_or_entries(kind):
    new, old = (np.random.default_rng(i).integers(0, 2, (4, 3, 2)).astype(kind) for i in range(2))
    entries = np.random.default_rng(2).random((4, 3, 2)) < 0.5
    rows = np.array([True, False, False, True])
    for which, expected in ((entries, entries), (rows, rows[:, None, None])):
        found = backend.jit(backend.select)(*map(backend.to_device, (which, new, old)))
        np.testing.assert_array_equal(ops.convert_to_numpy(found), np.where(expected, new, old))


def test_select_leaves_infinity_where_it_is():
    """Nothing is multiplied: what is not chosen cannot spoil what is."""
    which = backend.to_device(np.array([True, False]))
    new, old = (backend.to_device(np.array(v, np.float32)) for v in ([1.0, np.inf], [np.nan, 2.0]))
    assert ops.convert_to_numpy(backend.select(which, new, old)).tolist() == [1.0, 2.0]


def test_bytes_are_divided_exactly():
    every = np.arange(256, dtype=np.uint8)
    found = backend.jit(backend.bytes_over_255)(backend.to_device(every))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), every / np.float32(255))


def test_take():
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    index = np.array([[3, 0], [0, 2]])
    found = backend.jit(backend.take)(backend.to_device(x), backend.to_device(index))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), x[index])


def test_many_programs_of_one_line_of_code_are_no_news():
    """TensorFlow would warn, in a notebook on the page, of one function traced again and again."""
    program = """
import numpy as np
from pellucid.models import backend
def made(k):
    return backend.jit(lambda x: x + k)
for k in range(10):
    made(k)(backend.to_device(np.zeros(3, np.float32)))
"""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == ""
