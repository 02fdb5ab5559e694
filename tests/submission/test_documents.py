"""docs/maintaining.md and docs/submitting.md: their commands exist, their submission is one."""

import re
import shlex

import pytest
import typer.main

from pellucid.benchmark.cli.app import app
from pellucid.benchmark.submission import request
from tests.conftest import ROOT

COMMANDS = typer.main.get_command(app).commands
DOCUMENTS = ("maintaining.md", "submitting.md")


def commands(document: str) -> list[list[str]]:
    text = (ROOT / "docs" / document).read_text().replace("\\\n", " ")
    found = re.findall(r"run_benchmark\.py +([a-z][^\n`]*)", text)
    return [shlex.split(line) for line in found]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_and_option_of_a_document_is_one(document):
    found = commands(document)
    assert len(found) > 4
    for name, *arguments in found:
        known = {option for p in COMMANDS[name].params for option in p.opts}
        assert {a for a in arguments if a.startswith("--")} <= known, (name, arguments)


def test_the_submission_in_the_document_is_one():
    text = (ROOT / "docs" / "submitting.md").read_text()
    (block,) = re.findall(r"```toml\n(track = .*?)```", text, re.DOTALL)
    stated = request.read(block.encode())
    assert (stated.track, stated.model) == ("digits", "my_cnn.keras")
    assert set(stated.reported) == {"test_accuracy", "roar_gradient"}
