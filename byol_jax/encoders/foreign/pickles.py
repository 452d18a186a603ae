"""Reads a pickle as data, without importing or calling the functions that it names.

Python's own unpickler imports and calls what a pickle asks for, and its subclasses do so for the
names that they allow. This reader only records each call. It builds lists, dicts with text keys,
text, numbers and bytes, and its memory is limited by the length of the file. Python's pickletools
documents the instructions.
"""

import dataclasses
import mmap
import pickletools
import struct
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

from byol_jax import errors

MAX_STEPS = 5_000_000  # a ResNet-200 with its optimizer needs a quarter of a million


@dataclasses.dataclass(frozen=True)
class Global:
    """A reference to a function or class by its name, such as numpy.dtype; it is not imported.

    Attributes:
        module: The module, such as "numpy".
        name: The name in the module, such as "dtype".
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(eq=False, repr=False)
class Call:
    """A call that a pickle asks for, recorded and not executed.

    Attributes:
        function: What the pickle calls, usually a Global.
        arguments: The arguments of the call.
        state: The state that the pickle sets on the result, or the keyword arguments.
        items: The items that the pickle appends to the result.
        pairs: The keys and values that the pickle adds to the result.
    """

    function: Any
    arguments: tuple[Any, ...]
    state: Any = None
    items: list[Any] = dataclasses.field(default_factory=list)
    pairs: dict[str, Any] = dataclasses.field(default_factory=dict)


def function_name(node: Any) -> str:
    """Returns the name of the function that a pickle asks to call.

    Args:
        node: An object from `read`.

    Returns:
        The name with its module, such as "numpy.dtype". It is empty if the object is not a call of
        a named function.
    """
    is_named = isinstance(node, Call) and isinstance(node.function, Global)
    return str(node.function) if is_named else ""


def allow_any(reference: Global) -> None:
    """Accepts every function name in a pickle; this is safe because no name is imported.

    Args:
        reference: The name.
    """


def ignore_persistent(identity: Any) -> Any:
    """Returns None for an object that a pickle refers to but does not contain.

    Args:
        identity: The persistent id of the object.

    Returns:
        None.
    """


def read(
    file: BinaryIO | mmap.mmap,
    *,
    check_global: Callable[[Global], None] = allow_any,
    load_persistent: Callable[[Any], Any] = ignore_persistent,
) -> Any:
    """Reads one pickle from an open file, up to its end and no further.

    Args:
        file: An io.BytesIO or mmap. Its `read` must not allocate more bytes than the file has,
            because damaged files ask for any number.
        check_global: Raises an error for names that the pickle must not contain.
        load_persistent: Returns the object for a persistent id.

    Returns:
        The object, which consists of lists, dicts, tuples, text, numbers, bytes, Global and Call.

    Raises:
        UserError: The pickle is damaged, or has more than MAX_STEPS instructions.
        ValueError: pickletools cannot decode an instruction.
    """
    machine = _Machine(check_global, load_persistent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python deprecates some escapes in old pickles
            # An mmap has the three methods that genops uses: read, readline and tell.
            steps = pickletools.genops(file)  # pyright: ignore[reportArgumentType]
            for count, (opcode, argument, _) in enumerate(steps):
                if count >= MAX_STEPS:
                    raise errors.UserError(
                        f"the pickle has more than {MAX_STEPS:,} instructions, which is "
                        "implausible for weights."
                    )
                machine.step(opcode.name, argument)
        return machine.stack[-1]
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
        kind = type(error).__name__
        raise errors.UserError(f"the pickle is incomplete or damaged ({kind}: {error}).") from error


class _Machine:
    """An interpreter of pickle instructions, with the stacks and the memo that these use."""

    def __init__(self, check_global, load_persistent):
        self.stack: list[Any] = []
        self.outer_stacks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.check_global = check_global
        self.load_persistent = load_persistent

    def step(self, name: str, argument: Any) -> None:
        if name in _TEXTS_AND_NUMBERS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise errors.UserError(
                f"the pickle contains the instruction {name}, which no file of weights needs."
            )

    def pop_to_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.outer_stacks.pop()
        return items


def _mark(machine, _):
    machine.outer_stacks.append(machine.stack)
    machine.stack = []


def _pop(machine, _):
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_to_mark()


def _put(machine, number):
    machine.memo[len(machine.memo) if number is None else number] = machine.stack[-1]


def _make_tuple(count):
    def make(machine, _):
        items = tuple(machine.stack[-count:])
        if len(items) < count:
            raise errors.UserError("the pickle is damaged: a tuple has too few items.")
        machine.stack[-count:] = [items]

    return make


def _make_sequence(kind):
    def make(machine, _):
        items = kind(machine.pop_to_mark())
        machine.stack.append(items)

    return make


def _make_dict(machine, _):
    items = machine.pop_to_mark()
    machine.stack.append({})
    _add_pairs(machine.stack[-1], items)


def _append(machine, _):
    item = machine.stack.pop()
    _items_of(machine.stack[-1]).append(item)


def _append_all(machine, _):
    items = machine.pop_to_mark()
    _items_of(machine.stack[-1]).extend(items)


def _set_item(machine, _):
    value = machine.stack.pop()
    key = machine.stack.pop()
    _add_pairs(machine.stack[-1], [key, value])


def _set_items(machine, _):
    items = machine.pop_to_mark()
    _add_pairs(machine.stack[-1], items)


def _push_global(machine, argument):
    if argument is None:  # STACK_GLOBAL takes both names from the stack
        name = machine.stack.pop()
        module = machine.stack.pop()
    else:
        module, _, name = argument.partition(" ")
    if not (isinstance(module, str) and isinstance(name, str)):
        raise TypeError("the name of a function is not text")
    reference = Global(module, name)
    machine.check_global(reference)
    machine.stack.append(reference)


def _call(machine, _):
    arguments = machine.stack.pop()
    function = machine.stack.pop()
    if not isinstance(arguments, tuple):
        raise TypeError("the arguments of a call are not a tuple")
    machine.stack.append(Call(function, arguments))


def _call_with_keywords(machine, _):
    keywords = machine.stack.pop()
    _call(machine, _)
    machine.stack[-1].state = keywords


def _call_to_mark(machine, argument):
    if argument is None:  # OBJ: the function is the first item above the mark
        function, *arguments = machine.pop_to_mark()
    else:  # INST: the instruction names the function
        arguments = machine.pop_to_mark()
        _push_global(machine, argument)
        function = machine.stack.pop()
    machine.stack.append(Call(function, tuple(arguments)))


def _build(machine, _):
    state = machine.stack.pop()
    if isinstance(machine.stack[-1], Call):
        machine.stack[-1].state = state


def _push_persistent(machine, argument):
    identity = machine.stack.pop() if argument is None else argument
    machine.stack.append(machine.load_persistent(identity))


def _items_of(target):
    return target.items if isinstance(target, Call) else _check_type(target, list)


def _add_pairs(target, items):
    target = target.pairs if isinstance(target, Call) else _check_type(target, dict)
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_to_text(key, len(target))] = value


def _check_type(target, kind):
    if not isinstance(target, kind):
        raise TypeError(f"the pickle adds items to an object that is not a {kind.__name__}")
    return target


def _to_text(key, index) -> str:
    """Converts an object to text for use as a dict key; nested tuples can be very slow to hash."""
    if isinstance(key, bytes):
        return key.decode("latin1")
    return str(key) if isinstance(key, str | int | float) else f"#{index}"


_TEXTS_AND_NUMBERS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
)
_CONSTANTS = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
_STEPS = {
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"),
        lambda machine, number: machine.stack.append(machine.memo[number]),
    ),
    "TUPLE1": _make_tuple(1),
    "TUPLE2": _make_tuple(2),
    "TUPLE3": _make_tuple(3),
    "TUPLE": _make_sequence(tuple),
    "LIST": _make_sequence(list),
    "FROZENSET": _make_sequence(list),
    "DICT": _make_dict,
    "APPEND": _append,
    "APPENDS": _append_all,
    "ADDITEMS": _append_all,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _push_global,
    "STACK_GLOBAL": _push_global,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_keywords,
    "OBJ": _call_to_mark,
    "INST": _call_to_mark,
    "BUILD": _build,
    "PERSID": _push_persistent,
    "BINPERSID": _push_persistent,
}
