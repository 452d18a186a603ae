"""Counts what one step of a compiled program costs a device: operations and bytes.

XLA's own `cost_analysis` counts the body of a loop once, and it counts accesses to the on-chip
scratchpad as memory traffic. For GPUs there is no such analysis. This module reads the program's
text instead. It multiplies the body of a loop by its number of iterations and counts only arrays in
the chip's main memory.
"""

import collections
import re
from collections.abc import Iterator
from typing import NamedTuple

from byol_jax.plan import hlo, products, traffic
from byol_jax.plan.hlo import Computation

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


class Costs(NamedTuple):
    """Costs of one step on one device.

    Attributes:
        flops: Operations of convolutions and matrix products by products.KINDS; a multiply-add
            counts as two.
        read_and_written: Bytes read from and written to the chip's memory.
        sent: Bytes sent to other devices, by collective.
        counts: Number of executions, by collective.
        by_scope: The bytes of `read_and_written`, by name scope of the traced program.
    """

    flops: dict[str, float]
    read_and_written: float
    sent: dict[str, float]
    counts: dict[str, int]
    by_scope: dict[str, float]


def analyze(source: str, text: str) -> Costs:
    """Counts the operations and bytes of one step of a compiled module.

    The operations are counted before the compilation, because a compiled program for GPUs calls
    libraries whose work its text does not describe.

    Args:
        source: HLO text of the module that was compiled.
        text: Text of the compiled module, from `compiled.as_text()`.

    Returns:
        The costs of one step on one device.

    Raises:
        UserError: If a text is not that of a module.
    """
    program = hlo.parse(text)
    by_scope = collections.defaultdict[str, float](float)
    sent = collections.defaultdict[str, float](float)
    counts = collections.Counter[str]()
    chains = set()
    for computation, instruction, times in _executed_instructions(program, program.entry, 1):
        scope = _scope(computation, instruction)
        by_scope[scope] += times * traffic.bytes_moved(program, computation, instruction)
        for inner_computation, inner in _fused_instructions(program, computation, instruction):
            kind = inner.operation.removesuffix("-start")
            if kind in COLLECTIVES and _is_first_of_chain(inner, chains):
                sent[kind] += times * _bytes_sent(kind, inner_computation, inner)
                counts[kind] += times
    total = sum(by_scope.values())
    return Costs(
        flops_by_kind(source),
        total,
        dict(sent),
        dict(counts),
        dict(by_scope),
    )


def flops(text: str) -> float:
    """Counts the operations of convolutions and matrix products in a module.

    Args:
        text: HLO text of a module that is not compiled.

    Returns:
        Operations of one execution; a multiply-add counts as two.

    Raises:
        UserError: If the text is not that of a module.
    """
    return sum(flops_by_kind(text).values())


def flops_by_kind(text: str) -> dict[str, float]:
    """Counts the operations of convolutions and matrix products in a module, by their speed.

    Args:
        text: HLO text of a module that is not compiled.

    Returns:
        Operations of one execution by products.KINDS; a multiply-add counts as two.

    Raises:
        UserError: If the text is not that of a module.
    """
    program = hlo.parse(text)
    counts: dict[str, float] = dict.fromkeys(products.KINDS, 0.0)
    for computation, instruction, times in _executed_instructions(program, program.entry, 1):
        for fused, inner in _fused_instructions(program, computation, instruction):
            if inner.operation in products.OPERATIONS:
                counts[products.kind(fused, inner)] += times * products.flops(fused, inner)
    return counts


def _executed_instructions(
    program: hlo.Program, name: str, times: int
) -> Iterator[tuple[Computation, hlo.Instruction, int]]:
    """Yields every executed instruction, its computation, and how often it runs.

    All branches of a conditional count, so work that only some steps do counts in every step.
    """
    computation = program.computations[name]
    for instruction in computation.values():
        if instruction.operation == "while":
            (body,) = instruction.names("body")
            (condition,) = instruction.names("condition")
            trips = _trip_count(instruction, program.computations[condition])
            yield from _executed_instructions(program, body, times * trips)
        elif instruction.operation in ("conditional", "call"):
            for field in (
                "branch_computations",
                "true_computation",
                "false_computation",
                "to_apply",
            ):
                for branch in instruction.names(field):
                    yield from _executed_instructions(program, branch, times)
        else:
            yield computation, instruction, times


def _trip_count(loop: hlo.Instruction, condition: Computation) -> int:
    """Returns the trip count that the compiler knows, or else that of `while i < constant`, or 1.

    Without the compiler's knowledge, i is taken to start at 0.
    """
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
    if known:
        return int(known.group(1))
    (root,) = (i for i in condition.values() if i.is_root)
    limit = condition.get(root.operands[-1]) if root.operation == "compare" else None
    if limit is None or limit.operation != "constant" or "direction=LT" not in root.attributes:
        return 1
    return int(limit.operands[0])


def _fused_instructions(
    program: hlo.Program, computation: Computation, instruction: hlo.Instruction
) -> Iterator[tuple[Computation, hlo.Instruction]]:
    """Yields an instruction and its computation; expands a fusion into its instructions."""
    if instruction.operation not in ("fusion", "async-start"):
        yield computation, instruction
        return
    for name in instruction.names("calls"):
        fused = program.computations[name]
        for inner in fused.values():
            yield from _fused_instructions(program, fused, inner)


def _is_first_of_chain(instruction: hlo.Instruction, chains: set[tuple[str, str]]) -> bool:
    """Returns True the first time that an asynchronous collective appears, so that it counts once.

    The text of an asynchronous collective appears in every fusion that overlaps with it, each time
    with the same chain_id.
    """
    chain = re.search(r'chain_id="(\d+)"', instruction.attributes)
    if chain is None:
        return True
    key = (instruction.operation, chain.group(1))
    is_first = key not in chains
    chains.add(key)
    return is_first


def _bytes_sent(kind: str, computation: Computation, instruction: hlo.Instruction) -> float:
    """Returns the bytes that each device sends in a collective over a ring of devices."""
    operands = [array for name in instruction.operands for array in computation[name].result]
    size = float(sum(array.size for array in operands))
    num_devices = _group_size(instruction.attributes)
    factor = {
        "all-reduce": 2 * (num_devices - 1) / num_devices,
        "all-gather": num_devices - 1,  # the operand is the device's own part
        "reduce-scatter": (num_devices - 1) / num_devices,
        "all-to-all": (num_devices - 1) / num_devices,
        "collective-permute": 1,
    }[kind]
    return factor * size


def _group_size(attributes: str) -> int:
    """Parses the number of devices per group from a replica_groups attribute."""
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", attributes)
    if listed:
        return len(listed.group(1).split(","))
    counted = re.search(r"replica_groups=\[\d+,(\d+)\]", attributes)
    return int(counted.group(1)) if counted else 1


def _scope(computation: Computation, instruction: hlo.Instruction) -> str:
    """Returns the name scope in the traced program from which an instruction originates.

    Instructions that only copy an array have no scope. They get the scope of the array's producer,
    or their own operation if the array is an argument of the program.
    """
    producer = instruction
    while producer is not None:
        match = re.search(r'op_name="([^"]*)"', producer.attributes)
        if match:
            return match.group(1)
        producer = computation.get(producer.operands[0]) if producer.operands else None
    return instruction.operation
