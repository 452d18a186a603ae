"""Reads the text of a compiled program, as `compiled.as_text()` gives it, into instructions."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from byol_jax import errors

_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
_BYTES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8, "c64": 8}

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\](?:\{([^{}]*)\})?")
_COMMENT = re.compile(r"/\*.*?\*/")


class Array(NamedTuple):
    """One array of a shape; in_memory: in the chip's memory, not in one of its scratchpads."""

    dtype: str
    sides: tuple[int, ...]
    in_memory: bool

    @property
    def size(self) -> int:
        """Bytes, without the padding of tiles; tokens and the like have none."""
        return _BYTES.get(self.dtype, 0) * math.prod(self.sides)


class Instruction(NamedTuple):
    """One line: name = result operation(operands), rest.  result: its arrays, more of a tuple."""

    name: str
    result: tuple[Array, ...]
    operation: str
    operands: tuple[str, ...]
    rest: str
    is_root: bool

    def names(self, field: str) -> list[str]:
        """The computations that field=%name, or field={%a, %b}, speaks of."""
        found = re.search(rf"\b{field}=(\{{[^}}]*\}}|%?[\w.\-]+)", self.rest)
        return re.findall(r"[\w.\-]+", found.group(1)) if found else []


class Program(NamedTuple):
    """computations: name -> instructions by name, in the order of the text."""

    entry: str
    computations: dict[str, dict[str, Instruction]]


def parse(text: str) -> Program:
    """Reads a module; raises ValueError where it has no ENTRY."""
    computations, entry, current = {}, None, {}
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            current = computations.setdefault(head.group(2), {})
            entry = head.group(2) if head.group(1) else entry
        elif found := _LINE.match(_COMMENT.sub("", line)):
            instruction = _instruction(found)
            current[instruction.name] = instruction
    if entry is None:
        raise errors.UserError("the text has no ENTRY; give that of a compiled module.")
    return Program(entry, computations)


def _instruction(found) -> Instruction:
    after = found.string[found.end() :]
    operands, _, rest = after.partition(")")
    names = re.findall(r"%?([\w.\-]+)(?:,|$)", operands)
    root, name, result, operation = found.groups()
    return Instruction(name, tuple(arrays(result)), operation, tuple(names), rest, bool(root))


def arrays(shape: str) -> Iterator[Array]:
    """The arrays of a shape as it is written: bf16[32,7]{1,0:T(8,128)(2,1)S(1)}, or a tuple."""
    for dtype, sides, layout in _ARRAY.findall(shape):
        yield Array(dtype, tuple(map(int, filter(None, sides.split(",")))), "S(" not in layout)
