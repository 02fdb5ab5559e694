"""The figure of controls: scores of networks' own maps beside what else could give them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pellucid.attacks import NORMS
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results.figures import style
from pellucid.benchmark.units.orders import NO_CONTROL, OWN
from pellucid.benchmark.units.outcomes import MASKS, MEAN, Score
from pellucid.benchmark.units.retrain import Retraining
from pellucid.metrics import ATTRIBUTIONS, CONTROLS, FILLS, MODES

Line = tuple[str, pd.DataFrame, style.Look]
"""Name, rows of the table of scores, colour and marker."""

LOOKS: dict[str, style.Look] = {
    OWN: (style.BLACK, "o"),
    "mean": (style.ORANGE, "v"),
    "blurred": (style.SKY, "^"),
    "blur_matched": (style.GREEN, "D"),
    "shuffled": (style.BLUE, "s"),
    "shuffled_within": (style.VERMILION, "P"),
    MASKS: (style.PURPLE, "X"),
}
DASHES = {"gaussian": "-.", "sobel": ":", "untrained": "--"}
"""Of the controls that ask no trained network: level lines."""


def _lines(scores: pd.DataFrame, mode: str, attribution: str, fill: str) -> Iterator[Line]:
    """Own maps first, then the controls that are made of them."""
    for control, look in LOOKS.items():
        rows = scores[scores["score"] == str(Score(mode, attribution, control, fill))]
        if len(rows):
            title = "own map" if control == OWN else CONTROLS[control].title
            yield title, rows.sort_values("strength"), look


def _levels(axis: Axes, controls: pd.DataFrame, mode: str, attribution: str, fill: str) -> None:
    """The scores of orders that ask no trained network, as level lines."""
    for name, dash in DASHES.items():
        of_map = CONTROLS[name].of_map
        score = Score(mode, attribution, name, fill) if of_map else Score(mode, name, NO_CONTROL)
        rows = controls[controls["score"] == str(score)] if len(controls) else controls
        if len(rows) and fill == MEAN:
            axis.axhline(
                rows["value"].iloc[0], ls=dash, color=style.GREY, lw=1, label=CONTROLS[name].title
            )


def drawn(config: Config) -> list[tuple[str, str]]:
    """Modes and fills that have such a figure."""
    section = config.section(Retraining)
    if section is None or not section.controls:
        return []
    return [(mode, fill) for mode in section.modes for fill in FILLS if fill in section.fills]


def controls(
    folder: Path,
    config: Config,
    tables: dict[str, pd.DataFrame],
    mode: str,
    fill: str,
    loss: str,
) -> list[Path]:
    """Scores over attack strength, own maps and controls: one panel per norm and attribution.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        tables: Its tables: `scores` and `controls`.
        mode: `"roar"` or `"kar"`.
        fill: A key of `FILLS`.
        loss: The attack loss of the networks' training.

    Returns:
        The files written.
    """
    section, scores = config.required(Retraining), tables["scores"]
    attributions = [name for name in section.controlled if name in section.attributions]
    norms = [n for n in NORMS if (scores["norm"] == n).any()]
    caption = style.retraining_caption(config, scores["network"].nunique())
    caption += f"; {FILLS[fill]}; bars: 95 % intervals"
    size = (len(attributions), len(norms), 3.8 * len(norms) + 1.2, 3.4 * len(attributions) + 1)
    with style.figure(*size, caption=caption, sharex=True, sharey=True) as (made, axes):
        for (i, j), axis in np.ndenumerate(axes):
            attribution, norm = attributions[i], norms[j]
            trained = (scores["norm"] == norm) & (scores["loss"] == loss)
            members = scores[(scores["norm"] == "none") | trained]
            axis.axhline(0, color=style.GREY, lw=0.8, label="random order")
            _levels(axis, tables.get("controls", pd.DataFrame()), mode, attribution, fill)
            for number, (name, rows, (colour, marker)) in enumerate(
                _lines(members, mode, attribution, fill)
            ):
                values = rows["value"].to_numpy(float)
                errors = np.abs(np.stack([values - rows["low"], rows["high"] - values]))
                axis.errorbar(
                    rows["strength"] + 0.008 * number,  # side by side, not one on another
                    values,
                    errors,
                    fmt=f"{marker}-",
                    color=colour,
                    ms=4,
                    lw=1.8 if number == 0 else 0.9,
                    elinewidth=0.7,
                    label=name,
                )
            letter = ATTRIBUTIONS[attribution].letter
            axis.set_title(f"{style.NORM_NAMES[norm]}, {letter}", loc="left")
        for axis in axes[-1]:
            axis.set_xlabel("attack strength (radius / largest radius)")
        for axis in axes[:, 0]:
            axis.set_ylabel(f"{MODES[mode].title} score")
        handles, names = axes[0, 0].get_legend_handles_labels()
        made.legend(handles, names, loc="outside upper center", ncols=2 * len(norms))
        return style.save(made, folder, f"controls_{mode}_{fill}_{loss}")
