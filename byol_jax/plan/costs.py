"""What one step of a compiled program costs a device: operations, bytes moved, bytes sent.

XLA's own `cost_analysis` counts the body of a loop once, and what stays in the scratchpad as if it
were read from memory. Here the program's text is walked: a loop counts as often as it runs, and
only arrays in the chip's memory count.
"""

import collections
import re
from collections.abc import Iterator
from typing import NamedTuple

from byol_jax.plan import hlo, products, traffic

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


class Costs(NamedTuple):
    """Of one device and step.

    flops: of convolutions and matrix products, a multiply-add being two.  read_and_written: bytes
    to and from memory.  sent: bytes that a device sends, by collective; counts: how many of them.
    by_place: of read_and_written, by the part of the program that moves them.
    """

    flops: float
    read_and_written: float
    sent: dict[str, float]
    counts: dict[str, int]
    by_place: dict[str, float]


def of(text: str) -> Costs:
    """The costs of a compiled module's text."""
    program, places = hlo.parse(text), collections.Counter()
    sent, counts = collections.Counter(), collections.Counter()
    seen = set()
    for within, instruction, times in _executed(program, program.entry, 1):
        places[_place(within, instruction)] += times * traffic.moved(program, within, instruction)
        for inner_of, inner in _inside(program, within, instruction):
            kind = inner.operation.removesuffix("-start")
            if kind in COLLECTIVES and _first_of_its_chain(inner, seen):
                sent[kind] += times * _sent(kind, inner_of, inner)
                counts[kind] += times
    return Costs(_flops(program), sum(places.values()), dict(sent), dict(counts), dict(places))


def flops(text: str) -> float:
    """The operations of a module's text, compiled or not, in convolutions and matrix products."""
    return _flops(hlo.parse(text))


def _flops(program) -> float:
    return sum(
        times * products.flops(inner_of, inner)
        for within, instruction, times in _executed(program, program.entry, 1)
        for inner_of, inner in _inside(program, within, instruction)
    )


def _executed(program, name, times) -> Iterator[tuple[dict, hlo.Instruction, int]]:
    """Every instruction that is dispatched, with its computation and how often it runs.

    Of a conditional both branches are counted: what only some steps do counts in each.
    """
    within = program.computations[name]
    for instruction in within.values():
        if instruction.operation == "while":
            (body,), (condition,) = instruction.names("body"), instruction.names("condition")
            yield from _executed(program, body, times * _trips(program.computations[condition]))
        elif instruction.operation in ("conditional", "call"):
            for field in (
                "branch_computations",
                "true_computation",
                "false_computation",
                "to_apply",
            ):
                for branch in instruction.names(field):
                    yield from _executed(program, branch, times)
        else:
            yield within, instruction, times


def _trips(condition) -> int:
    """How often a loop over i < constant from 0 runs; 1 where the condition is another."""
    (root,) = (i for i in condition.values() if i.is_root)
    limit = condition.get(root.operands[-1]) if root.operation == "compare" else None
    if limit is None or limit.operation != "constant" or "direction=LT" not in root.rest:
        return 1
    return int(limit.operands[0])


def _inside(program, within, instruction) -> Iterator[tuple[dict, hlo.Instruction]]:
    """The instruction itself, or all of its fusion, with their computations."""
    if instruction.operation not in ("fusion", "async-start"):
        yield within, instruction
        return
    for name in instruction.names("calls"):
        fused = program.computations[name]
        for inner in fused.values():
            yield from _inside(program, fused, inner)


def _first_of_its_chain(instruction, seen) -> bool:
    """An asynchronous collective is written down again in each fusion that it runs beside."""
    chain = re.search(r'chain_id="(\d+)"', instruction.rest)
    if chain is None:
        return True
    key = instruction.operation, chain.group(1)
    is_first = key not in seen
    seen.add(key)
    return is_first


def _sent(kind, within, instruction) -> float:
    """Bytes that a device of a ring sends."""
    given = [a for name in instruction.operands for a in within[name].result]
    size = float(sum(array.size for array in given))
    devices = _group(instruction.rest)
    factor = {
        "all-reduce": 2 * (devices - 1) / devices,
        "all-gather": devices - 1,  # of its own part
        "reduce-scatter": (devices - 1) / devices,
        "all-to-all": (devices - 1) / devices,
        "collective-permute": 1,
    }[kind]
    return factor * size


def _group(rest) -> int:
    """How many devices take part: replica_groups={{0,1},{2,3}} or [2,2]<=[4]."""
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", rest)
    if listed:
        return len(listed.group(1).split(","))
    counted = re.search(r"replica_groups=\[\d+,(\d+)\]", rest)
    return int(counted.group(1)) if counted else 1


def _place(within, instruction) -> str:
    """Where in the traced program an instruction comes from.

    What only brings an array nearer says nothing of it: then it is where the array comes from, or,
    of an argument, the operation.
    """
    at = instruction
    while at is not None:
        found = re.search(r'op_name="([^"]*)"', at.rest)
        if found:
            return found.group(1)
        at = within.get(at.operands[0]) if at.operands else None
    return instruction.operation
