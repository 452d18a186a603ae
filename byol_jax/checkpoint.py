"""Checkpoints of the whole state, by Orbax: asynchronous, the newest few kept, whole or not there."""

import json
import os
from pathlib import Path
from typing import Self

import chex
import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_SHOWN = 5  # leaves that an error names


class Checkpoints:
    """The checkpoints of one workdir; a context manager, whose end waits for the last save.

    keep: how many of the newest; None only reads.
    """

    def __init__(self, workdir: Path, *, keep: int | None):
        self._folder = Path(workdir) / "checkpoints"
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=keep is not None)
        handler = ocp.StandardCheckpointHandler()
        self._manager = ocp.CheckpointManager(self._folder, options=options, item_handlers=handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        """Waits as `wait` does, and closes."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def wait(self) -> None:
        """Waits for the save under way; raises OSError, naming the folder, when it failed."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # tensorstore tells of a full disk as a ValueError
            raise self._not_saved(error) from error

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, None where there is none."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """The steps of all checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: chex.ArrayTree) -> None:
        """Starts saving; returns when the arrays are copied, so that they may be donated.

        Raises OSError, naming the folder, when this save or the one before cannot be written.
        """
        try:
            self._manager.save(step, args=ocp.args.StandardSave(_global(_flat(state))))
        except Exception as error:
            raise self._not_saved(error) from error

    def restore(self, template: chex.ArrayTree, *, step: int | None = None) -> chex.ArrayTree:
        """A checkpoint, in the structure, shapes and types of `template`, on the host.

        step: the newest unless given. Raises FileNotFoundError where there is none, and ValueError
        where it cannot be read or is of something else than the template.
        """
        self.wait()
        kept = self.steps()
        if not kept:
            raise FileNotFoundError(
                f"no checkpoint in {self._folder}; run `train` with this --workdir first."
            )
        if step is not None and step not in kept:
            raise FileNotFoundError(
                f"no checkpoint of step {step} in {self._folder}; there are those of "
                f"{', '.join(map(str, kept))}."
            )
        step = kept[-1] if step is None else step
        wanted = _flat(template)
        self._check(step, wanted)
        try:
            # Named anew: what is on disk remembers the devices that wrote it.
            here = {"sharding": _everywhere()}
            like = {p: jax.ShapeDtypeStruct(x.shape, x.dtype, **here) for p, x in wanted.items()}
            found = jax.device_get(self._manager.restore(step, args=ocp.args.StandardRestore(like)))
        except Exception as error:  # Orbax and tensorstore raise many kinds for broken files
            raise self._broken(step, error) from error
        return jax.tree.unflatten(jax.tree.structure(template), [found[path] for path in wanted])

    def _check(self, step, wanted):
        try:
            found = self._manager.item_metadata(step)
            kinds = {path: _kind(found[path]) for path in found}
        except Exception as error:
            raise self._broken(step, error) from error
        differences = [f"{path} is missing" for path in wanted if path not in kinds]
        differences += [f"{path} is not in this experiment" for path in kinds if path not in wanted]
        differences += [
            f"{path} is {kinds[path]}, wanted {_kind(x)}"
            for path, x in wanted.items()
            if path in kinds and kinds[path] != _kind(x)
        ]
        if differences:
            more = f", and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
            raise ValueError(
                f"the checkpoint of step {step} in {self._folder} is of another network or "
                f"method: {'; '.join(differences[:_SHOWN])}{more}. Give the config that made it, "
                "or another --workdir."
            )

    def _broken(self, step, error):
        return ValueError(
            f"the checkpoint of step {step} in {self._folder} cannot be read ({_cause(error)}); remove "
            f"{self._folder / str(step)} to go on from the one before."
        )

    def _not_saved(self, error):
        return OSError(
            f"cannot save a checkpoint in {self._folder} ({_cause(error)}); see that there is room to "
            "write and start again: training resumes from the newest whole checkpoint."
        )


def _cause(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def _flat(state):
    """{path: leaf}, so that what is on disk does not depend on the classes of the state."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _kind(array):
    return f"{jnp.dtype(array.dtype).name} {list(array.shape)}"


def _everywhere():
    return NamedSharding(Mesh(jax.devices(), "devices"), PartitionSpec())


def _global(flat):
    """With several processes, the same arrays over the mesh of all devices, as Orbax wants them."""
    if jax.process_count() == 1:
        return flat
    return {
        path: jax.make_array_from_process_local_data(_everywhere(), jax.device_get(x))
        for path, x in flat.items()
    }


def check_same_experiment(
    workdir: Path, config: dict, *, free: tuple[str, ...], keeps: bool = True
) -> None:
    """Keeps the config in workdir/config.json, and holds later starts there to it.

    free: dotted names, of fields or sections, that may change. keeps: False only compares. Raises
    ValueError naming what changed beside them.
    """
    file = Path(workdir) / "config.json"
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    if file.exists():
        before = _fields(json.loads(file.read_text(encoding="utf-8")))
        now = _fields(json.loads(text))
        changed = [
            f"{name} was {before.get(name, 'absent')!r} and is {now.get(name, 'absent')!r}"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
            and not any(name == f or name.startswith(f"{f}.") for f in free)
        ]
        if changed:
            raise ValueError(
                f"{workdir} holds another experiment's checkpoint: {'; '.join(changed)}. Give "
                "another --workdir, or change these back."
            )
    if not keeps:
        return
    scratch = file.with_suffix(".json.partial")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, file)


def _fields(tree, prefix=""):
    if not isinstance(tree, dict) or not tree:
        return {prefix.rstrip("."): tree}
    return {k: v for name, sub in tree.items() for k, v in _fields(sub, f"{prefix}{name}.").items()}
