"""The one place that knows which backend runs: TensorFlow (default) or JAX.

Keras 3 has no backend-neutral gradient, no traced random key and no switch for compilation. This
file holds those and nothing else; `keras.ops` serves everywhere for the rest. `KERAS_BACKEND=jax`
before the first import chooses JAX.

On a CPU, programs run in TensorFlow's graph mode: XLA compiles a convolution inside a loop to
single-threaded code, about twelve times slower. On an accelerator both backends use XLA.
"""

import math
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from robust_interpretability.models.errors import unknown
from robust_interpretability.models.files import cache_folder

NAME: str = keras.backend.backend()
_XLA_DEVICES = ("GPU", "TPU")

if NAME == "tensorflow":
    import tensorflow as tf

    def configure(threads: int | None = None) -> None:
        """Makes results depend on the seed alone: one thread an operation, deterministic kernels.

        With one thread inside an operation a sum is always taken in the same order, whatever the
        number of cores; the cores are filled by running units of work side by side instead, which
        is also faster for small networks. Called once before the first operation; later calls have
        no effect.

        Args:
            threads: How many operations run at a time; None for as many as there are cores, at
                least 2.
        """
        try:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(
                threads or max(2, os.cpu_count() or 2)
            )
        except (
            RuntimeError
        ):  # the runtime has started: its threads are set for the life of the process
            return
        tf.config.experimental.enable_op_determinism()
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)

    def devices() -> list[str]:
        """Names of the devices computations can run on, as `"CPU:0"`, `"GPU:0"`."""
        return [d.name.removeprefix("/physical_device:") for d in tf.config.list_physical_devices()]

    tf.get_logger().setLevel("ERROR")

    def jit(
        function: Callable, *, any_length: bool = False, rows_from: int | None = None
    ) -> Callable:
        """Compiles a function of tensors; one program for each set of argument shapes.

        Args:
            function: The function.
            any_length: Where the compiler can (graph mode), let the second compilation serve
                batches of any length.
            rows_from: The argument from which on all first axes are a batch's; the first
                compilation then serves all.
        """
        if has_accelerator():
            return tf.function(function, autograph=False, jit_compile=True)
        program = tf.function(function, autograph=False, reduce_retracing=any_length)
        if rows_from is None:
            return program
        made: set[tuple] = set()

        def spec(v: Any, first: tuple = ()) -> Any:
            return tf.TensorSpec((*first, *v.shape[len(first) :]) if len(v.shape) else (), v.dtype)

        def call(*args: Any) -> Any:
            kind = tuple((v.dtype, *v.shape[1:]) for v in tf.nest.flatten(args[rows_from:]))
            if kind not in made:  # the call below finds this trace
                specs = [tf.nest.map_structure(spec, v) for v in args[:rows_from]]
                specs += [
                    tf.nest.map_structure(lambda v: spec(v, (None,)), v) for v in args[rows_from:]
                ]
                program.get_concrete_function(*specs)
                made.add(kind)
            return program(*args)

        return call

    def to_device(x: np.ndarray) -> Any:
        """An array as a tensor on the device, its type kept."""
        return tf.identity(
            x
        )  # convert_to_tensor would keep a second copy for as long as the tensor lives

    def value_and_gradient(function: Callable, at: Any) -> tuple[Any, Any]:
        """`(function(at), its gradient at that point)` for a scalar `function` of a tensor or a list of tensors."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(at)
            value = function(at)
        return value, tape.gradient(value, at, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def value_aux_and_gradient(function: Callable, at: Any) -> tuple[Any, Any, Any]:
        """As `value_and_gradient` for a `function` that returns `(scalar, auxiliary)`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(at)
            value, aux = function(at)
        return (
            value,
            aux,
            tape.gradient(value, at, unconnected_gradients=tf.UnconnectedGradients.ZERO),
        )

    def stop_gradient(x: Any) -> Any:
        """`x`, constant for every gradient."""
        return tf.stop_gradient(x)

    def own_convolution() -> bool:
        """Whether gradients at images are found faster with `convolution` than with Keras' own."""
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1" and not has_accelerator()

    def convolution(x: Any, kernel: Any, strides: tuple[int, int]) -> Any:
        """A convolution with "same" padding; `(n, h, w, c)` with a `(kh, kw, c, filters)` kernel.

        oneDNN is slow at the gradient with respect to an input of few channels under strides, so
        that is a convolution here too: its channels are the pixels of a stride, laid out in space
        afterwards (sub-pixel convolution).
        Reference: Shi et al., arXiv 1609.05158.
        """
        few = x.shape[-1] <= 4 and strides[0] == strides[1] > 1 and None not in x.shape[1:]
        return (
            _strided_convolution(x, kernel, strides[0])
            if few
            else tf.nn.conv2d(x, kernel, strides, "SAME")
        )

    def add_bias(x: Any, bias: Any) -> Any:
        """`x + bias`, `(..., channels)` and `(channels,)`; as this operation it is computed with its convolution."""
        return tf.nn.bias_add(x, bias)

    def _phases(size: int, taps: int, stride: int) -> tuple[np.ndarray, int, int]:
        """Which tap of a kernel joins an output at distance d with each pixel of a stride: `(distances, stride, taps)`.

        Also the least distance and the greatest.
        """
        before = max((-(-size // stride) - 1) * stride + taps - size, 0) // 2
        tap = np.arange(stride) + before - stride * np.arange(-taps, taps + 1)[:, None]
        used = np.flatnonzero(((tap >= 0) & (tap < taps)).any(axis=1)) - taps
        least, greatest = min(int(used[0]), 0), max(int(used[-1]), 0)
        joined = tap[least + taps : greatest + taps + 1, :, None] == np.arange(taps)
        return joined.astype(np.float32), least, greatest

    def _strided_convolution(x: Any, kernel: Any, stride: int) -> Any:
        height, width, channels = x.shape[1:]
        filters = kernel.shape[-1]

        def gradient(upstream: Any) -> tuple[Any, Any]:
            (rows, up, down), (columns, left, right) = (
                _phases(size, taps, stride)
                for size, taps in zip((height, width), kernel.shape[:2], strict=True)
            )
            spread = tf.einsum(
                "dat,ebu,tuio->deoabi", tf.constant(rows), tf.constant(columns), kernel
            )
            spread = tf.reshape(
                spread, (len(rows), len(columns), filters, stride * stride * channels)
            )
            padded = tf.pad(upstream, ((0, 0), (-up, down), (-left, right), (0, 0)))
            at_x = tf.nn.depth_to_space(tf.nn.conv2d(padded, spread, 1, "VALID"), stride)[
                :, :height, :width
            ]
            at_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=x,
                filter_sizes=kernel.shape,
                out_backprop=upstream,
                strides=(1, stride, stride, 1),
                padding="SAME",
            )
            return at_x, at_kernel

        return tf.custom_gradient(
            lambda x, kernel: (tf.nn.conv2d(x, kernel, stride, "SAME"), gradient)
        )(x, kernel)

    def fori_loop(steps: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        """`state` after `state = body(i, state)` for i = 0 .. steps - 1."""
        counter = tf.constant(0)
        return tf.while_loop(
            lambda i, _: i < steps,
            lambda i, s: (i + 1, body(i, s)),
            (counter, state),
            parallel_iterations=1,
        )[1]

    def loops_and_gradients(function: Callable, x: np.ndarray) -> dict[str, int]:
        """How many loops and gradient operations the graph of `function(x)` holds."""
        graph = (
            tf.function(function, autograph=False)
            .get_concrete_function(to_device(x))
            .graph.as_graph_def()
        )
        nodes = [
            *graph.node,
            *(node for inner in graph.library.function for node in inner.node_def),
        ]
        return {
            "loops": sum(node.op in ("While", "StatelessWhile") for node in nodes),
            "gradient_operations": sum(
                node.op.endswith(("Grad", "BackpropFilter")) for node in nodes
            ),
        }

    WHOLE_RUNS = False
    """Whether a whole training run is one program, and `scan`, `map_`, `vmap`, `stack` and `memory_of` are there.

    In graph mode a call more costs nothing: an epoch is one program.
    """

    def fixed_shapes() -> bool:
        """Whether a batch of another length costs a compilation."""
        return has_accelerator()

    def free_memory() -> int | None:
        """Bytes that programs may still take on the device; TensorFlow does not tell."""
        return None

    def key(seed: int) -> Any:
        """A random key from an integer seed of up to 62 bits."""
        return tf.constant([seed >> 31 & 0x7FFFFFFF, seed & 0x7FFFFFFF], tf.int32)

    def fold_in(random_key: Any, data: Any) -> Any:
        """Another key, from a key and an integer (tensor)."""
        return tf.random.experimental.stateless_fold_in(random_key, tf.cast(data, tf.int32))

    def uniform(random_key: Any, shape: Any, low: float = 0.0, high: float = 1.0) -> Any:
        """Uniform float32 draws in [low, high)."""
        return tf.random.stateless_uniform(shape, random_key, low, high)

    def normal(random_key: Any, shape: Any) -> Any:
        """Standard normal float32 draws."""
        return tf.random.stateless_normal(shape, random_key)

    def permutation(random_key: Any, n: int) -> Any:
        """A random order of 0 .. n - 1."""
        return tf.random.experimental.stateless_shuffle(tf.range(n), random_key)

elif NAME == "jax":
    _GPU_FLAG = "--xla_gpu_deterministic_ops"
    if _GPU_FLAG not in os.environ.get(
        "XLA_FLAGS", ""
    ):  # read when the first device is asked for; a CPU needs none
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_GPU_FLAG}=true".strip()
    import jax
    import jax.numpy as jnp

    WHOLE_RUNS = True
    """Whether a whole training run is one program: each call costs XLA a start."""

    def configure(threads: int | None = None) -> None:
        """Keeps compiled programs in the user's cache folder, for the next process; XLA is deterministic on a CPU.

        Args:
            threads: Of no meaning here.
        """
        if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
            jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

    def fixed_shapes() -> bool:
        """Whether a batch of another length costs a compilation."""
        return True

    def devices() -> list[str]:
        """Names of the devices computations can run on, as `"CPU:0"`, `"GPU:0"`."""
        return [f"{d.platform.upper()}:{d.id}" for d in jax.devices()]

    def jit(
        function: Callable, *, any_length: bool = False, rows_from: int | None = None
    ) -> Callable:
        """Compiles a function of tensors; one program for each set of argument shapes."""
        return jax.jit(function)

    def to_device(x: np.ndarray) -> Any:
        """An array as a tensor on the device, its type kept."""
        return jnp.asarray(x)

    def value_and_gradient(function: Callable, at: Any) -> tuple[Any, Any]:
        """`(function(at), its gradient at that point)` for a scalar `function` of a tensor or a list of tensors."""
        return jax.value_and_grad(function)(at)

    def value_aux_and_gradient(function: Callable, at: Any) -> tuple[Any, Any, Any]:
        """As `value_and_gradient` for a `function` that returns `(scalar, auxiliary)`."""
        (value, aux), grad = jax.value_and_grad(function, has_aux=True)(at)
        return value, aux, grad

    def stop_gradient(x: Any) -> Any:
        """`x`, constant for every gradient."""
        return jax.lax.stop_gradient(x)

    def own_convolution() -> bool:
        """Whether gradients at images are found faster with `convolution` than with Keras' own."""
        return False

    def convolution(x: Any, kernel: Any, strides: tuple[int, int]) -> Any:
        """A convolution with "same" padding; `(n, h, w, c)` with a `(kh, kw, c, filters)` kernel."""
        return keras.ops.conv(x, kernel, strides, "same")

    def add_bias(x: Any, bias: Any) -> Any:
        """`x + bias`, `(..., channels)` and `(channels,)`."""
        return x + bias

    def fori_loop(steps: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        """`state` after `state = body(i, state)` for i = 0 .. steps - 1."""
        return jax.lax.fori_loop(0, steps, body, state)

    def loops_and_gradients(function: Callable, x: np.ndarray) -> dict[str, int]:
        """How many loops the program of `function(x)` holds; gradients look like any other operation here."""

        def loops(jaxpr: Any) -> int:
            parts = [
                p
                for e in jaxpr.eqns
                for v in e.params.values()
                for p in (v if isinstance(v, tuple) else [v])
            ]
            inner = [getattr(part, "jaxpr", part) for part in parts]
            own = sum(e.primitive.name in ("while", "scan") for e in jaxpr.eqns)
            return own + sum(loops(part) for part in inner if hasattr(part, "eqns"))

        return {"loops": loops(jax.make_jaxpr(function)(x).jaxpr), "gradient_operations": 0}

    def scan(body: Callable[[Any, Any], tuple[Any, Any]], state: Any, xs: Any) -> tuple[Any, Any]:
        """`(state, outputs)` after `state, output = body(state, x)` for each x of `xs`."""
        return jax.lax.scan(body, state, xs)

    def vmap(function: Callable) -> Callable:
        """`function` for many arguments at once, each with a first axis of networks; computed side by side."""
        return jax.vmap(function)

    def map_(function: Callable) -> Callable:
        """As `vmap`, computed one after the other by one program."""
        return lambda *arguments: jax.lax.map(lambda one: function(*one), arguments)

    def free_memory() -> int | None:
        """Bytes that programs may still take on the device; None where it does not tell (a CPU)."""
        found = jax.devices()[0].memory_stats()
        return found["bytes_limit"] - found["bytes_in_use"] if found else None

    def memory_of(run: Any, arguments: tuple) -> int:
        """Bytes that a call of a compiled program takes beside its arguments."""
        found = run.lower(*arguments).compile().memory_analysis()
        return found.temp_size_in_bytes + found.output_size_in_bytes

    def stack(values: list[Any]) -> Any:
        """Tensors, or random keys, beside each other on a new first axis."""
        return jnp.stack(values)

    def key(seed: int) -> Any:
        """A random key from an integer seed of up to 62 bits."""
        return jax.random.fold_in(jax.random.key(seed & 0x7FFFFFFF), seed >> 31 & 0x7FFFFFFF)

    def fold_in(random_key: Any, data: Any) -> Any:
        """Another key, from a key and an integer (tensor)."""
        return jax.random.fold_in(random_key, data)

    def uniform(random_key: Any, shape: Any, low: float = 0.0, high: float = 1.0) -> Any:
        """Uniform float32 draws in [low, high)."""
        return jax.random.uniform(random_key, shape, jnp.float32, low, high)

    def normal(random_key: Any, shape: Any) -> Any:
        """Standard normal float32 draws."""
        return jax.random.normal(random_key, shape)

    def permutation(random_key: Any, n: int) -> Any:
        """A random order of 0 .. n - 1."""
        return jax.random.permutation(random_key, n)

else:
    raise unknown("backend (KERAS_BACKEND)", NAME, ("tensorflow", "jax"))


def has_accelerator() -> bool:
    """Whether a GPU or TPU is there."""
    return any(name.startswith(_XLA_DEVICES) or name.startswith("CUDA") for name in devices())


def flatten(tensors: list[Any]) -> Any:
    """One vector from a list of float tensors.

    Small tensors updated as one cost an optimizer a tenth of the calls.
    """
    return (
        keras.ops.concatenate([keras.ops.reshape(t, (-1,)) for t in tensors])
        if tensors
        else keras.ops.zeros((0,))
    )


def unflatten(vector: Any, shapes: list[tuple[int, ...]]) -> list[Any]:
    """The inverse of `flatten`, given the static shapes."""
    if not shapes:
        return []
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1].tolist()
    parts = keras.ops.split(vector, ends)
    return [keras.ops.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
