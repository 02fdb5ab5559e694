"""Finished runs, as the claims need them: which there are for a data set, how much of the paper's grid they hold."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robust_interpretability.benchmark.config import configuration
from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.benchmark.results.report import read_results
from robust_interpretability.benchmark.units.plan import Network, networks
from robust_interpretability.models.errors import InputError

PRESETS = {
    "mnist": "paper-mnist",
    "fashion_mnist": "paper-fashion-mnist",
    "cifar10": "paper-cifar10",
    "gaussians": "paper-toy",
}
"""The preset that holds the paper's experiments on each data set."""


def papers(data: str, measure: str) -> set[Network]:
    """The networks of the paper's experiment with a measure on a data set."""
    preset = configuration.resolve(PRESETS[data], None, [])
    if getattr(preset, measure) is None:
        return set()
    return {network for network, measured in networks(preset).items() if measure in measured}


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, configuration and tables."""

    folder: Path
    config: Config
    tables: dict[str, pd.DataFrame]

    def table(self, name: str) -> pd.DataFrame:
        """A table; empty where the run has none of its kind."""
        return self.tables.get(name, pd.DataFrame())

    def measures(self, measure: str) -> int:
        """How many networks have `retraining`, `manifold` or `tilt` measured."""
        rows = self.table(measure)
        return rows.loc[rows["seed"] >= 0, "network"].nunique() if len(rows) else 0

    def of_the_paper(self, measure: str) -> tuple[int, int]:
        """How many of the paper's networks it holds for a measure, trained exactly as there, and how many there are.

        None where the data, the model, the training or the measure's own settings differ from the
        preset's.
        """
        if self.config.data.name not in PRESETS:
            return 0, 0
        preset = configuration.resolve(PRESETS[self.config.data.name], None, [])
        theirs = papers(self.config.data.name, measure)
        sections = ("data", "model", "training", "adversary", measure)
        same = all(getattr(self.config, s) == getattr(preset, s) for s in sections)
        if measure == "manifold":
            same = same and self.config.vae_gan == preset.vae_gan
        mine = {
            network for network, measured in networks(self.config).items() if measure in measured
        }
        return (len(mine & theirs) if same else 0), len(theirs)

    def scale(self, measure: str) -> str:
        """In words, for one measure: as `reduced, 17 networks` or `paper, 9 of 81 networks`."""
        own, all_of_them = self.of_the_paper(measure)
        if own:
            return f"paper, {own} of {all_of_them} networks"
        name = "altered from the paper's" if self.config.scale == "paper" else self.config.scale
        return f"{name}, {self.measures(measure)} networks"


def read(folders: list[Path]) -> list[Run]:
    """The runs in these folders.

    Raises:
        InputError: A folder is named twice or holds no finished run; two runs of one data set have
            the same scale.
    """
    found: list[Run] = []
    for folder in folders:
        tables, _ = read_results(folder)
        run = Run(folder, configuration.load(folder / "config.toml"), tables)
        for other in found:
            if (other.config.data.name, other.config.scale) == (
                run.config.data.name,
                run.config.scale,
            ):
                raise InputError(
                    f"{other.folder} and {folder} hold runs of the same data set"
                    f" ({run.config.data.name}) at the same scale ({run.config.scale}). Give one of"
                    " them."
                )
        found.append(run)
    return found


def best(runs: list[Run], data: str, measure: str) -> Run | None:
    """The run to judge a data set's claims by: the one with most of the paper's networks, then most networks."""
    with_it = [run for run in runs if run.config.data.name == data and run.measures(measure)]
    return max(
        with_it, key=lambda run: (run.of_the_paper(measure)[0], run.measures(measure)), default=None
    )
