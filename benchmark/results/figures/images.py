"""The figures of images: loss gradients, adversarial examples, projections on the manifold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pellucid.attacks import NORMS
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results import names
from pellucid.benchmark.results.entries import CLIP
from pellucid.benchmark.results.figures import pictures, style
from pellucid.benchmark.units.manifold import Manifold
from pellucid.benchmark.units.vae_gan import VaeGanSection
from pellucid.models.types import Array

Pictures = dict[str, dict[str, Array]]
"""The arrays of each network's `pictures` unit, by the network's label."""

ZERO = "gradient is zero"
PROJECTED = {"image": "images", "projection": "projections"}
"""The arrays of images and their projections, by title."""


def strongest(labels: list[str], norm: str) -> str | None:
    """The label of the network with the largest radius of a norm; cross-entropy goes first.

    Args:
        labels: As `l2-0.8-xent`.
        norm: `"l2"` or `"linf"`.
    """
    of_norm = [label for label in labels if label.startswith(f"{norm}-")]
    return max(of_norm, key=lambda v: (float(v.split("-")[1]), v.endswith("xent")), default=None)


def title(label: str, *, loss: bool) -> str:
    """A network's label as a figure's title.

    Args:
        label: As `l2-0.8-xent`.
        loss: Whether the training loss is named.
    """
    if label == "standard":
        return "standard"
    norm, epsilon, of = label.split("-")
    return f"trained against\n{style.network_name(norm, float(epsilon), of if loss else None)}"


def _shown(found: Pictures) -> dict[str, str]:
    """Titles of the networks that are shown: the standard one and the strongest of each norm."""
    labels = ["standard", *filter(None, (strongest(list(found), norm) for norm in NORMS))]
    several = len({label.split("-")[-1] for label in found if label != "standard"}) > 1
    return {label: title(label, loss=several) for label in labels}


def _rows(columns: int, images: int) -> int:
    """Rows of a grid with a row per image."""
    return min(images, pictures.MOST_PANELS // columns)


def loss_gradients(
    folder: Path, config: Config, found: Pictures, classes: Sequence[str]
) -> list[Path]:
    """Images, and the gradient maps of the standard and the strongest networks beside each.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        found: The arrays of each network's pictures.
        classes: Names of the classes.

    Returns:
        The files written.
    """
    networks = _shown(found)
    images, labels = found["standard"]["images"], found["standard"]["labels"]
    columns = 1 + len(networks)
    rows = _rows(columns, len(images))
    caption = (
        style.caption(config, len(found))
        + ", seed 0 shown: gradient of the log-likelihood of the predicted class, which stands"
        f" below; the colours of each map end at the larger of its {CLIP[0]:g} and {CLIP[1]:g}"
        " percentiles"
    )
    size = (rows, columns, 1.7 * columns + 1.2, 1.95 * rows + 1.0)
    with style.figure(*size, caption=caption) as (made, axes):
        pictures.without_scales(axes)
        for i, line in enumerate(axes):
            pictures.image(line[0], images[i])
            line[0].set_xlabel(classes[labels[i]], fontsize=8)
            for axis, label in zip(line[1:], networks, strict=True):
                values = found[label]["maps"][i]
                largest = float(np.abs(np.percentile(values, CLIP)).max())
                pictures.heat_map(axis, values, signed=True, zero=ZERO, largest=largest)
                axis.set_xlabel(f"as {classes[found[label]['predicted'][i]]}", fontsize=8)
        for axis, head in zip(axes[0], ("image", *networks.values()), strict=True):
            axis.set_title(head)
        bar = "share of the largest value shown"
        pictures.colour_bar(made, axes, signed=True, label=bar)
        return style.save(made, folder, "loss_gradients")


def _adversarial_caption(config: Config, networks: int) -> str:
    section = config.section(Manifold)
    radius, loss = (section.epsilon, section.losses[0]) if section else (0, "")
    return (
        style.caption(config, networks)
        + f", seed 0 shown: attacks on the {names.loss(loss)}, L2 radius {radius:g}"
        " (pixel units); below: the image's class, and the class that the network predicts"
    )


def adversarial_examples(
    folder: Path, config: Config, found: Pictures, classes: Sequence[str]
) -> list[Path]:
    """Images, and the adversarial examples of the standard and the strongest networks.

    Arguments and result as for `loss_gradients`.
    """
    networks = _shown(found)
    images, labels = found["standard"]["images"], found["standard"]["labels"]
    columns = 1 + len(networks)
    rows = _rows(columns, len(images))
    size = (rows, columns, 1.7 * columns + 0.4, 1.95 * rows + 1.0)
    with style.figure(*size, caption=_adversarial_caption(config, len(found))) as (made, axes):
        pictures.without_scales(axes)
        for i, line in enumerate(axes):
            pictures.image(line[0], images[i])
            line[0].set_xlabel(classes[labels[i]], fontsize=8)
            for axis, label in zip(line[1:], networks, strict=True):
                pictures.image(axis, found[label]["adversarial"][i])
                predicted = classes[found[label]["adversarial_predicted"][i]]
                axis.set_xlabel(f"as {predicted}", fontsize=8)
        for axis, head in zip(axes[0], ("image", *networks.values()), strict=True):
            axis.set_title(head)
        return style.save(made, folder, "adversarial_examples")


def projections(folder: Path, config: Config, arrays: dict[str, Array]) -> list[Path]:
    """Test images and their projections by the manifold model; a figure of samples of its prior.

    Args:
        folder: Where the figures go.
        config: The run's configuration.
        arrays: `images` and `projections`, and `samples` where there are any.

    Returns:
        The files written.
    """
    section = config.section(VaeGanSection)
    trained = (
        f"; {section.name}, width {section.width:g}, {section.epochs} epochs" if section else ""
    )
    about = f"{names.data(config.data.name)}, {config.scale} scale"
    columns = min(len(arrays["images"]), pictures.MOST_PANELS // 2)
    caption = f"{about}: test images and their projections by the manifold model{trained}"
    with style.figure(2, columns, 1.6 * columns + 0.5, 3.9, caption=caption) as (made, axes):
        pictures.without_scales(axes)
        for line, (title, name) in zip(axes, PROJECTED.items(), strict=True):
            line[0].set_ylabel(title)
            for axis, image in zip(line, arrays[name], strict=False):
                pictures.image(axis, image)
        drawn = style.save(made, folder, "manifold_projections")
    if "samples" not in arrays:
        return drawn
    samples = arrays["samples"][: pictures.MOST_PANELS]
    rows = -(-len(samples) // 4)
    columns = min(len(samples), 4)
    caption = f"{about}: samples of the manifold model's prior{trained}"
    size = (rows, columns, 1.6 * columns + 0.5, 1.75 * rows + 0.4)
    with style.figure(*size, caption=caption) as (made, axes):
        pictures.without_scales(axes)
        style.hide(axes, len(samples))
        for axis, image in zip(axes.flat, samples, strict=False):
            pictures.image(axis, image)
        return drawn + style.save(made, folder, "manifold_samples")
