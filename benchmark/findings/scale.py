"""The paragraphs on what was run, at which scale, and by which commands."""

from collections.abc import Sequence
from pathlib import Path

from robust_interpretability.benchmark.config.sections import Config
from robust_interpretability.benchmark.findings.runs import FinishedRun, Sources
from robust_interpretability.benchmark.findings.sentences import listed
from robust_interpretability.benchmark.paper.runs import PRESETS
from robust_interpretability.benchmark.paper.tables import markdown
from robust_interpretability.benchmark.results.caveats import FITTED
from robust_interpretability.benchmark.units import configuration
from robust_interpretability.benchmark.units.retrain import Retraining
from robust_interpretability.models.errors import InputError

PAPER = "paper"
NAN = float("nan")


def _of_standard(run: FinishedRun, score: str) -> float:
    scores = run.table("scores")
    rows = scores[(scores["norm"] == "none") & (scores["score"] == score)]
    return float(rows["value"].iloc[0]) if len(rows) else NAN


def _images(run: FinishedRun) -> tuple[str, str]:
    """Training and test images, where the tables say."""
    dataset = run.table("dataset")
    known = {} if dataset.empty else dataset.set_index("measure")["value"].to_dict()
    limits = run.config.data
    train = known.get("train_images", limits.train_limit or "all")
    return str(train), str(known.get("test_images", limits.test_limit or "all"))


def _row(run: FinishedRun) -> list[str]:
    config, retraining = run.config, run.config.section(Retraining)
    train, test = _images(run)
    again = f"{retraining.epochs} on {retraining.train_limit or train}" if retraining else "-"
    until = "up to " if config.training.until else ""
    return [
        run.label,
        config.scale,
        config.model.name,
        str(run.table("scores")["network"].nunique()),
        str(config.seeds),
        f"{train}, {test}",
        f"{until}{config.training.epochs}; {again}",
        f"{_of_standard(run, 'train_accuracy'):.3f}, {_of_standard(run, 'test_accuracy'):.3f}",
    ]


def _fits(runs: Sequence[FinishedRun]) -> str:
    """Whether the standard networks fit their training images."""
    short = [r.label for r in runs if not _of_standard(r, "train_accuracy") >= FITTED]
    least = f"{100 * FITTED:.0f} percent of its training images"
    if not short:
        return f"Every standard network classifies {least} or more correctly."
    return (
        f"On {listed(short)} the standard network classifies less than {least} correctly: it has"
        " not fitted, and ROAR and KAR may change with longer training."
    )


def scale(sources: Sources) -> str:
    """What was run, and what was not."""
    runs = sources.runs
    headers = [
        "run",
        "scale",
        "model",
        "networks",
        "seeds",
        "images: train, test",
        "epochs; of a retraining",
        "standard network: train, test accuracy",
    ]
    parts = [markdown([_row(run) for run in runs], headers) + "\n"]
    small = [run.label for run in runs if run.config.scale != PAPER]
    if small:
        which = "Every run" if len(small) == len(runs) else f"What was run on {listed(small)}"
        parts.append(
            f"{which} is reduced against the paper's: smaller networks, fewer of them, fewer"
            " epochs. What is said holds at this scale."
        )
    parts.append(_fits(runs))
    single = [run.label for run in runs if run.config.seeds == 1]
    if single:
        parts.append(
            f"With one seed ({listed(single)}) a verdict is about these very networks, not about"
            " others trained alike."
        )
    full = {run.config.data.name for run in runs if run.config.scale == PAPER}
    missing = [
        preset
        for data, preset in PRESETS.items()
        if data not in full and configuration.resolve(preset, None, []).section(Retraining)
    ]
    if missing:
        parts.append(f"Not among these runs: {listed([f'`{preset}`' for preset in missing])}.")
    return f"{parts[0]}\n{' '.join(parts[1:])}"


def _is_preset(config: Config) -> bool:
    try:
        return configuration.resolve(config.name, None, []) == config
    except InputError:
        return False


def _shown(path: Path) -> str:
    """A path as it may stand in a document: as it was given, without this machine's folders."""
    return path.name if path.is_absolute() else path.as_posix()


def commands(sources: Sources, folders: Sequence[Path], target: Path) -> str:
    """The commands that make the runs and this report."""
    lines = []
    for run in sources.runs:
        if _is_preset(run.config):
            lines.append(f"run --preset {run.config.name}")
        else:
            lines.append(f"run --config {_shown(run.folder)}/config.toml")
    named = " ".join(_shown(folder) for folder in folders)
    lines.append(f"findings {named} --report {_shown(target)}")
    block = "\n".join(f"python run_benchmark.py {line}" for line in lines)
    where = {str(run.environment.get("commit", ""))[:7] for run in sources.runs} - {""}
    made = f"\n\nThe runs were made at commit {listed(sorted(where))}." if where else ""
    return f"```\n{block}\n```{made}"
