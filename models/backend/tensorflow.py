"""TensorFlow's gradient, compilation, loops and random keys: the same names as `jax.py`."""

import os
from collections.abc import Callable
from typing import TypeVar

import keras
import tensorflow as tf

from pellucid.models.backend.selection import QUOTIENTS, largest_by_masks
from pellucid.models.backend.subpixel import strided_convolution
from pellucid.models.compiling import ended, traced
from pellucid.models.errors import InputError
from pellucid.models.types import Array, Tensor

__all__ = [
    "WHOLE_RUNS",
    "add_bias",
    "bytes_over_255",
    "configure",
    "convolution",
    "device_names",
    "devices",
    "fixed_shapes",
    "fold_in",
    "fori_loop",
    "free_memory",
    "has_accelerator",
    "has_faster_convolution",
    "jit",
    "jvp",
    "key",
    "largest",
    "loops_and_gradients",
    "map_",
    "memory_of",
    "normal",
    "permutation",
    "scan",
    "select",
    "stack",
    "stop_gradient",
    "take",
    "to_device",
    "uniform",
    "value_and_gradient",
    "value_aux_and_gradient",
    "version",
    "vmap",
]

State = TypeVar("State")

WHOLE_RUNS = False
"""Whether a training run is one program. In graph mode another call costs nothing: an epoch is."""


_FEW = 4
"""Channels of an image: oneDNN's gradient at so few is slow for every kernel."""


def configure(threads: int | None = None) -> None:
    """Makes results depend on the seed alone: one thread per operation, deterministic kernels.

    With one thread inside an operation a sum is always taken in the same order, whatever the number
    of cores; the cores are filled by running units of work side by side instead, which is also
    faster for small networks. float32 keeps all its bits: no tf32. Called once before the first
    operation; later calls have no effect.

    Args:
        threads: How many operations run at a time; None for as many as there are cores, at least 2.
    """
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads or max(2, os.cpu_count() or 2))
    except RuntimeError:  # the runtime has started: its threads are set for the life of the process
        return
    tf.config.experimental.enable_op_determinism()
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def devices() -> list[str]:
    """Names of the devices that computations can run on, as `"CPU:0"`, `"GPU:0"`."""
    return [d.name.removeprefix("/physical_device:") for d in tf.config.list_physical_devices()]


def device_names() -> list[str]:
    """What the devices are, in their makers' words, in the order of `devices`."""
    found = tf.config.list_physical_devices()
    details = [tf.config.experimental.get_device_details(device) for device in found]
    pairs = zip(found, details, strict=True)
    return [str(known.get("device_name", device.device_type.lower())) for device, known in pairs]


def version() -> str:
    """The backend's version."""
    return tf.__version__


def has_accelerator() -> bool:
    """Whether there is a GPU or TPU."""
    return any(name.startswith(("GPU", "TPU", "CUDA")) for name in devices())


def fixed_shapes() -> bool:
    """Whether a batch of another length costs a compilation."""
    return has_accelerator()


def free_memory() -> int | None:
    """Bytes that programs may still take on the device; None, as TensorFlow does not report it."""
    return None


def memory_of(run: Callable, arguments: tuple) -> int:
    """Bytes that a call of a compiled program takes besides its arguments.

    Raises:
        InputError: TensorFlow does not report it.
    """
    raise InputError("TensorFlow does not report a program's memory; KERAS_BACKEND=jax does.")


def jit(
    function: Callable,
    *,
    any_length: bool = False,
    rows_from: int | None = None,
    exact: bool = True,
) -> Callable:
    """Compiles a function of tensors; one program for each set of argument shapes.

    Args:
        function: The function.
        any_length: Where the compiler can (graph mode), let the second compilation serve batches of
            any length.
        rows_from: The argument from which on all first axes are a batch's; the first compilation
            then serves all lengths.
        exact: Not used: `configure` switches tf32 off for the process.
    """
    if has_accelerator():
        compiled = tf.function(traced(function, whole=False), autograph=False, jit_compile=True)

        def until_it_returns(*args: object) -> object:  # the first call compiles
            try:
                return compiled(*args)
            finally:
                ended()

        return until_it_returns
    program = tf.function(
        traced(function, whole=True), autograph=False, reduce_retracing=any_length
    )
    # one line of code makes a program for each attack and model, which TensorFlow takes for one
    # function that is traced again and again
    program._omit_frequent_tracing_warning = True
    if rows_from is None:
        return program
    made: set[tuple] = set()

    def spec(v: Tensor, first: tuple = ()) -> tf.TensorSpec:
        return tf.TensorSpec((*first, *v.shape[len(first) :]) if len(v.shape) else (), v.dtype)

    def call(*args: object) -> object:
        kind = tuple((v.dtype, *v.shape[1:]) for v in tf.nest.flatten(args[rows_from:]))
        if kind not in made:  # the call below uses this trace
            specs = [tf.nest.map_structure(spec, v) for v in args[:rows_from]]
            specs += [
                tf.nest.map_structure(lambda v: spec(v, (None,)), v) for v in args[rows_from:]
            ]
            program.get_concrete_function(*specs)
            made.add(kind)
        return program(*args)

    return call


def loops_and_gradients(function: Callable, x: Array) -> dict[str, int]:
    """How many loops and gradient operations the graph of `function(x)` holds."""
    traced = tf.function(function, autograph=False).get_concrete_function(to_device(x))
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    return {
        "loops": sum(node.op in ("While", "StatelessWhile") for node in nodes),
        "gradient_operations": sum(node.op.endswith(("Grad", "BackpropFilter")) for node in nodes),
    }


def take(x: Tensor, index: Tensor) -> Tensor:
    """Entries of the first axis of `x` at an index, whose integers must not be negative.

    `ops.take` spends most of its time on those that are.
    """
    return tf.gather(x, index)


def to_device(x: Array) -> Tensor:
    """An array as a tensor on the device, of the same dtype."""
    # convert_to_tensor would keep a second copy for as long as the tensor lives
    return tf.identity(x)


def value_and_gradient(
    function: Callable[..., Tensor], at: Tensor | list[Tensor]
) -> tuple[Tensor, Tensor]:
    """`(function(at), its gradient there)` for a scalar `function` of a tensor or list of tensors.

    The gradient is zero where the value does not depend on a tensor.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        value = function(at)
    return value, tape.gradient(value, at, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def value_aux_and_gradient(
    function: Callable[..., tuple], at: Tensor | list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """As `value_and_gradient` for a `function` that returns `(scalar, auxiliary)`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        value, aux = function(at)
    gradient = tape.gradient(value, at, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return value, aux, gradient


def jvp(function: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor) -> Tensor:
    """The derivative of `function` at a tensor along a direction of the same shape (forward mode).

    It is the product J v of the Jacobian and the direction, shaped as the function's value.
    """
    with tf.autodiff.ForwardAccumulator(at, direction) as accumulator:
        value = function(at)
    return accumulator.jvp(value, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def stop_gradient(x: Tensor) -> Tensor:
    """`x`, constant for every gradient."""
    return tf.stop_gradient(x)


def has_faster_convolution() -> bool:
    """Whether gradients at images are faster with `convolution` than with Keras' convolution."""
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1" and not has_accelerator()


def convolution(x: Tensor, kernel: Tensor, strides: tuple[int, int]) -> Tensor:
    """A convolution with "same" padding, with a faster gradient at its input under strides.

    Args:
        x: `(n, h, w, c)`.
        kernel: `(kh, kw, c, filters)`.
        strides: Of rows and columns.
    """
    # The faster gradient multiplies by zeros where the stride does not divide the kernel's sides.
    divided = all(taps % strides[0] == 0 for taps in kernel.shape[:2])
    worth = strides[0] == strides[1] > 1 and (divided or x.shape[-1] <= _FEW)
    if worth and None not in x.shape[1:]:
        return strided_convolution(x, kernel, strides[0])
    return tf.nn.conv2d(x, kernel, strides, "SAME")


def bytes_over_255(x: Tensor) -> Tensor:
    """A tensor of uint8 over 255 as float32, correctly rounded."""
    if has_accelerator():  # where a division may be a product, but a table costs nothing
        return tf.gather(QUOTIENTS, tf.cast(x, tf.int32))
    # The only division that is not replaced by a product; a table takes ten times as long.
    return tf.math.divide_no_nan(tf.cast(x, tf.float32), 255.0)


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """`x + bias`, `(..., channels)` and `(channels,)`; graph mode fuses it with its convolution."""
    return tf.nn.bias_add(x, bias)


def largest(x: Tensor, k: int) -> Tensor:
    """The `k` largest values of each row, `(n, k)` from `(n, m)`, in falling order."""
    return largest_by_masks(x, k) if has_accelerator() else tf.math.top_k(x, k).values


def fori_loop(steps: Tensor | int, body: Callable[[Tensor, State], State], state: State) -> State:
    """`state` after `state = body(i, state)` for i = 0 .. steps - 1."""
    counter = tf.constant(0)
    return tf.while_loop(
        lambda i, _: i < steps,
        lambda i, s: (i + 1, body(i, s)),
        (counter, state),
        parallel_iterations=1,
    )[1]


def scan(
    body: Callable[[State, Tensor], tuple[State, Tensor]], state: State, xs: Tensor
) -> tuple[State, Tensor]:
    """`(state, outputs)` after `state, output = body(state, x)` for each x of `xs`."""
    return keras.ops.scan(body, state, xs)


def select(which: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """`new` where `which` is true and `old` elsewhere, both of one shape `(n, ...)`.

    On a CPU this takes a thirtieth of the time of `ops.where`, which broadcasts.

    Args:
        which: Booleans of that shape, or `(n,)`.
        new: Values of any type.
        old: As `new`.
    """
    return tf.raw_ops.Select(condition=which, x=new, y=old)


def vmap(function: Callable) -> Callable:
    """`function` of arguments that all have a further first axis; computed side by side."""
    return lambda *arguments: tf.vectorized_map(lambda one: function(*one), arguments)


def map_(function: Callable) -> Callable:
    """As `vmap`, computed one after the other by one program."""
    return lambda *arguments: keras.ops.map(lambda one: function(*one), arguments)


def stack(values: list[Tensor]) -> Tensor:
    """Tensors, or random keys, beside each other on a new first axis."""
    return tf.stack(values)


def key(seed: int) -> Tensor:
    """A random key from an integer seed of up to 62 bits."""
    return tf.constant([seed >> 31 & 0x7FFFFFFF, seed & 0x7FFFFFFF], tf.int32)


def fold_in(random_key: Tensor, data: Tensor | int) -> Tensor:
    """Another key, from a key and an integer (tensor)."""
    return tf.random.experimental.stateless_fold_in(random_key, tf.cast(data, tf.int32))


def uniform(
    random_key: Tensor, shape: tuple | Tensor, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Uniform float32 draws in [low, high)."""
    return tf.random.stateless_uniform(shape, random_key, low, high)


def normal(random_key: Tensor, shape: tuple | Tensor) -> Tensor:
    """Standard normal float32 draws."""
    return tf.random.stateless_normal(shape, random_key)


def permutation(random_key: Tensor, n: int) -> Tensor:
    """A random order of 0 .. n - 1; another on an accelerator, for which there is no shuffle."""
    if not has_accelerator():
        return tf.random.experimental.stateless_shuffle(tf.range(n), random_key)
    # Of 2**62 numbers no two are equal; XLA's sort is stable in any case.
    draws = tf.random.stateless_uniform((n,), random_key, None, None, tf.int64)
    return tf.cast(tf.argsort(draws), tf.int32)
