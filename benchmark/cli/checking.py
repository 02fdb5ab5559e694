"""Commands that look at this machine: `doctor` and `gpu-check`."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.benchmark.cli.messages import MISTAKE
from pellucid.benchmark.cli.options import DataDir, Out, run_folder


def doctor(out: Out = None, data_dir: DataDir = None) -> None:
    """Show versions, backend, devices, data sets with their folders, and free disk space.

    The exit status is 2 where there is no backend to run on.
    """
    from pellucid.benchmark import environment
    from pellucid.models.errors import printable

    checks = environment.doctor(data_dir, run_folder(out, "quick"))
    width = max(len(check.what) for check in checks)
    for what, state, fine in checks:
        print(f"{'ok' if fine else '--':3} {what:{width}} {printable(state)}")
    if not all(check.fine for check in checks if check.what == environment.BACKEND):
        raise typer.Exit(MISTAKE)


def gpu_check(
    out: Annotated[Path, typer.Option(help="The folder of the report and its figures.")] = Path(
        "runs/gpu-check"
    ),
    small: Annotated[
        bool, typer.Option("--small", help="A reduced run, as without an accelerator.")
    ] = False,
    budget: Annotated[
        float, typer.Option(min=0, help="Seconds; steps for which none are left are listed.")
    ] = 600.0,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only steps whose names begin so; may be repeated."),
    ] = None,
) -> None:
    """Try a GPU: results against a CPU's, floors, speed, and how long paper-cifar10 would take.

    It needs no data set. When it was stopped, the same command resumes where it was.
    """
    from pellucid import models
    from pellucid.models.startup import check_backend

    check_backend()
    models.choose_kernels("cifar_cnn")
    from pellucid.benchmark.accelerator import contact

    fine = contact.run(
        out, small=small, budget=budget, only=only or [], say=lambda text: print(text, flush=True)
    )
    if not fine:
        raise typer.Exit(1)
