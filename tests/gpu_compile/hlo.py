"""Counts what a compiled program does on a GPU, from the text of its optimised HLO."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
}
"""Operations without a kernel."""
CONTROL = {"while", "conditional", "call"}
"""Operations that run other computations."""
PARTS = {"gather", "dynamic-slice", "slice"}
"""Operations that read a part of their first operand."""
HOST = {"infeed", "outfeed", "send", "recv"}
_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2, "f16": 2, "f32": 4, "f64": 8, "c64": 8}
_SHAPE = re.compile(r"\b(pred|bf16|[a-z]\d+(?:e\d+m\d+\w*)?)\[([\d,]*)\]")
_INSTRUCTION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*)$")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_PRODUCT = re.compile(r" dot\(|custom_call_target=\"__cu(dnn\$conv|blas)")
_HIGHEST = re.compile(r"operand_precision=\{highest,highest\b")
"""Of both factors; a third operand is a bias that is added."""
_OPERAND = re.compile(r"%([\w.\-]+)")


def size(text: str) -> int:
    """Bytes of all arrays in a type."""
    total = 0.0
    for kind, dimensions in _SHAPE.findall(text):
        count = 1
        for dimension in filter(None, dimensions.split(",")):
            count *= int(dimension)
        total += count * _BYTES.get(kind, int(re.sub(r"\D.*", "", kind[1:]) or 8) / 8)
    return int(total)


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    kind: str
    operation: str
    argument: str
    attributes: str
    root: bool

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of what it is computed from."""
        return tuple(_OPERAND.findall(self.argument))

    @property
    def number(self) -> int:
        """Of a parameter."""
        return int(self.argument)

    def called(self, attribute: str) -> str | None:
        """The computation that an attribute names, as `calls` or `body`."""
        found = re.search(rf"\b{attribute}=%?([\w.\-]+)", self.attributes)
        return found[1] if found else None


@dataclass
class Computation:
    """A computation of a module, its instructions by name in order."""

    name: str
    entry: bool
    instructions: dict[str, Instruction] = field(default_factory=dict)

    def users(self, name: str) -> list[Instruction]:
        """The instructions that read a value, past bitcasts."""
        found = []
        for one in self.instructions.values():
            if name in one.operands:
                found += self.users(one.name) if one.operation == "bitcast" else [one]
        return found


def _closing(text: str) -> int:
    """Where the parenthesis ends in which a text begins."""
    depth = 1
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return at
    return len(text)


def parse(text: str) -> dict[str, Computation]:
    """The computations of a module by name."""
    found: dict[str, Computation] = {}
    inside: Computation | None = None
    for line in text.splitlines():
        if head := _HEAD.match(line):
            inside = found[head[2]] = Computation(head[2], bool(head[1]))
        elif line.startswith("}"):
            inside = None
        elif inside and (match := _INSTRUCTION.match(line)):
            root, name, kind, operation, rest = match.groups()
            end = _closing(rest)
            inside.instructions[name] = Instruction(
                name, kind, operation, rest[:end], rest[end:], bool(root)
            )
    return found


class Counts(NamedTuple):
    """What one pass through a computation does.

    Attributes:
        launches: Kernels and library calls.
        bytes: What they read and write; of an array that is gathered or sliced, the part.
        sorts: Sorts, by XLA or a library.
        scatters: Scatters.
        host: Transfers to or from the host.
    """

    launches: int
    bytes: int
    sorts: int
    scatters: int
    host: int


def _parameters(computation: Computation) -> list[Instruction]:
    """In the order of their numbers."""
    found = [one for one in computation.instructions.values() if one.operation == "parameter"]
    return sorted(found, key=lambda one: one.number)


def _read(module: dict[str, Computation], around: Computation, one: Instruction) -> int:
    """Bytes that an instruction reads; of what it gathers or slices, the part."""
    inner = module.get(one.called("calls") or "") if one.operation == "fusion" else None
    inside = _parameters(inner) if inner else []
    total = 0
    for number, operand in enumerate(one.operands):
        source = around.instructions.get(operand)
        whole = size(source.kind) if source else 0
        if inner and number < len(inside):
            users = inner.users(inside[number].name)
            if users and all(u.operation in PARTS for u in users):
                whole = min(whole, sum(size(u.kind) for u in users))
            elif users and all(u.operation == "dynamic-update-slice" for u in users):
                whole = 0  # written in place
        elif one.operation in PARTS and number == 0:
            whole = min(whole, size(one.kind))
        total += whole
    return total


def _written(module: dict[str, Computation], one: Instruction) -> int:
    """Bytes that an instruction writes."""
    inner = module.get(one.called("calls") or "") if one.operation == "fusion" else None
    if inner:
        root = next(i for i in inner.instructions.values() if i.root)
        if root.operation == "dynamic-update-slice":
            return size(inner.instructions[root.operands[1]].kind)
    return size(one.kind)


def counts(module: dict[str, Computation], name: str) -> Counts:
    """What one pass through a computation does, without the loops inside it."""
    computation = module[name]
    total = Counts(0, 0, 0, 0, 0)
    for one in computation.instructions.values():
        operation = one.operation
        if operation in FREE or operation in CONTROL or operation.endswith("-done"):
            continue
        inner = module.get(one.called("calls") or "")
        within = (
            {operation, *(i.operation for i in inner.instructions.values())}
            if inner
            else {operation}
        )
        library_sort = "sort" in one.attributes.lower() and operation == "custom-call"
        total = Counts(
            total.launches + 1,
            total.bytes + _read(module, computation, one) + _written(module, one),
            total.sorts + ("sort" in within or library_sort),
            total.scatters + bool({"scatter", "select-and-scatter"} & within),
            total.host + bool(HOST & {operation.removesuffix("-start")}) + ("S(5)" in one.kind),
        )
    return total


def loops(module: dict[str, Computation]) -> Iterator[tuple[str, int]]:
    """The bodies of all loops reached from the entry, each with its depth from 1, outer first."""

    def below(name: str, depth: int) -> Iterator[tuple[str, int]]:
        for one in module[name].instructions.values():
            if one.operation == "while" and (body := one.called("body")):
                yield body, depth
                yield from below(body, depth + 1)
            elif one.operation in ("call", "conditional"):
                for inner in _OPERAND.findall(one.attributes):
                    if inner in module:
                        yield from below(inner, depth)

    yield from below(entry(module), 1)


def entry(module: dict[str, Computation]) -> str:
    """Where a module begins."""
    return next(c.name for c in module.values() if c.entry)


def products(text: str) -> list[str]:
    """The lines of a module with a convolution or a product."""
    return [line for line in text.splitlines() if _PRODUCT.search(line)]


def exact(text: str) -> bool:
    """Whether every convolution and product of a module asks for all of its factors' bits."""
    found = products(text)
    return bool(found) and all(_HIGHEST.search(line) for line in found)


def multiplies(module: dict[str, Computation], name: str) -> bool:
    """Whether a computation itself holds a convolution or a matrix product."""
    for one in module[name].instructions.values():
        inner = module.get(one.called("calls") or "")
        if "cudnn" in one.attributes or "cublas" in one.attributes or one.operation == "dot":
            return True
        if inner and any(i.operation == "dot" for i in inner.instructions.values()):
            return True
    return False
