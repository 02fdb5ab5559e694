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
from pellucid.metrics import CONTROLS, FILLS, MODES

Line = tuple[str, pd.DataFrame, style.Look]
"""Name, rows of the table of scores, colour and marker."""

LOOKS: dict[str, style.Look] = {
    "mean": (style.OLIVE, "v"),
    "blurred": (style.TEAL, "^"),
    "blur_matched": (style.FOREST, "D"),
    "shuffled": (style.MAGENTA, "s"),
    "shuffled_within": (style.WINE, "P"),
    MASKS: (style.INDIGO, "X"),
}
"""Of the controls that are made of networks' own maps."""
DASHES = {"gaussian": "-.", "sobel": ":", "untrained": "--"}
"""Of the controls that ask no trained network: level lines."""


def looks(norm: str) -> dict[str, style.Look]:
    """Colours and markers by control: own maps, in the colour of the norm, and `LOOKS`."""
    return {OWN: (style.NORM_COLOURS[norm], "o")} | LOOKS


def own_map(norm: str) -> str:
    """What a legend calls the maps of a norm's networks."""
    return f"own map, {style.NORM_NAMES[norm]}"


def _lines(
    scores: pd.DataFrame, norm: str, mode: str, attribution: str, fill: str
) -> Iterator[Line]:
    """Own maps first, then the controls that are made of them."""
    for control, look in looks(norm).items():
        rows = scores[scores["score"] == str(Score(mode, attribution, control, fill))]
        if len(rows):
            title = own_map(norm) if control == OWN else CONTROLS[control].title
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
                _lines(members, norm, mode, attribution, fill)
            ):
                values = rows["value"].to_numpy(float)
                errors = np.abs(np.stack([values - rows["low"], rows["high"] - values]))
                axis.errorbar(
                    rows["strength"] + style.dodged(number, 1 + len(LOOKS), 1),
                    values,
                    errors,
                    fmt=f"{marker}-",
                    color=colour,
                    ms=4,
                    lw=1.8 if number == 0 else 0.9,
                    elinewidth=0.7,
                    label=name,
                )
            axis.set_title(style.series_name(norm, attribution), loc="left")
        for axis in axes[-1]:
            axis.set_xlabel("attack strength (radius / largest radius)")
        for axis in axes[:, 0]:
            axis.set_ylabel(f"{MODES[mode].title} score")
        style.legend(made, axes, 4, title=f"{MODES[mode].title}{style.trained(loss)}")
        return style.save(made, folder, f"controls_{mode}_{fill}_{loss}")
