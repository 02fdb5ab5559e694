"""The paragraphs on what was run, at which scale, and by which commands."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pellucid.benchmark.config import toml
from pellucid.benchmark.config.names import CONFIG, ENVIRONMENT
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.findings.runs import FinishedRun, Sources, environment
from pellucid.benchmark.findings.sentences import ALTERED, listed
from pellucid.benchmark.paper.runs import PRESETS
from pellucid.benchmark.paper.tables import markdown
from pellucid.benchmark.results import sweeps
from pellucid.benchmark.results.caveats import FITTED
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.retrain import Retraining
from pellucid.models.errors import InputError

PAPER = "paper"
NOTHING = "-"
NAN = float("nan")


def _is_preset(config: Config) -> bool:
    try:
        return configuration.resolve(config.name, None, []) == config
    except InputError:
        return False


def of(config: Config) -> str:
    """The scale of a run: `quick`, `reduced`, `paper` or `ALTERED`.

    It is of the paper's scale where its configuration is a preset of that scale, whatever it says.
    """
    return ALTERED if config.scale == PAPER and not _is_preset(config) else config.scale


def _of_standard(run: FinishedRun, score: str) -> float:
    scores = run.table("scores")
    rows = scores[(scores["norm"] == "none") & (scores["score"] == score)]
    return float(rows["value"].iloc[0]) if len(rows) else NAN


def _lowest(run: FinishedRun, score: str) -> float:
    """A score's smallest value among the networks."""
    scores = run.table("scores")
    return float(scores.loc[scores["score"] == score, "value"].min())


def _images(run: FinishedRun) -> tuple[str, str]:
    """Training and test images, where the tables say."""
    dataset = run.table("dataset")
    known = {} if dataset.empty else dataset.set_index("measure")["value"].to_dict()
    limits = run.config.data
    train = known.get("train_images", limits.train_limit or NOTHING)
    return str(train), str(known.get("test_images", limits.test_limit or NOTHING))


def _row(run: FinishedRun) -> list[str]:
    config, retraining = run.config, run.config.section(Retraining)
    train, test = _images(run)
    every = "all" if train == NOTHING else train
    again = f"{retraining.epochs} on {retraining.train_limit or every}" if retraining else NOTHING
    until = "up to " if config.training.until else ""
    return [
        run.label,
        of(config),
        config.model.name,
        str(run.table("scores")["network"].nunique()),
        str(config.seeds),
        f"{train}, {test}",
        f"{until}{config.training.epochs}; {again}",
        f"{_of_standard(run, 'train_accuracy'):.3f}, {_of_standard(run, 'test_accuracy'):.3f}",
        f"{_lowest(run, 'train_accuracy'):.3f}",
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
        "lowest train accuracy",
    ]
    parts = [markdown([_row(run) for run in runs], headers) + "\n"]
    small = [run.label for run in runs if of(run.config) != PAPER]
    if small:
        some = f"{listed(small)} {'is' if len(small) == 1 else 'are'} not"
        which = "No run is" if len(small) == len(runs) else some
        parts.append(
            f"{which} at the paper's scale. What is said holds for the networks, images and"
            " epochs of this table."
        )
    parts.append(_fits(runs))
    single = [run.label for run in runs if run.config.seeds == 1]
    if single:
        parts.append(
            f"With one seed ({listed(single)}) a verdict is about these very networks, not about"
            " others trained alike."
        )
    full = {run.config.data.name for run in runs if of(run.config) == PAPER}
    missing = [
        preset
        for data, preset in PRESETS.items()
        if data not in full and configuration.resolve(preset, None, []).section(Retraining)
    ]
    if missing:
        parts.append(f"Not among these runs: {listed([f'`{preset}`' for preset in missing])}.")
    return f"{parts[0]}\n{' '.join(parts[1:])}"


def _shown(path: Path) -> str:
    """A path as it may stand in a document: as it was given, without this machine's folders."""
    return path.name if path.is_absolute() else path.as_posix()


def _run(folder: Path, config: Config) -> str:
    """The command that makes a run in this folder; a changed one from its stored configuration."""
    if not _is_preset(config):
        return f"run --config {_shown(folder)}/config.toml --out {_shown(folder)}"
    return _of_preset(folder, config.name)


def _published(folder: Path) -> bool:
    """Whether a folder holds copies of a run's tables, not a run."""
    return folder.is_dir() and not any(path.is_dir() for path in folder.iterdir())


def _of_preset(folder: Path, name: str) -> str:
    usual = folder == Path("runs") / name or _published(folder)
    out = "" if usual else f" --out {_shown(folder)}"
    return f"run --preset {name}{out}"


def _swept(folder: Path) -> Iterator[str]:
    """The command that makes a sweep, or one for each run of a sweep that is no preset's."""
    made = sweeps.runs(folder) if sweeps.is_sweep(folder) else {}
    loaded = {
        name: configuration.load(path) for name in made if (path := folder / name / CONFIG).exists()
    }
    named = {config.name for config in loaded.values()} or {folder.name}
    for name in named & set(toml.presets()):
        variants = {v.name: v for v in configuration.variants(name, None, [])}
        same = all(variants[n].config == c for n, c in loaded.items() if n in variants)
        if same and {n: v.swept for n, v in variants.items()} == made:
            yield _of_preset(folder, name)
            return
    for name in made:
        inner = f"{_shown(folder)}/{name}"
        yield f"run --config '{inner}/config.toml' --out '{inner}'"
    yield f"plots --out {_shown(folder)}"


def commands(sources: Sources, folders: Sequence[Path], target: Path) -> str:
    """The commands that make the runs and this report."""
    lines = [_run(run.folder, run.config) for run in sources.runs]
    for folder, config in sources.origins.values():
        lines += _swept(folder) if config is None else [_run(folder, config)]
    named = " ".join(_shown(folder) for folder in folders)
    lines.append(f"findings {named} --report {_shown(target)}")
    block = "\n".join(f"python run_benchmark.py {line}" for line in lines)
    records = [run.environment for run in sources.runs]
    for origin in sources.origins.values():
        paths = [origin.folder / ENVIRONMENT, *sorted(origin.folder.glob(f"*/{ENVIRONMENT}"))]
        records += [environment(path.parent) for path in paths if path.exists()]
    where = {str(record.get("commit", ""))[:7] for record in records} - {""}
    made = f" Their tables were made at commit {listed(sorted(where))}." if where else ""
    copies = [f"`{_shown(folder)}`" for folder in folders if _published(folder)]
    if copies:
        verb = "holds tables" if len(copies) == 1 else "hold tables"
        made = f" {listed(copies)} {verb} of these runs.{made}"
    return f"```\n{block}\n```\n\n{made.strip()}".strip()
