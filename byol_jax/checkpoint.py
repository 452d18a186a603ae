"""Checkpoints of the whole state, by Orbax: asynchronous, the newest few kept, whole or not there.

Beside the arrays of a state there are their checksums, so that none comes back with a bit changed.
"""

import contextlib
import os
import shutil
import zlib
from pathlib import Path
from typing import Self

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from byol_jax import errors, workdir
from byol_jax.system import devices, paths

LAYOUT = 2  # of what is on disk; 1 had no checksums
_SUMS = "checksums"
_SHOWN = 5  # leaves that an error names


class Damaged(errors.UserError):
    """A checkpoint cannot be read, or not as it was written."""


class _Manager(ocp.CheckpointManager):
    """Orbax's, but it does not ask JAX whether to stop: the loop does, by a count of its own.

    JAX takes the last count that it was asked by, and Orbax's is the step.
    """

    def reached_preemption(self, step: int) -> bool:
        """It is not for a save to know."""
        return False


class Checkpoints:
    """The checkpoints of one workdir; a context manager, whose end waits for the last save.

    keep: how many of the newest; None only reads.
    """

    def __init__(self, folder: Path, *, keep: int | None):
        self._folder = Path(folder) / workdir.CHECKPOINTS
        self._keep = keep
        self._open()
        self._check_layout()

    def _open(self):
        writes = self._keep is not None
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, create=writes, cleanup_tmp_directories=writes
        )
        handler = ocp.StandardCheckpointHandler()
        self._manager = _Manager(self._folder, options=options, item_handlers=handler)

    def _check_layout(self):
        note = self._folder / "layout"
        found = note.read_text(encoding="utf-8").strip() if note.exists() else "1"
        if self.steps() and found != str(LAYOUT):
            raise errors.UserError(
                f"{self._folder} has checkpoints of layout {found}, and this byol_jax reads layout "
                f"{LAYOUT}; go on with the version that wrote them, or give another --workdir."
            )
        if self._keep is not None and jax.process_index() == 0 and not self.steps():
            paths.write_whole(note, f"{LAYOUT}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        """Waits as `wait` does, and closes."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def wait(self) -> None:
        """Waits for the save under way; raises OSError, naming the folder, when it failed.

        After that the next save may do better.
        """
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
        arrays = jax.device_get(flat(state))
        arrays[_SUMS] = _checksums(arrays)
        try:
            self._manager.save(step, args=ocp.args.StandardSave(_global(arrays)), force=True)
        except Exception as error:
            raise self._not_saved(error) from error

    def restore(self, template: chex.ArrayTree, *, step: int | None = None) -> chex.ArrayTree:
        """A checkpoint, in the structure, shapes and types of `template`, on the host.

        step: the newest unless given. Raises FileNotFoundError where there is none, ValueError
        where it is of something else than the template, and Damaged where it is not as it was.
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
        wanted = flat(template)
        wanted[_SUMS] = np.zeros(len(wanted), np.uint32)
        self._check(step, wanted)
        try:
            # Named anew: what is on disk remembers the devices that wrote it.
            here = {"sharding": devices.replicated(jax.devices())}
            like = {p: jax.ShapeDtypeStruct(x.shape, x.dtype, **here) for p, x in wanted.items()}
            found = jax.device_get(self._manager.restore(step, args=ocp.args.StandardRestore(like)))
        except Exception as error:  # Orbax and tensorstore raise many kinds for broken files
            raise self._broken(step, error) from error
        sums = found.pop(_SUMS)
        for path, want, got in zip(sorted(found), sums, _checksums(found), strict=True):
            if want != got:
                raise self._broken(step, f"{path} has changed since it was written")
        leaves = [found[path] for path in wanted if path != _SUMS]
        return jax.tree.unflatten(jax.tree.structure(template), leaves)

    def restore_whole(self, template: chex.ArrayTree) -> tuple[chex.ArrayTree, list[str]]:
        """The newest checkpoint that is whole, and what to tell of those that are not.

        They are set aside, into the folder `damaged` of the workdir. Raises as `restore` does, and
        Damaged where none is whole.
        """
        warnings = []
        while True:
            step = self.latest_step()
            try:
                return self.restore(template), warnings
            except Damaged as error:
                if len(self.steps()) == 1:
                    raise
                warnings.append(f"{error} It is set aside in {self._set_aside(step)}.")

    def _set_aside(self, step) -> Path:
        place = self._folder.parent / workdir.DAMAGED / str(step)
        self._manager.close()
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"damaged {step}")
        if jax.process_index() == 0:
            place.parent.mkdir(exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(self._folder / str(step), place)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"set aside {step}")
        self._open()
        return place

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
            if path in kinds and kinds[path] != _kind(x) and path != _SUMS
        ]
        if differences:
            more = f", and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
            raise errors.UserError(
                f"the checkpoint of step {step} in {self._folder} is of another network or "
                f"method: {'; '.join(differences[:_SHOWN])}{more}. Give the config that made it, "
                "or another --workdir."
            )

    def _broken(self, step, error):
        return Damaged(
            f"the checkpoint of step {step} in {self._folder} is damaged ({_cause(error)})."
        )

    def _not_saved(self, error):
        with contextlib.suppress(Exception):  # it tells of the same failure again
            self._manager.close()
        self._open()  # what is half written is removed, and the next save starts anew
        return OSError(
            f"cannot save a checkpoint in {self._folder} ({_cause(error)}); see that there is room "
            "to write. Those before it are in place."
        )


def _cause(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def flat(state: chex.ArrayTree) -> dict[str, chex.Array]:
    """{path: leaf}, so that what is on disk does not depend on the classes of the state."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _kind(array):
    return f"{jnp.dtype(array.dtype).name} {list(array.shape)}"


def _checksums(flat) -> np.ndarray:
    """CRC-32 of every leaf, in the order of their paths: uint32 [leaves]."""
    parts = (np.ascontiguousarray(flat[path]).reshape(-1).view(np.uint8) for path in sorted(flat))
    return np.array([zlib.crc32(part) for part in parts], np.uint32)


def _global(flat):
    """With several processes, the same arrays over the mesh of all devices, as Orbax wants them."""
    if jax.process_count() == 1:
        return flat
    return {
        path: jax.make_array_from_process_local_data(
            devices.replicated(jax.devices()), jax.device_get(x)
        )
        for path, x in flat.items()
    }
