"""Counts the bytes that each instruction reads from and writes to a chip's memory."""

import collections
from collections.abc import Iterable, Mapping, Sequence

from byol_jax.plan import hlo

_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
_FREE |= {"partition-id", "replica-id", "opt-barrier"}
_SLICES = {"slice", "dynamic-slice", "gather"}
_PASSES = {"tuple", "all-gather", "all-reduce", "reduce-scatter", "custom-call"}


def bytes_moved(
    program: hlo.Program, computation: hlo.Computation, instruction: hlo.Instruction
) -> float:
    """Counts the bytes that one executed instruction moves to and from the chip's memory.

    Operands and results in a scratchpad do not count. For a slice, only the elements that it reads
    or writes count.

    Args:
        program: The whole program.
        computation: The computation that contains the instruction.
        instruction: The instruction.

    Returns:
        Number of bytes.
    """
    operation = instruction.operation
    if operation in _FREE or operation.endswith("-done"):
        return 0.0
    if operation == "copy-start":
        return _memory_bytes(instruction.result[:2])
    if operation == "slice-start":  # its result is ((source), part, context)
        source, part = instruction.result[:2]
        return part.size * (source.in_memory + part.in_memory)
    operands = [computation[name].result for name in instruction.operands if name in computation]
    if operation in _SLICES:
        return _memory_bytes(instruction.result) + sum(
            a.size for a in instruction.result if operands and operands[0][0].in_memory
        )
    if operation == "dynamic-update-slice":
        return 2 * _memory_bytes(operands[1])
    if operation != "fusion":
        return _memory_bytes(instruction.result) + sum(map(_memory_bytes, operands))
    (fused,) = (program.computations[name] for name in instruction.names("calls"))
    return _fusion_bytes(fused, instruction, operands)


def _memory_bytes(arrays: Iterable[hlo.Array]) -> float:
    """Returns the total size in bytes of those given arrays that lie in main memory."""
    return sum(array.size for array in arrays if array.in_memory)


def _fusion_bytes(
    fused: hlo.Computation,
    instruction: hlo.Instruction,
    operands: Sequence[tuple[hlo.Array, ...]],
) -> float:
    parameters = {int(i.operands[0]): i.name for i in fused.values() if i.operation == "parameter"}
    users = collections.defaultdict(list)
    for inner in fused.values():
        for name in inner.operands:
            users[name].append(inner)
    total = 0.0
    updated = set()  # sizes of results that are operands passed on or updated in place
    for number, arrays in enumerate(operands):
        if not any(array.in_memory for array in arrays):
            continue
        uses = _find_uses(users, parameters.get(number))
        if uses and all(user.operation in _PASSES for user, _ in uses):
            updated.update(array.size for array in arrays)  # passed on, neither read nor written
        elif uses and all(user.operation in _SLICES for user, _ in uses):
            total += sum(array.size for user, _ in uses for array in user.result)
        elif uses and all(
            user.operation == "dynamic-update-slice" and user.operands[0] == alias
            for user, alias in uses
        ):
            for update, _ in uses:
                total += 2 * sum(array.size for array in fused[update.operands[1]].result)
                updated.add(update.result[0].size)
        else:
            total += _memory_bytes(arrays)
    for array in instruction.result:
        if array.in_memory and array.size not in updated:
            total += array.size
    return total


def _find_uses(
    users: Mapping[str | None, list[hlo.Instruction]], name: str | None
) -> list[tuple[hlo.Instruction, str | None]]:
    """Returns each instruction that uses a value, and that instruction's name for the value.

    A bitcast is only another name of the value, so its users are returned instead.
    """
    uses = []
    for user in users[name]:
        if user.operation == "bitcast":
            uses += _find_uses(users, user.name)
        else:
            uses.append((user, name))
    return uses
