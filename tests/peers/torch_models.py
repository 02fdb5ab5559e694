"""The protocol's classifiers in PyTorch, with the same weights, and back again."""

import os
import shutil
from collections import OrderedDict

import keras
import numpy as np
import torch
from torch import nn


class Rescaling(nn.Module):
    """x * scale + offset."""

    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale, self.offset = float(scale), float(offset)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.offset


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one axis: Keras puts the odd one behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _tensor(weights: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(weights, np.float32, order="C"))


def _conv(layer: keras.layers.Conv2D) -> dict[str, nn.Module]:
    """A convolution; where its padding is not symmetric, a padding layer before it."""
    if (
        layer.padding != "same"
        or layer.dilation_rate != (1, 1)
        or layer.groups != 1
        or not layer.use_bias
    ):
        raise ValueError(f"Layer '{layer.name}' must be a plain 'same' convolution with a bias.")
    (top, bottom), (left, right) = map(
        _same_padding, layer.input.shape[1:3], layer.kernel_size, layer.strides
    )
    symmetric = top == bottom and left == right
    conv = nn.Conv2d(
        layer.input.shape[-1],
        layer.filters,
        layer.kernel_size,
        layer.strides,
        (top, left) if symmetric else 0,
    )
    if symmetric:
        return {layer.name: conv}
    return {f"{layer.name}_padding": nn.ZeroPad2d((left, right, top, bottom)), layer.name: conv}


def _pool(layer: keras.layers.MaxPooling2D) -> dict[str, nn.Module]:
    if layer.padding != "valid":
        raise ValueError(f"Layer '{layer.name}' must pool without padding.")
    return {layer.name: nn.MaxPool2d(layer.pool_size, layer.strides)}


def _ported(layer: keras.Layer) -> dict[str, nn.Module]:
    """A layer's modules under their names, without its activation."""
    match layer:
        case keras.layers.Rescaling():
            return {layer.name: Rescaling(layer.scale, layer.offset)}
        case keras.layers.Conv2D():
            return _conv(layer)
        case keras.layers.MaxPooling2D():
            return _pool(layer)
        case keras.layers.Flatten():
            return {layer.name: nn.Flatten()}
        case keras.layers.Dense(use_bias=True):
            return {layer.name: nn.Linear(layer.input.shape[-1], layer.units)}
    raise ValueError(f"Layer '{layer.name}' ({type(layer).__name__}) has no port to PyTorch.")


def _activation(layer: keras.Layer) -> dict[str, nn.Module]:
    name = keras.activations.serialize(getattr(layer, "activation", keras.activations.linear))
    if name not in ("relu", "linear"):
        raise ValueError(
            f"Layer '{layer.name}' must have a relu activation or none. Received '{name}'."
        )
    return {f"{layer.name}_relu": nn.ReLU()} if name == "relu" else {}


def _input_order(model: keras.Model) -> dict[str, np.ndarray]:
    """For a dense layer after flattening: the place in (h, w, c) of each value of (c, h, w)."""
    orders, order = {}, None
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 4:
            shape = layer.input.shape[1:]
            order = np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()
        elif isinstance(layer, keras.layers.Dense) and order is not None:
            orders[layer.name], order = order, None
    return orders


def to_torch(model: keras.Model) -> nn.Module:
    """A Sequential classifier as a PyTorch module with the same weights, in evaluation mode.

    Args:
        model: Layers Rescaling, Conv2D ("same"), MaxPooling2D, Flatten and Dense, activations relu
            or none.

    Returns:
        The module, from pixels `(n, c, h, w)` in [0, 1] to the same logits.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    orders = _input_order(model)
    for layer in model.layers:
        modules.update(_ported(layer) | _activation(layer))
        if not layer.weights:
            continue
        kernel, bias = layer.get_weights()
        kernel = kernel[orders[layer.name]] if layer.name in orders else kernel
        with torch.no_grad():
            # Keras: (h, w, in, out) and (in, out); PyTorch: (out, in, h, w) and (out, in)
            modules[layer.name].weight.copy_(
                _tensor(kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T)
            )
            modules[layer.name].bias.copy_(_tensor(bias))
    return nn.Sequential(modules).eval()


VARIANTS = ("plain", "channels_last", "compiled", "compiled channels_last")
FASTEST = "channels_last"
"""The fastest variant in PGD-40 of 500 MNIST images on `strided_cnn`, one core.

Processor seconds in Linf and L2: plain 1.16 and 1.38; channels_last 1.10 and 1.22; compiled 1.40
and 1.38; compiled and channels_last 1.30 and 1.37. Neither static shapes with `max_autotune` nor
`torch.set_flush_denormal` changed these by more than the noise.
`taskset -c 0 python -m tests.peers.torch_variants` measures the four."""


def fastest(module: nn.Module, variant: str = FASTEST) -> nn.Module:
    """The module as it is fastest where only gradients at images are asked for.

    Its parameters need no gradients any more. Where there is no C++ compiler, a variant that would
    be compiled is not.

    Args:
        module: What `to_torch` returns.
        variant: One of `VARIANTS`. Images in the order (n, h, w, c) in memory are what
            `channels_last` means.
    """
    if variant not in VARIANTS:
        raise ValueError(f"The variant must be one of {VARIANTS}. Received '{variant}'.")
    module = module.requires_grad_(False)
    if "channels_last" in variant:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if "compiled" in variant and has_compiler():
        return torch.compile(module, dynamic=False)  # type: ignore[return-value]
    return module


def has_compiler() -> bool:
    """Whether there is the C++ compiler that `torch.compile` asks for."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def to_keras(module: nn.Module, model: keras.Model) -> None:
    """Writes the weights of `to_torch(model)`, trained since, into `model`."""
    orders = _input_order(model)
    for layer in model.layers:
        if not layer.weights:
            continue
        ported = module.get_submodule(layer.name)
        weight, bias = ported.weight.detach().numpy(), ported.bias.detach().numpy()
        kernel = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        if layer.name in orders:
            kernel = kernel[np.argsort(orders[layer.name])]
        layer.set_weights([kernel, bias])
