"""Parses the HLO text of a compiled program, from `compiled.as_text()`, into instructions."""

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
    """The type of one array in a compiled program.

    Attributes:
        dtype: HLO name of the element type, such as "bf16".
        shape: Sizes of the axes.
        in_memory: True if the array is in the chip's main memory, False if it is in a scratchpad.
    """

    dtype: str
    shape: tuple[int, ...]
    in_memory: bool

    @property
    def size(self) -> int:
        """Size in bytes without padding; 0 for types without data, such as tokens."""
        return _BYTES.get(self.dtype, 0) * math.prod(self.shape)


class Instruction(NamedTuple):
    """One HLO instruction, from a line `name = result operation(operands), attributes`.

    Attributes:
        name: Name of the instruction.
        result: Arrays of the result; several if the result is a tuple.
        operation: HLO operation, such as "convolution".
        operands: Names of the operands; the value in the text for a constant or a parameter.
        attributes: Text after the operands.
        is_root: True if the result is that of the computation.
    """

    name: str
    result: tuple[Array, ...]
    operation: str
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    def names(self, field: str) -> list[str]:
        """Returns the names of the computations that an attribute refers to.

        Args:
            field: Name of the attribute, such as "calls"; the text has field=%a or field={%a, %b}.

        Returns:
            Names of the computations; empty if the instruction has no such attribute.
        """
        match = re.search(rf"\b{field}=(\{{[^}}]*\}}|%?[\w.\-]+)", self.attributes)
        return re.findall(r"[\w.\-]+", match.group(1)) if match else []


Computation = dict[str, Instruction]  # by name, in the order of the text


class Program(NamedTuple):
    """A parsed HLO module.

    Attributes:
        entry: Name of the computation that runs first.
        computations: The computations by name.
    """

    entry: str
    computations: dict[str, Computation]


def parse(text: str) -> Program:
    """Parses the HLO text of a module.

    Args:
        text: HLO text of the module.

    Returns:
        The computations of the module.

    Raises:
        UserError: If the text has no ENTRY computation.
    """
    computations = {}
    entry = None
    current = {}
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            is_entry, name = head.groups()
            current = computations.setdefault(name, {})
            entry = name if is_entry else entry
        elif match := _LINE.match(_COMMENT.sub("", line)):
            instruction = _parse_instruction(match)
            current[instruction.name] = instruction
    if entry is None:
        raise errors.UserError(
            "the HLO text has no ENTRY computation; pass the text of a whole module."
        )
    return Program(entry, computations)


def _parse_instruction(match: re.Match[str]) -> Instruction:
    operands, _, attributes = match.string[match.end() :].partition(")")
    names = re.findall(r"%?([\w.\-]+)(?:,|$)", operands)
    root, name, result, operation = match.groups()
    return Instruction(
        name, tuple(arrays(result)), operation, tuple(names), attributes, is_root=bool(root)
    )


def arrays(shape: str) -> Iterator[Array]:
    """Parses the HLO text of a result type into arrays.

    Args:
        shape: Text of the type, such as bf16[32,7]{1,0:T(8,128)(2,1)S(1)}, or of a tuple of types.

    Yields:
        The arrays of the result.
    """
    for dtype, sizes, layout in _ARRAY.findall(shape):
        yield Array(dtype, tuple(map(int, filter(None, sizes.split(",")))), "S(" not in layout)
