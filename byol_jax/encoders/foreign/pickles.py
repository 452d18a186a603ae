"""A pickle read as data: nothing that it names is imported, nothing that it calls is called.

pickle's own machine does what a file says, and so do subclasses of it wherever they allow a name.
This one has no way to: where a file calls, it keeps what would have been called, with what. What it
builds is lists, dicts by text, text, numbers and bytes, and no more of them than the file is long.
The instructions are those of Python's pickletools, which documents them.
"""

import dataclasses
import pickletools
import struct
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

from byol_jax import errors

MOST_STEPS = 5_000_000  # a ResNet-200 with its optimizer has a quarter of a million


@dataclasses.dataclass(frozen=True)
class Global:
    """A name that the pickle gives: os.system, or numpy.dtype."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(eq=False, repr=False)
class Made:
    """What a call would have made: what is called, with what, and what is put into it after."""

    function: Any
    arguments: tuple
    state: Any = None
    items: list = dataclasses.field(default_factory=list)
    pairs: dict = dataclasses.field(default_factory=dict)


def called(node: Any) -> str:
    """The name that a call calls, where it calls one by its name; "" for all else."""
    is_named = isinstance(node, Made) and isinstance(node.function, Global)
    return str(node.function) if is_named else ""


def anything(name: Global) -> None:
    """Allows a pickle every name; it does nothing by it."""


def nothing_outside(identity: Any) -> Any:
    """For pickles that are whole: what lies outside of them is None."""


def read(
    file: BinaryIO,
    *,
    allow: Callable[[Global], None] = anything,
    outside: Callable[[Any], Any] = nothing_outside,
) -> Any:
    """The object of one pickle in an open file, in which it reads no further.

    file: its `read` gives no more than there is, and allots no more: io.BytesIO or mmap.
    allow: raises for names that may not be there.  outside: makes of a persistent id an object.

    Raises ValueError where this is no whole pickle, or one of more than MOST_STEPS instructions.
    """
    machine = _Machine(allow, outside)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of escapes in text, which Python will not have some day
            for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
                if step >= MOST_STEPS:
                    raise errors.UserError(
                        f"a pickle of more than {MOST_STEPS:,} instructions is too long."
                    )
                machine.step(opcode.name, argument)
        return machine.stack[-1]
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise errors.UserError(
            f"this is no whole pickle ({type(error).__name__}: {error})."
        ) from error


class _Machine:
    """The stack of a pickle, what it remembers by number, and the stacks below its marks."""

    def __init__(self, allow, outside):
        self.stack, self.memo, self.below = [], {}, []
        self.allow, self.outside = allow, outside

    def step(self, name: str, argument: Any) -> None:
        if name in _TEXTS_AND_NUMBERS:
            self.stack.append(argument)
        elif name in _FRESH:
            self.stack.append(_FRESH[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise errors.UserError(f"the pickle has the instruction {name}, which no weights need.")

    def since_mark(self) -> list:
        found, self.stack = self.stack, self.below.pop()
        return found


def _mark(machine, _):
    machine.below.append(machine.stack)
    machine.stack = []


def _pop(machine, _):
    if machine.stack:
        machine.stack.pop()
    else:
        machine.since_mark()


def _put(machine, number):
    machine.memo[len(machine.memo) if number is None else number] = machine.stack[-1]


def _tuple_of(count):
    def make(machine, _):
        items = tuple(machine.stack[-count:])
        if len(items) < count:
            raise errors.UserError("the pickle takes more than it has.")
        machine.stack[-count:] = [items]

    return make


def _all_of(kind):
    def make(machine, _):
        items = kind(machine.since_mark())
        machine.stack.append(items)

    return make


def _dict(machine, _):
    items = machine.since_mark()
    machine.stack.append({})
    _put_pairs(machine.stack[-1], items)


def _append(machine, _):
    item = machine.stack.pop()
    _items_of(machine.stack[-1]).append(item)


def _appends(machine, _):
    items = machine.since_mark()
    _items_of(machine.stack[-1]).extend(items)


def _set_item(machine, _):
    value, key = machine.stack.pop(), machine.stack.pop()
    _put_pairs(machine.stack[-1], [key, value])


def _set_items(machine, _):
    items = machine.since_mark()
    _put_pairs(machine.stack[-1], items)


def _global(machine, argument):
    if argument is None:
        name, module = machine.stack.pop(), machine.stack.pop()
    else:
        module, _, name = argument.partition(" ")
    if not (isinstance(module, str) and isinstance(name, str)):
        raise TypeError("a name that is no text")
    found = Global(module, name)
    machine.allow(found)
    machine.stack.append(found)


def _call(machine, _):
    arguments, function = machine.stack.pop(), machine.stack.pop()
    if not isinstance(arguments, tuple):
        raise TypeError("a call with what is no tuple")
    machine.stack.append(Made(function, arguments))


def _call_with_keywords(machine, _):
    keywords = machine.stack.pop()
    _call(machine, _)
    machine.stack[-1].state = keywords


def _call_since_mark(machine, argument):
    function, *arguments = machine.since_mark() if argument is None else [None]
    if argument is not None:
        arguments = machine.since_mark()
        _global(machine, argument)
        function = machine.stack.pop()
    machine.stack.append(Made(function, tuple(arguments)))


def _build(machine, _):
    state = machine.stack.pop()
    if isinstance(machine.stack[-1], Made):
        machine.stack[-1].state = state


def _outside(machine, argument):
    identity = machine.stack.pop() if argument is None else argument
    machine.stack.append(machine.outside(identity))


def _items_of(target):
    return target.items if isinstance(target, Made) else _the(list, target)


def _put_pairs(target, items):
    target = target.pairs if isinstance(target, Made) else _the(dict, target)
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_text(key, len(target))] = value


def _the(kind, target):
    if not isinstance(target, kind):
        raise TypeError(f"something put into what is no {kind.__name__}")
    return target


def _text(key, place) -> str:
    """Keys are text, as hashing what a pickle nests can take for ever."""
    if isinstance(key, bytes):
        return key.decode("latin1")
    return str(key) if isinstance(key, str | int | float) else f"#{place}"


_TEXTS_AND_NUMBERS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
)
_FRESH = {
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
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"),
        lambda machine, number: machine.stack.append(machine.memo[number]),
    ),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _all_of(tuple),
    "LIST": _all_of(list),
    "FROZENSET": _all_of(list),
    "DICT": _dict,
    "APPEND": _append,
    "APPENDS": _appends,
    "ADDITEMS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "STACK_GLOBAL": _global,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_keywords,
    "OBJ": _call_since_mark,
    "INST": _call_since_mark,
    "BUILD": _build,
    "PERSID": _outside,
    "BINPERSID": _outside,
}
