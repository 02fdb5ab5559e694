"""The figures of images: loss gradients, adversarial examples, projections on the manifold."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results.entries import CLIP
from pellucid.benchmark.results.figures import style
from pellucid.benchmark.units.manifold import Manifold
from pellucid.benchmark.units.vae_gan import VaeGanSection
from pellucid.models.types import Array

Pictures = dict[str, dict[str, Array]]
"""The arrays of each network's `pictures` unit, by the network's label."""

MOST_COLUMNS = 14
"""Columns of adversarial examples, beyond which they continue in further rows."""


def _image(axis: Axes, image: Array) -> None:
    if image.shape[-1] == 3:
        axis.imshow(np.clip(image, 0, 1), interpolation="nearest")
    else:
        axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _map(axis: Axes, values: Array) -> None:
    low, high = np.percentile(values, CLIP)
    largest = max(abs(low), abs(high)) or 1.0
    axis.imshow(
        np.clip(values, low, high), cmap="bwr", vmin=-largest, vmax=largest, interpolation="nearest"
    )


def _without_frames(axes: Array) -> None:
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(False)


def strongest(labels: list[str], norm: str) -> str | None:
    """The label of the network with the largest radius of a norm; cross-entropy goes first.

    Args:
        labels: As `l2-0.8-xent`.
        norm: `"l2"` or `"linf"`.
    """
    of_norm = [label for label in labels if label.startswith(f"{norm}-")]
    return max(of_norm, key=lambda v: (float(v.split("-")[1]), v.endswith("xent")), default=None)


def title(label: str) -> str:
    """A network's label as a figure's title."""
    if label == "standard":
        return "standard"
    norm, epsilon, loss = label.split("-")
    return style.network_name(norm, float(epsilon), loss)


def loss_gradients(folder: Path, config: Config, pictures: Pictures) -> list[Path]:
    """Gradient maps, one image per column; rows: original, standard, strongest Linf and L2."""
    labels = list(pictures)
    strong = [strongest(labels, norm) for norm in ("linf", "l2")]
    rows = ["standard", *(label for label in strong if label)]
    images = pictures["standard"]["images"]
    caption = (
        style.caption(config, len(labels))
        + ", seed 0 shown: gradient of the predicted label's log-likelihood, clipped at its"
        f" {CLIP[0]:g} and {CLIP[1]:g} percentiles"
    )
    columns = len(images)
    size = (len(rows) + 1, columns, 1.5 * columns + 0.5, 1.5 * (len(rows) + 1))
    with style.figure(*size, caption=caption) as (made, axes):
        _without_frames(axes)
        for j, image in enumerate(images):
            _image(axes[0, j], image)
            for i, label in enumerate(rows, 1):
                _map(axes[i, j], pictures[label]["maps"][j])
        for axis, name in zip(axes[:, 0], ["original", *map(title, rows)], strict=True):
            axis.set_ylabel(name, fontsize=8)
        return style.save(made, folder, "loss_gradients")


def _adversarial_caption(config: Config, networks: int) -> str:
    section = config.section(Manifold)
    radius, loss = (section.epsilon, section.losses[0]) if section else (0, "")
    return (
        style.caption(config, networks)
        + f", seed 0 shown: L2 radius {radius:g} (pixel units), loss {loss}; "
        "titles: class predicted by that network"
    )


def adversarial_examples(folder: Path, config: Config, pictures: Pictures) -> list[Path]:
    """The original images and every network's adversarial examples, with the predicted classes."""
    columns = ["original", *pictures]
    images = pictures["standard"]["images"]
    classes = pictures["standard"]["labels"]
    lines = -(-len(columns) // MOST_COLUMNS)
    per_line = -(-len(columns) // lines)
    rows = len(images) * lines
    caption = _adversarial_caption(config, len(pictures))
    size = (rows, per_line, 0.95 * per_line + 0.3, 1.2 * rows + 0.4)
    with style.figure(*size, caption=caption) as (made, axes):
        _without_frames(axes)
        for number, label in enumerate(columns):
            line, j = divmod(number, per_line)
            for i, image in enumerate(images):
                axis = axes[line * len(images) + i, j]
                if label == "original":
                    _image(axis, image)
                    head, below = "original", f"class {classes[i]}"
                else:
                    _image(axis, pictures[label]["adversarial"][i])
                    head, below = title(label), f"as {pictures[label]['adversarial_predicted'][i]}"
                axis.set_title(f"{head}\n{below}" if i == 0 else below, fontsize=7)
        return style.save(made, folder, "adversarial_examples")


def projections(folder: Path, config: Config, arrays: dict[str, Array]) -> list[Path]:
    """Test images, their projections by the manifold model, and samples decoded from its prior.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        arrays: `images` and `projections`, and `samples` where there are any.

    Returns:
        The files written.
    """
    names = {"images": "image", "projections": "projection", "samples": "sample"}
    rows = {title: arrays[name] for name, title in names.items() if name in arrays}
    columns = len(arrays["images"])
    section = config.section(VaeGanSection)
    trained = f"{section.name}, width {section.width:g}, {section.epochs} epochs" if section else ""
    caption = (
        f"{config.data.name}, {config.scale} scale: test images, their projections by the manifold"
        f" model, and samples of its prior (not of the images above them); {trained}"
    )
    size = (len(rows), columns, 0.95 * columns + 0.5, 3.5)
    with style.figure(*size, caption=caption) as (made, axes):
        _without_frames(axes)
        for line, (name, images) in zip(axes, rows.items(), strict=True):
            line[0].set_ylabel(name, fontsize=8)
            for axis, image in zip(line, images, strict=True):
                _image(axis, image)
        return style.save(made, folder, "manifold_projections")
