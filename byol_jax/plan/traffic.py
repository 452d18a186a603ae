"""Bytes to and from a chip's memory, instruction by instruction."""

import collections

from byol_jax.plan import hlo

_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}
_FREE |= {"partition-id", "replica-id", "opt-barrier"}
_SLICES = {"slice", "dynamic-slice", "gather"}
_PASSES = {"tuple", "all-gather", "all-reduce", "reduce-scatter", "custom-call"}


def _in_memory(arrays) -> float:
    return sum(array.size for array in arrays if array.in_memory)


def moved(
    program: hlo.Program, within: dict[str, hlo.Instruction], instruction: hlo.Instruction
) -> float:
    """Bytes that one dispatched instruction reads from and writes to the chip's memory.

    Those of its operands and results which are there and not in a scratchpad; of slices only what
    is taken or put. within: the instructions of its computation, by name.
    """
    operation = instruction.operation
    if operation in _FREE or operation.endswith("-done"):
        return 0.0
    if operation == "copy-start":
        return _in_memory(instruction.result[:2])
    if operation == "slice-start":  # ((source), part, context): the part is read, and written
        part = instruction.result[1]
        return part.size * (instruction.result[0].in_memory + part.in_memory)
    operands = [within[name].result for name in instruction.operands if name in within]
    if operation in _SLICES:
        return _in_memory(instruction.result) + sum(
            a.size for a in instruction.result if operands and operands[0][0].in_memory
        )
    if operation == "dynamic-update-slice":
        return 2 * _in_memory(operands[1])
    if operation != "fusion":
        return _in_memory(instruction.result) + sum(map(_in_memory, operands))
    (fused,) = (program.computations[name] for name in instruction.names("calls"))
    return _fusion(fused, instruction, operands)


def _fusion(fused, instruction, operands) -> float:
    parameters = {int(i.operands[0]): i.name for i in fused.values() if i.operation == "parameter"}
    users = collections.defaultdict(list)
    for inner in fused.values():
        for name in inner.operands:
            users[name].append(inner)
    total, updated = 0.0, set()
    for number, arrays in enumerate(operands):
        name = parameters.get(number)
        if not any(array.in_memory for array in arrays):
            continue
        using = _through_bitcasts(users, name)
        if using and all(u.operation in _PASSES for u, _ in using):
            updated.update(array.size for array in arrays)  # carried along, beside what is done
        elif using and all(u.operation in _SLICES for u, _ in using):
            total += sum(a.size for u, _ in using for a in u.result)
        elif using and all(
            u.operation == "dynamic-update-slice" and u.operands[0] == by for u, by in using
        ):
            for update, _ in using:
                total += 2 * _in_memory_size(fused, update.operands[1])
                updated.add(update.result[0].size)
        else:
            total += _in_memory(arrays)
    for array in instruction.result:
        if array.in_memory and array.size not in updated:
            total += array.size
    return total


def _in_memory_size(fused, name) -> float:
    return sum(array.size for array in fused[name].result)


def _through_bitcasts(users, name) -> list[tuple[hlo.Instruction, str]]:
    """(user, by what name) of a value, where a bitcast is only another name."""
    found = []
    for user in users[name]:
        if user.operation == "bitcast":
            found += _through_bitcasts(users, user.name)
        else:
            found.append((user, name))
    return found
