"""The figure of a sweep over a number: accuracy and scores of every network against it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results import names
from pellucid.benchmark.results.figures import style
from pellucid.benchmark.results.tables import SWEPT
from pellucid.benchmark.units.outcomes import Score
from pellucid.benchmark.units.retrain import Retraining
from pellucid.metrics import SHUFFLES

ACCURACIES = {"train_accuracy": "train accuracy", "test_accuracy": "test accuracy"}


def _panels(config: Config) -> dict[str, str]:
    """What the panels show: names of scores, and their titles."""
    section = config.section(Retraining)
    if section is None:
        return ACCURACIES
    attribution, within = section.attributions[0], SHUFFLES[-1]
    scores = [
        *(Score(mode, attribution) for mode in section.modes),
        *(Score(f"specific_{mode}", attribution, within) for mode in section.modes),
    ]
    return ACCURACIES | {str(score): names.score(str(score)) for score in scores}


def sweep(
    folder: Path, config: Config, scores: pd.DataFrame, key: str, others: Sequence[str] = ()
) -> list[Path]:
    """Accuracy, ROAR, KAR and their specific forms over the values of a key, a line per network.

    Where other keys were swept too, their first values are drawn.

    Args:
        folder: Where the figure goes.
        config: The configuration of one of the runs.
        scores: Their tables of scores, with a column for the key.
        key: The column of what was swept, as `swept.training.epochs`.
        others: The columns of other swept keys.

    Returns:
        The files written; none where the values are not numbers.
    """
    if not pd.api.types.is_numeric_dtype(scores[key]):
        return []
    fixed = {other: scores[other].iloc[0] for other in others}
    for other, value in fixed.items():
        scores = scores[scores[other] == value]
    places = {value: place for place, value in enumerate(sorted(scores[key].unique()))}
    panels = {k: title for k, title in _panels(config).items() if (scores["score"] == k).any()}
    networks = scores.drop_duplicates("network")
    looks = {"standard": (style.BLACK, style.NORM_MARKERS["none"])}
    for norm in style.NORMS:
        labels = networks.loc[networks["norm"] == norm, "network"]
        colours = style.gradient_colours(len(labels), norm)
        looks |= {
            label: (colour, style.NORM_MARKERS[norm])
            for label, colour in zip(labels, colours, strict=True)
        }
    rows, columns = -(-len(panels) // 2), min(len(panels), 2)
    caption = style.retraining_caption(config, len(networks)) + "; bars: 95 % intervals"
    caption += "".join(
        f"; {names.setting(_name(other))}: {value}" for other, value in fixed.items()
    )
    with style.figure(rows, columns, 7.2, 2.6 * rows + 0.8, caption=caption) as (made, axes):
        for axis, (score, title) in zip(axes.flat, panels.items(), strict=False):
            for number, network in enumerate(networks.itertuples()):
                part = scores[(scores["score"] == score) & (scores["network"] == network.network)]
                part = part.sort_values(key)
                colour, marker = looks[network.network]
                errors = np.stack([part["value"] - part["low"], part["high"] - part["value"]])
                axis.errorbar(
                    part[key].map(places)
                    + style.dodged(number, len(networks), max(len(places), 3)),
                    part["value"],
                    np.abs(errors),
                    fmt=f"{marker}-",
                    color=colour,
                    ms=4,
                    lw=1.2,
                    elinewidth=0.7,
                    label=style.network_name(network.norm, network.epsilon),
                )
            axis.set_xticks(list(places.values()), [f"{value:g}" for value in places])
            axis.set_title(title, loc="left")
            axis.set_xlabel(names.setting(_name(key)))
        style.hide(axes, len(panels))
        made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return style.save(made, folder, f"sweep_{_name(key)}")


def _name(column: str) -> str:
    return column.removeprefix(SWEPT)
