"""Commands that train and measure what a configuration asks for: `run` and `plan`."""

from typing import Annotated, Literal

import typer

from pellucid.benchmark.cli.messages import note
from pellucid.benchmark.cli.options import (
    Assignments,
    ConfigFile,
    DataDir,
    Out,
    Preset,
    Workers,
    changes,
    refuse,
    run_folder,
)


def run(
    preset: Preset = None,
    config: ConfigFile = None,
    out: Out = None,
    assignments: Assignments = [],  # noqa: B006  Typer copies it
    data_dir: DataDir = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove the results in the folder first.")
    ] = False,
    workers: Workers = None,
    executor: Annotated[
        Literal["threads", "ray"],
        typer.Option(help="Run in threads of this process or on Ray."),
    ] = "threads",
    address: Annotated[
        str | None,
        typer.Option(
            help="With Ray, HOST:PORT of a cluster's head or auto; by default Ray is started here."
        ),
    ] = None,
    cores: Annotated[
        int,
        typer.Option(min=1, help="With Ray, the cores of one worker, which share its memory."),
    ] = 1,
    share: Annotated[int, typer.Option(min=1, help="With Ray, how many workers share a GPU.")] = 1,
) -> None:
    """Train the networks, measure them, and write results, leaderboard and figures.

    When it was stopped, the same command resumes where it was.
    """
    from pellucid.benchmark.units import configuration
    from pellucid.models.errors import InputError, UnitsFailedError
    from pellucid.models.startup import check_backend

    if executor != "ray" and (address or cores > 1 or share > 1):
        raise InputError("--address, --cores and --share need --executor ray.")
    if address not in (None, "auto") and not str(address).rpartition(":")[2].isdigit():
        raise InputError(f"--address must be HOST:PORT, or auto. Received '{address}'.")
    variants = configuration.variants(preset, config, assignments)
    folder = run_folder(out, variants[0].config.name, changes(preset, config, assignments))
    check_backend()
    from pellucid.benchmark.execution import runner
    from pellucid.benchmark.progress import stdout
    from pellucid.benchmark.results import sweeps

    failed: list[str] = []
    for variant in variants:
        try:
            runner.run(
                variant.config,
                folder / variant.name,
                data_dir=data_dir,
                fresh=fresh,
                workers=workers,
                console=stdout(),
                cluster=runner.Cluster(address, cores, share) if executor == "ray" else None,
            )
        except UnitsFailedError as error:
            failed += error.lines
    if failed:
        raise UnitsFailedError(failed)
    if variants[0].swept:
        sweeps.record(folder, {variant.name: variant.swept for variant in variants})
        for path in sweeps.write_joined(folder):
            print(path)


def plan(
    context: typer.Context,
    preset: Preset = None,
    config: ConfigFile = None,
    out: Out = None,
    assignments: Assignments = [],  # noqa: B006  Typer copies it
    data_dir: DataDir = None,
    probe: Annotated[
        bool, typer.Option(help="Time a few batches on this device to estimate the time left.")
    ] = True,
    workers: Workers = None,
    simulate: Annotated[
        int | None,
        typer.Option(
            min=1, help="Print the wall time on 1 to N workers, from the times of finished units."
        ),
    ] = None,
) -> None:
    """List every unit of work, which are done, and the time that the others will take."""
    from pellucid.benchmark.units import configuration
    from pellucid.models.startup import check_backend

    if probe:
        check_backend()
    else:
        refuse(context, "workers", because="not with --no-probe, which times nothing")
    variants = configuration.variants(preset, config, assignments)
    folder = run_folder(out, variants[0].config.name, changes(preset, config, assignments))
    from pellucid import models
    from pellucid.benchmark.cli import plan_table
    from pellucid.benchmark.execution import runner
    from pellucid.benchmark.units.store import Store

    models.choose_kernels(variants[0].config.model.name)
    for variant in variants:
        if variant.name:
            print(f"\n{variant.name}")
        work = runner.plan(variant.config, data_dir)
        store = Store(folder / variant.name, note)
        done = [unit for unit in work.units if store.done(unit)]
        keys = {unit.key for unit in done}
        print(plan_table.text(work, keys), flush=True)
        if simulate:
            from pellucid.benchmark.execution import simulation

            took = {unit.key: store.stored(unit).seconds for unit in done}
            times = simulation.report(
                work, took, simulate, workers=workers, probe=probe, notice=note
            )
            print(f"\n{times}")
        elif probe and len(done) < len(work.units):
            from pellucid.benchmark.execution import estimate

            note("measuring the pace of this device ...")
            left = [unit for unit in work.units if unit.key not in keys]
            print(estimate.report(work, left, workers))
