"""Extracts the arrays of a pickled checkpoint to a file without pickles.

Some checkpoints are pickles, such as those of DeepMind's BYOL. Their calls are recorded and not
executed. Calls that create numpy or jax arrays become arrays. The arguments of other calls are
searched for arrays.
"""

import mmap
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from byol_jax import errors
from byol_jax.encoders.foreign import arrays, pickles, tensors, torch_file, tree
from byol_jax.system import paths

_MAX_RATIO = 4  # size of all arrays divided by the size of the file
_FIELDS = {  # fields of named tuples; a pickle contains only their values
    "_ByolExperimentState": (
        "online_params",
        "target_params",
        "online_state",
        "target_state",
        "opt_state",
    ),
}
_CONTENTS = ("_mapping", "_storage")  # the attributes with the contents of Haiku's dicts


def unpickle(source: str | Path, out: str | Path) -> None:
    """Extracts all arrays of a pickle to an .npz file, without running code from the pickle.

    The path of an array is its name, such as
    experiment_state/online_params/res_net50/~/initial_conv/w. An interrupted write leaves no
    partial file.

    Args:
        source: A pickle, or a file of torch.save.
        out: The .npz file to write.

    Raises:
        FileNotFoundError: The source does not exist.
        UserError: The source is damaged, has another format or contains no arrays, or `out` does
            not end in .npz.
        OSError: `out` cannot be written.
    """
    source = paths.local(source)
    out = paths.local(out)
    if out.suffix != ".npz":
        raise errors.UserError(f"--out={out} must end in .npz.")
    with tensors.name_file_in_errors(source):
        source_format = tensors.file_format(source)
        if source_format not in _READERS:
            raise errors.UserError(
                f"the file format is {source_format}, which contains no pickle; `import` reads "
                "such a file directly."
            )
        named = _READERS[source_format](source)
        for name in named:
            tree.check_name(name)
    _write(out, named)


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a pickle, without running code from it.

    Args:
        path: The pickle.

    Returns:
        The arrays by path; slashes separate the names of nested dicts.

    Raises:
        UserError: The pickle is damaged, too large, or contains no arrays of numpy or jax.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        root = pickles.read(view)
    named = tree.collect_arrays(
        root,
        array_of=arrays.from_pickle,
        parts_of=_parts,
        separator="/",
        max_bytes=_MAX_RATIO * os.path.getsize(path),
    )
    if not named:
        raise errors.UserError("the pickle contains no arrays of NumPy or JAX.")
    return named


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    return torch_file.read(path, check_global=pickles.allow_any)


_READERS = {"pickle": read, "torch": _read_torch}


def _parts(node: Any) -> Iterable[tuple[str, Any]]:
    """Returns those parts of a recorded function call in which arrays may occur."""
    if not isinstance(node, pickles.Call):
        return tree.plain_parts(node)
    state = node.state if isinstance(node.state, dict) else {}
    for name in _CONTENTS:
        if isinstance(state.get(name), dict):
            return [("", state[name])]
    items = [*node.pairs.items(), *((str(i), x) for i, x in enumerate(node.items))]
    if not isinstance(node.state, dict):
        state = {"state": node.state}
    return [*_arguments(node), *state.items(), *items]


def _arguments(node) -> Iterable[tuple[str, Any]]:
    """Returns a recorded call's arguments, by field name if the call creates a named tuple."""
    if len(node.arguments) == 1:  # usually the contents of a dict or of a copy
        return [("", node.arguments[0])]
    names = _field_names(node.function)
    if len(names) != len(node.arguments):
        names = tuple(str(i) for i in range(len(node.arguments)))
    return zip(names, node.arguments, strict=True)


def _field_names(function) -> tuple[str, ...]:
    """Returns the field names of a named tuple class that the pickle defines."""
    if isinstance(function, pickles.Global):
        return _FIELDS.get(function.name, ())
    if (
        pickles.function_name(function).endswith("._create_namedtuple")
        and len(function.arguments) > 1
    ):
        fields = function.arguments[1]
        if isinstance(fields, tuple | list) and all(isinstance(f, str) for f in fields):
            return tuple(fields)
    return ()


def _write(out: Path, named: Mapping[str, np.ndarray]) -> None:
    with paths.whole_file(out, "wb") as file, zipfile.ZipFile(file, "w") as zipped:
        for name, x in named.items():
            with zipped.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, x, allow_pickle=False)
