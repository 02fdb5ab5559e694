"""The command line of the benchmark: its commands and how it ends.

A command is a function of one of the modules below. Heavy imports wait until a command needs them,
so that `--help` is quick.
"""

import os
import sys
from typing import Annotated

import typer

from pellucid.benchmark.cli import checking, maintaining, noise, reporting, running, submitting
from pellucid.benchmark.cli.messages import FAILED, INTERRUPTED, mistake, note

COMMANDS = {
    "Run the benchmark": (running.run, running.plan),
    "Measure a model": (submitting.submit, submitting.evaluate, submitting.verify),
    "Report": (reporting.plots, reporting.paper, reporting.findings, reporting.publish),
    "Keep a board": (
        maintaining.leaderboard,
        maintaining.reference,
        maintaining.baselines,
        maintaining.rule_out,
        maintaining.retract,
        maintaining.publish_models,
    ),
    "Look at this machine": (checking.doctor, checking.gpu_check),
}
"""Each group of commands under its heading in `--help`, in order."""

app = typer.Typer(
    help=(
        "Is a robust image classifier also an interpretable one? Without a command, the quick"
        " preset is run."
    ),
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for heading, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=heading)(command)


def _version(wanted: bool) -> None:
    if wanted:
        from pellucid.benchmark.config.versions import PROTOCOL_VERSION, __version__

        print(f"pellucid {__version__}, protocol version {PROTOCOL_VERSION}")
        raise typer.Exit


@app.callback()
def default(
    context: typer.Context,
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Runs the quick preset where there is no command."""
    if context.invoked_subcommand is None:
        running.run()


def entry_point(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns its exit code.

    A user's mistake is one line on stderr and exit code 2; units that failed are a line each and
    exit code 1. After Ctrl-C the process ends at once: units under way have nothing to save, since
    a result is stored completely or not at all.
    """
    from typer.exceptions import TyperException

    from pellucid.models.errors import InputError, UnitsFailedError

    os.environ.setdefault(noise.LEVEL, noise.QUIET)
    try:
        code = app(arguments, standalone_mode=False)
    except InputError as error:
        return mistake(str(error))
    except UnitsFailedError as error:
        for line in error.lines:
            note(line)
        return FAILED
    except TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        return mistake(message)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        note("\nStopped. The same command resumes from here.")
        os._exit(INTERRUPTED)
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console script `pellucid`."""
    noise.keep_off_the_terminal()
    sys.exit(entry_point())
