"""The directive `generated`: parts of the reference that are made from the program itself."""

import inspect
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click

from pellucid import attacks, metrics
from pellucid.benchmark.cli.app import app as command_line
from pellucid.benchmark.config import toml as configurations
from pellucid.benchmark.units.configuration import RunConfig

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LESSONS = ("robust", "interpretable", "adversarial_training", "trade_off", "submit")
"""The order of the notebooks; others follow."""


def tutorials() -> Iterator[str]:
    """The navigation's list of notebooks."""
    names = sorted(
        (path.stem for path in NOTEBOOKS.glob("*.py")),
        key=lambda name: (LESSONS.index(name) if name in LESSONS else len(LESSONS), name),
    )
    if names:
        entries = "\n".join(f"notebooks/{name}" for name in names)
        yield f"```{{toctree}}\n:caption: Tutorials\n:titlesonly:\n\n{entries}\n```\n"


def commands() -> Iterator[str]:
    """Every command with its arguments and options, as Typer documents it, under its group."""
    group = typer.main.get_command(command_line)
    context = typer.Context(group, info_name="pellucid", resilient_parsing=True)
    heading = ""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.rich_help_panel != heading:
            heading = command.rich_help_panel
            yield f"## {heading}\n\n"
        text = get_docs_for_click(obj=command, ctx=context, indent=2, call_prefix="pellucid")
        yield "\n".join(map(_with_options_as_code, text.splitlines())) + "\n\n"


def _with_options_as_code(line: str) -> str:
    """A line of Typer's Markdown, in whose text the names of options are code."""
    before, colon, text = line.partition("`: ") if line.startswith("* `") else ("", "", line)
    return before + colon + re.sub(r"--[a-z][a-z-]+", r"`\g<0>`", text)


def attack_functions() -> Iterator[str]:
    """Every attack that is selected by its name, with its equation and options."""
    for name in attacks.ATTACKS:
        function = attacks.get(name)
        signature = inspect.signature(function)
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        call = signature.replace(parameters=plain, return_annotation=signature.empty)
        path = f"{function.__module__}.{name}"
        yield f"```{{eval-rst}}\n.. autofunction:: {path}{call}\n```\n"


def attributions() -> Iterator[str]:
    """A table of the attributions."""
    yield "| name | title | in tables | gradients per map |\n| --- | --- | --- | --- |\n"
    for record in metrics.ATTRIBUTIONS.values():
        yield f"| `{record.name}` | {record.title} | {record.letter} | {record.passes} |\n"


def presets() -> Iterator[str]:
    """A table of the presets."""
    yield "| preset | scale | what it is |\n| --- | --- | --- |\n"
    for name in configurations.presets():
        path = configurations.PRESETS / f"{name}.toml"
        preset = tomllib.loads(path.read_text(encoding="utf-8"))
        yield f"| `{name}` | {preset['scale']} | {preset['description']} |\n"


def configuration() -> Iterator[str]:
    """Every section of a configuration: what it is, its keys, their types and defaults."""
    inner = {name: part for name, field in RunConfig.model_fields.items() if (part := _part(field))}
    yield "## Top level\n\n"
    yield _keys(RunConfig, set(RunConfig.model_fields) - inner.keys())
    for name, (part, several) in inner.items():
        yield f"## `[[{name}]]`\n\n" if several else f"## `[{name}]`\n\n"
        yield (inspect.getdoc(part) or "").partition("\n\nAttributes:")[0] + "\n\n"
        yield _keys(part, set(part.model_fields))


def _part(field: FieldInfo) -> tuple[type[BaseModel], bool] | None:
    """The section that a field holds, and whether it is a list of them."""
    several = typing.get_origin(field.annotation) is list
    for kind in (field.annotation, *typing.get_args(field.annotation)):
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            return kind, several
    return None


def _keys(part: type[BaseModel], names: set[str]) -> str:
    """A table of a section's keys; their meanings stand in the docstrings."""
    meanings = {}
    for kind in reversed(part.__mro__):
        if issubclass(kind, BaseModel) and kind.__doc__:
            meanings |= _attributes(inspect.cleandoc(kind.__doc__))
    lines = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in part.model_fields.items():
        if name in names:
            cells = f"`{name}`", _values(field), _default(field), meanings[name]
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n\n"


def _attributes(text: str) -> dict[str, str]:
    """The entries of a docstring's part `Attributes:`."""
    _, _, listed = text.partition("Attributes:\n")
    entries = re.split(r"^    (?=\w+: )", listed, flags=re.MULTILINE)[1:]
    return {
        name: " ".join(meaning.split())
        for name, _, meaning in (entry.partition(":") for entry in entries)
    }


def _values(field: FieldInfo) -> str:
    """Which values a key takes, in words."""
    return _words(field.annotation, list(field.metadata))


def _words(kind: object, limits: list[object]) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        inner = [limit for a in arguments[1:] for limit in getattr(a, "metadata", [a])]
        return _words(arguments[0], [*inner, *limits])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(a, limits) for a in arguments if a is not type(None))
    if origin is typing.Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin is list:
        return f"list of {_words(arguments[0], [])}"
    names = {int: "integer", float: "number", str: "text", bool: "`true` or `false`"}
    bounds = [
        f"{sign} {bound:g}"
        for limit in limits
        for sign, name in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le"))
        if (bound := getattr(limit, name, None)) is not None
    ]
    return " ".join([names[kind], ", ".join(bounds)]).strip().replace(" ", "\N{NO-BREAK SPACE}")


def _default(field: FieldInfo) -> str:
    """What holds where a key is left out."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return ""
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else repr(value)
    return f"`{text}`".replace("'", '"')


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "attacks": attack_functions,
    "attributions": attributions,
    "commands": commands,
    "configuration": configuration,
    "presets": presets,
    "tutorials": tutorials,
}


class Generated(SphinxDirective):
    """Puts one of `PARTS` into a page, as Markdown."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parses what the part yields."""
        text = "".join(PARTS[self.arguments[0]]())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True}
