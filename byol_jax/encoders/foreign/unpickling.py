"""The arrays of a pickled checkpoint, as a file that needs no pickle: a step of its own.

DeepMind's BYOL, for one, is published as a pickle. The names in it stay words, and its calls are
looked at, not made: those that would have made arrays of numpy or jax are understood, and all
others are only gone through for the arrays in what they were given.
"""

import mmap
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from byol_jax import errors
from byol_jax.encoders.foreign import arrays, pickles, tensors, torch_file, tree
from byol_jax.system import paths

_SLACK = 4
_FIELDS = {  # of named tuples, which pickle their values alone
    "_ByolExperimentState": (
        "online_params",
        "target_params",
        "online_state",
        "target_state",
        "opt_state",
    ),
}
_CONTENTS = ("_mapping", "_storage")  # where Haiku's dicts keep what they hold


def unpickle(source: str | Path, out: str | Path) -> None:
    """Writes all arrays of a pickle, or of a file of torch.save's, to the .npz `out`.

    Each is named by its path: experiment_state/online_params/res_net50/~/initial_conv/w. The file
    is written whole or not at all, and nothing in the source is run.

    Raises FileNotFoundError where there is no source; ValueError where it is no such file, is not
    whole, or has no arrays; OSError where `out` cannot be written.
    """
    source, out = paths.local(source), paths.local(out)
    if out.suffix != ".npz":
        raise errors.UserError(f"the arrays go into a file that ends in .npz, and {out} does not.")
    with tensors.reading(source):
        kind = tensors.kind(source)
        if kind not in _READERS:
            raise errors.UserError(
                f"it is {kind}, which holds no pickle; `import` reads it as it is."
            )
        found = _READERS[kind](source)
        for name in found:
            tree.check_name(name)
    _write(out, found)


def read(path: Path) -> dict[str, np.ndarray]:
    """{path: array} of a pickle; raises ValueError as unpickle does."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        root = pickles.read(view)
    found = tree.arrays(
        root,
        array_of=arrays.of_pickle,
        parts_of=_parts,
        separator="/",
        most_bytes=_SLACK * os.path.getsize(path),
    )
    if not found:
        raise errors.UserError("there are no arrays of numpy or jax in this pickle.")
    return found


_READERS = {
    "pickle": read,
    "torch": lambda path: torch_file.read(path, allow=pickles.anything),
}


def _parts(node: Any) -> Iterable[tuple[str, Any]]:
    """What may hold arrays: all that a call was given, and all that was put into what it made."""
    if not isinstance(node, pickles.Made):
        return tree.plain_parts(node)
    state = node.state if isinstance(node.state, dict) else {}
    for name in _CONTENTS:
        if isinstance(state.get(name), dict):
            return [("", state[name])]
    put = [*node.pairs.items(), *((str(i), x) for i, x in enumerate(node.items))]
    if not isinstance(node.state, dict):
        state = {"state": node.state}
    return [*_arguments(node), *state.items(), *put]


def _arguments(node) -> Iterable[tuple[str, Any]]:
    """By the names of a tuple's fields; a single one is what a dict or a copy is made of."""
    if len(node.arguments) == 1:
        return [("", node.arguments[0])]
    names = _fields(node.function)
    names = names if len(names) == len(node.arguments) else map(str, range(len(node.arguments)))
    return zip(names, node.arguments, strict=True)


def _fields(function) -> tuple[str, ...]:
    """Those of a known class, or of one that dill makes anew, which it calls with their names."""
    if isinstance(function, pickles.Global):
        return _FIELDS.get(function.name, ())
    if pickles.called(function).endswith("._create_namedtuple") and len(function.arguments) > 1:
        fields = function.arguments[1]
        if isinstance(fields, tuple | list) and all(isinstance(f, str) for f in fields):
            return tuple(fields)
    return ()


def _write(out: Path, found: dict[str, np.ndarray]) -> None:
    with paths.whole_file(out, "wb") as file, zipfile.ZipFile(file, "w") as zipped:
        for name, x in found.items():
            with zipped.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, x, allow_pickle=False)
