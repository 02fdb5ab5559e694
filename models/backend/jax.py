"""JAX's gradient, compilation, loops and random keys: the same names as `tensorflow.py`."""

import functools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import keras

from pellucid.models.backend.selection import QUOTIENTS, largest_by_masks
from pellucid.models.compiling import ended, traced
from pellucid.models.files import cache_folder
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

_COMPILED = "/jax/core/compile/backend_compile_duration"
"""What JAX tells its listeners when XLA has compiled a program."""
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: ended() if event == _COMPILED else None
)

WHOLE_RUNS = True
"""Whether a training run is one program: each call costs XLA a start."""


def configure(threads: int | None = None) -> None:
    """Stores compiled programs in the user's cache folder, for the next process.

    XLA is deterministic on a CPU; what a GPU needs is set when Keras is imported.

    Args:
        threads: Not used.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def devices() -> list[str]:
    """Names of the devices that computations can run on, as `"CPU:0"`, `"GPU:0"`."""
    return [f"{d.platform.upper()}:{d.id}" for d in jax.devices()]


def device_names() -> list[str]:
    """What the devices are, in their makers' words, in the order of `devices`."""
    return [str(d.device_kind) for d in jax.devices()]


def version() -> str:
    """The backend's version."""
    return jax.__version__


def has_accelerator() -> bool:
    """Whether there is a GPU or TPU."""
    return any(name.startswith(("GPU", "TPU", "CUDA")) for name in devices())


def fixed_shapes() -> bool:
    """Whether a batch of another length costs a compilation."""
    return True


def free_memory() -> int | None:
    """Bytes that programs may still take on the device; None on a CPU, which reports none."""
    stats = jax.devices()[0].memory_stats()
    return stats["bytes_limit"] - stats["bytes_in_use"] if stats else None


def memory_of(run: Callable, arguments: tuple) -> int:
    """Bytes that a call of a compiled program takes besides its arguments."""
    memory = run.lower(*arguments).compile().memory_analysis()  # type: ignore[attr-defined]
    return memory.temp_size_in_bytes + memory.output_size_in_bytes


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
        any_length: Not used: XLA compiles for one length.
        rows_from: Not used.
        exact: Whether float32 keeps all its bits in convolutions and products, on a GPU too.
    """
    if not exact:
        return jax.jit(traced(function, whole=False))

    @functools.wraps(function)  # whose name the stored program has
    def exactly(*arguments: object) -> object:
        with jax.default_matmul_precision("highest"):
            return function(*arguments)

    return jax.jit(traced(exactly, whole=False))


def loops_and_gradients(function: Callable, x: Array) -> dict[str, int]:
    """How many loops the program of `function(x)` holds.

    Gradients cannot be told from other operations here; they are counted as 0.
    """

    def loops(jaxpr: Tensor) -> int:
        parts = [
            p
            for e in jaxpr.eqns
            for v in e.params.values()
            for p in (v if isinstance(v, tuple) else [v])
        ]
        inner = [getattr(part, "jaxpr", part) for part in parts]
        here = sum(e.primitive.name in ("while", "scan") for e in jaxpr.eqns)
        return here + sum(loops(part) for part in inner if hasattr(part, "eqns"))

    return {"loops": loops(jax.make_jaxpr(function)(x).jaxpr), "gradient_operations": 0}


def take(x: Tensor, index: Tensor) -> Tensor:
    """Entries of the first axis of `x` at an index, whose integers must not be negative."""
    return jnp.take(jnp.asarray(x), index, axis=0, mode="clip")


def to_device(x: Array) -> Tensor:
    """An array as a tensor on the device, of the same dtype."""
    return jnp.asarray(x)


def value_and_gradient(
    function: Callable[..., Tensor], at: Tensor | list[Tensor]
) -> tuple[Tensor, Tensor]:
    """`(function(at), its gradient there)` for a scalar `function` of a tensor or list of tensors.

    The gradient is zero where the value does not depend on a tensor.
    """
    return jax.value_and_grad(function)(at)


def value_aux_and_gradient(
    function: Callable[..., tuple], at: Tensor | list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """As `value_and_gradient` for a `function` that returns `(scalar, auxiliary)`."""
    (value, aux), grad = jax.value_and_grad(function, has_aux=True)(at)
    return value, aux, grad


def jvp(function: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor) -> Tensor:
    """The derivative of `function` at a tensor along a direction of the same shape (forward mode).

    It is the product J v of the Jacobian and the direction, shaped as the function's value.
    """
    return jax.jvp(function, (at,), (direction,))[1]


def stop_gradient(x: Tensor) -> Tensor:
    """`x`, constant for every gradient."""
    return jax.lax.stop_gradient(x)


def has_faster_convolution() -> bool:
    """Whether gradients at images are faster with `convolution` than with Keras' convolution."""
    return False


def convolution(x: Tensor, kernel: Tensor, strides: tuple[int, int]) -> Tensor:
    """A convolution with "same" padding.

    Args:
        x: `(n, h, w, c)`.
        kernel: `(kh, kw, c, filters)`.
        strides: Of rows and columns.
    """
    return keras.ops.conv(x, kernel, strides, "same")


def bytes_over_255(x: Tensor) -> Tensor:
    """A tensor of uint8 over 255 as float32, correctly rounded."""
    return take(QUOTIENTS, x.astype("int32"))


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """`x + bias`, `(..., channels)` and `(channels,)`."""
    return x + bias


def largest(x: Tensor, k: int) -> Tensor:
    """The `k` largest values of each row, `(n, k)` from `(n, m)`, in falling order."""
    return largest_by_masks(x, k)


def fori_loop(steps: Tensor | int, body: Callable[[Tensor, State], State], state: State) -> State:
    """`state` after `state = body(i, state)` for i = 0 .. steps - 1."""
    return jax.lax.fori_loop(0, steps, body, state)


def scan(
    body: Callable[[State, Tensor], tuple[State, Tensor]], state: State, xs: Tensor
) -> tuple[State, Tensor]:
    """`(state, outputs)` after `state, output = body(state, x)` for each x of `xs`."""
    return jax.lax.scan(body, state, xs)


def select(which: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """`new` where `which` is true and `old` elsewhere, both of one shape `(n, ...)`.

    Args:
        which: Booleans of that shape, or `(n,)`.
        new: Values of any type.
        old: As `new`.
    """
    return jnp.where(jnp.reshape(which, which.shape + (1,) * (new.ndim - which.ndim)), new, old)


def vmap(function: Callable) -> Callable:
    """`function` of arguments that all have a further first axis; computed side by side."""
    return jax.vmap(function)


def map_(function: Callable) -> Callable:
    """As `vmap`, computed one after the other by one program."""
    return lambda *arguments: jax.lax.map(lambda one: function(*one), arguments)


def stack(values: list[Tensor]) -> Tensor:
    """Tensors, or random keys, beside each other on a new first axis."""
    return jnp.stack(values)


def key(seed: int) -> Tensor:
    """A random key from an integer seed of up to 62 bits."""
    return jax.random.fold_in(jax.random.key(seed & 0x7FFFFFFF), seed >> 31 & 0x7FFFFFFF)


def fold_in(random_key: Tensor, data: Tensor | int) -> Tensor:
    """Another key, from a key and an integer (tensor)."""
    return jax.random.fold_in(random_key, data)


def uniform(
    random_key: Tensor, shape: tuple | Tensor, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Uniform float32 draws in [low, high)."""
    return jax.random.uniform(random_key, shape, jnp.float32, low, high)


def normal(random_key: Tensor, shape: tuple | Tensor) -> Tensor:
    """Standard normal float32 draws."""
    return jax.random.normal(random_key, shape)


def permutation(random_key: Tensor, n: int) -> Tensor:
    """A random order of 0 .. n - 1."""
    return jax.random.permutation(random_key, n)
