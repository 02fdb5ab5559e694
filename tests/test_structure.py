"""Where code may look: imports go one way, between the rooms and inside `benchmark`."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

NAME = "pellucid"
ROOMS = ("models", "attacks", "metrics", "leaderboard", "benchmark")
ORDER = (
    "config",
    "data",
    "environment",
    "training",
    "robustness",
    "units",
    "progress",
    "results",
    "paper",
    "findings",
    "execution",
    "accelerator",
    "submission",
    "library",
    "cli",
)
"""Parts of `benchmark`; each may import from those before it."""
ALLOWED = {
    "models": {"models"},
    "attacks": {"models", "attacks"},
    "metrics": {"models", "attacks", "metrics"},
    "leaderboard": {"models", "metrics", "leaderboard"},
    "benchmark": set(ROOMS),
}


def imported(path: Path) -> set[str]:
    """Modules of this project that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith(f"{NAME}.")}


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_one_way(room):
    for path in files(room):
        for name in imported(path):
            assert name.split(".")[1] in ALLOWED[room], f"{path} imports {name}"


def test_parts_of_benchmark_import_one_way():
    seen = set()
    for path in files("benchmark"):
        part = path.relative_to(ROOT / "benchmark").parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        seen.add(part)
        for name in imported(path):
            room, *rest = name.split(".")[1:]
            if room == "benchmark":
                part_of = (*rest, "")[0]
                assert part_of in ("", *ORDER[: ORDER.index(part) + 1]), f"{path} imports {name}"
    assert seen == set(ORDER), "every part has its place in the order"


def test_only_the_backends_import_a_backend():
    for room in ROOMS:
        for path in files(room):
            if path.is_relative_to(ROOT / "models" / "backend"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                roots = {name.split(".")[0] for name in names}
                assert not roots & {"tensorflow", "jax", "torch"}, path


def test_one_alias_says_tensor_and_one_array():
    """`Any` stands in `models/types.py` alone, where it says what it means."""
    for room in ROOMS:
        for path in files(room):
            if path != ROOT / "models" / "types.py":
                names = {
                    n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)
                }
                assert "Any" not in names, path
