"""The figures that show images: loss gradients, adversarial examples, projections on the manifold."""

from pathlib import Path
from typing import Any

import numpy as np

from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.benchmark.results.figures import style

Pictures = dict[str, dict[str, np.ndarray]]
"""For each network's label, the arrays of its `pictures` unit; `"manifold model"` has images and projections."""

CLIP = (0.5, 99.5)
"""Percentiles at which a gradient map is clipped, as in the paper."""

LONGEST = 14
"""Columns of adversarial examples beside each other before a new line is begun."""


def _image(axis: Any, image: np.ndarray) -> None:
    if image.shape[-1] == 3:
        axis.imshow(np.clip(image, 0, 1), interpolation="nearest")
    else:
        axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _map(axis: Any, values: np.ndarray) -> None:
    low, high = np.percentile(values, CLIP)
    largest = max(abs(low), abs(high)) or 1.0
    axis.imshow(
        np.clip(values, low, high), cmap="bwr", vmin=-largest, vmax=largest, interpolation="nearest"
    )


def _bare(axes: np.ndarray) -> None:
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(False)


def strongest(labels: list[str], norm: str) -> str | None:
    """The network of a norm with the largest radius, from labels as `l2-0.8-xent`; cross-entropy goes first."""
    mine = [label for label in labels if label.startswith(f"{norm}-")]
    return max(mine, key=lambda v: (float(v.split("-")[1]), v.endswith("xent")), default=None)


def title(label: str) -> str:
    """A network's label as a figure's title."""
    if label == "standard":
        return "standard"
    norm, epsilon, loss = label.split("-")
    return style.network_name(norm, float(epsilon), loss)


def loss_gradients(folder: Path, config: Config, pictures: Pictures) -> list[Path]:
    """Three images in columns; rows: original, standard, strongest Linf, strongest L2."""
    labels = list(pictures)
    rows = ["standard", *(s for n in ("linf", "l2") if (s := strongest(labels, n)))]
    images = pictures["standard"]["images"]
    caption = (
        style.caption(config, len(labels))
        + ", seed 0 shown: gradient of the predicted label's log-likelihood, clipped at its"
        f" {CLIP[0]:g} and {CLIP[1]:g} percentiles"
    )
    with style.figure(
        len(rows) + 1, len(images), 1.5 * len(images) + 0.5, 1.5 * (len(rows) + 1), caption=caption
    ) as (
        made,
        axes,
    ):
        _bare(axes)
        for j, image in enumerate(images):
            _image(axes[0, j], image)
            for i, label in enumerate(rows, 1):
                _map(axes[i, j], pictures[label]["maps"][j])
        for axis, name in zip(axes[:, 0], ["original", *map(title, rows)], strict=True):
            axis.set_ylabel(name, fontsize=8)
        return style.save(made, folder, "loss_gradients")


def adversarial_examples(folder: Path, config: Config, pictures: Pictures) -> list[Path]:
    """The original images and their adversarial examples for every network, with the class each network predicts."""
    labels = list(pictures)
    columns = ["original", *labels]
    images = pictures["standard"]["images"]
    radius = config.manifold.epsilon if config.manifold else 0
    loss = config.manifold.losses[0] if config.manifold else ""
    caption = (
        style.caption(config, len(labels))
        + f", seed 0 shown: L2 radius {radius:g} (pixel units), loss {loss}; "
        "titles: class predicted by that network"
    )
    lines = -(-len(columns) // LONGEST)
    per_line = -(-len(columns) // lines)
    size = (len(images) * lines, per_line)
    with style.figure(*size, 0.95 * size[1] + 0.3, 1.2 * size[0] + 0.4, caption=caption) as (
        made,
        axes,
    ):
        _bare(axes)
        for number, label in enumerate(columns):
            line, j = divmod(number, per_line)
            for i, image in enumerate(images):
                axis = axes[line * len(images) + i, j]
                if label == "original":
                    _image(axis, image)
                    head, below = "original", f"class {pictures['standard']['labels'][i]}"
                else:
                    _image(axis, pictures[label]["adversarial"][i])
                    head, below = title(label), f"as {pictures[label]['adversarial_predicted'][i]}"
                axis.set_title(f"{head}\n{below}" if i == 0 else below, fontsize=7)
        return style.save(made, folder, "adversarial_examples")


def projections(folder: Path, config: Config, arrays: dict[str, np.ndarray]) -> list[Path]:
    """Test images, their projections on the manifold model, and what it decodes from draws of the prior."""
    names = {"images": "image", "projections": "projection", "samples": "sample"}
    rows = {title: arrays[name] for name, title in names.items() if name in arrays}
    columns = len(arrays["images"])
    section = config.vae_gan
    trained = f"{section.name}, width {section.width:g}, {section.epochs} epochs" if section else ""
    caption = (
        f"{config.data.name}, {config.scale} scale: test images, their projections by the manifold"
        f" model, and samples of its prior (not of the images above them); {trained}"
    )
    with style.figure(len(rows), columns, 0.95 * columns + 0.5, 3.5, caption=caption) as (
        made,
        axes,
    ):
        _bare(axes)
        for line, (name, images) in zip(axes, rows.items(), strict=True):
            line[0].set_ylabel(name, fontsize=8)
            for axis, image in zip(line, images, strict=True):
                _image(axis, image)
        return style.save(made, folder, "manifold_projections")
