"""Checkpoints of the train state, saved by Orbax.

Saving is asynchronous, only the newest checkpoints are kept, and an interrupted save leaves no
checkpoint. Each checkpoint contains a checksum of every array, so that restoring detects a changed
bit.
"""

import contextlib
import os
import shutil
import zlib
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from byol_jax import errors, workdir
from byol_jax.system import devices, paths

LAYOUT = 2  # version of the format on disk; version 1 had no checksums
_CHECKSUMS = "checksums"
_SHOWN = 5  # differences that an error lists

Tree = TypeVar("Tree")


class Damaged(errors.UserError):
    """A checkpoint cannot be read, or has changed since it was saved."""


class _Manager(ocp.CheckpointManager):
    """Orbax's checkpoint manager with its preemption check turned off.

    The training loop asks JAX for such a request, with a counter that starts at 1. Orbax would ask
    with the number of the training step, and JAX supports only one counter.
    """

    def reached_preemption(self, step: int) -> bool:
        """Always returns False: the training loop, not Orbax, handles requests to stop.

        Args:
            step: Ignored.

        Returns:
            False.
        """
        return False


class Checkpoints:
    """The checkpoints of a run, in its working directory.

    Use it as a context manager; leaving it waits for the last save.

    Args:
        folder: The working directory.
        keep: Number of newest checkpoints to keep; None opens the checkpoints read-only.
    """

    def __init__(self, folder: Path, *, keep: int | None):
        self._folder = Path(folder) / workdir.CHECKPOINTS
        self._keep = keep
        self._open()
        self._check_layout()

    def _open(self) -> None:
        writes = self._keep is not None
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, create=writes, cleanup_tmp_directories=writes
        )
        handler = ocp.StandardCheckpointHandler()
        self._manager = _Manager(self._folder, options=options, item_handlers=handler)

    def _check_layout(self) -> None:
        file = self._folder / "layout"
        layout = file.read_text(encoding="utf-8").strip() if file.exists() else "1"
        if self.steps() and layout != str(LAYOUT):
            raise errors.UserError(
                f"{self._folder} contains checkpoints of layout {layout}, but this version of "
                f"byol_jax reads layout {LAYOUT}. Use the version that wrote them, or another "
                "--workdir."
            )
        # Never rewrite the file once checkpoints exist: another process may be reading it, and a
        # kill in the middle would leave checkpoints without a layout.
        if self._keep is not None and jax.process_index() == 0 and not self.steps():
            paths.write_whole(file, f"{LAYOUT}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        """Waits for the save in progress, as `wait` does, and closes the checkpoint manager."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def wait(self) -> None:
        """Waits for the save in progress.

        Raises:
            OSError: If the save failed. The next save may still succeed.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # tensorstore raises a ValueError if the disk is full
            raise self._save_error(error) from error

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, or None if there are none."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """Returns the steps of all checkpoints in ascending order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Any) -> None:
        """Starts saving a train state in the background.

        Returns after copying the arrays, so that the caller may donate them.

        Args:
            step: Number of training steps of the state.
            state: A pytree of arrays.

        Raises:
            OSError: If this save, or the previous one, fails.
        """
        arrays = jax.device_get(flat(state))
        arrays[_CHECKSUMS] = _checksums(arrays)
        try:
            self._manager.save(step, args=ocp.args.StandardSave(_replicate(arrays)), force=True)
        except Exception as error:
            raise self._save_error(error) from error

    def restore(self, template: Tree, *, step: int | None = None) -> Tree:
        """Restores a saved state into host memory.

        Args:
            template: A pytree with the structure, shapes and dtypes of the saved state.
            step: Step of the checkpoint; None restores the newest one.

        Returns:
            The saved state, with the structure of `template`.

        Raises:
            FileNotFoundError: If there is no such checkpoint.
            UserError: If the checkpoint does not fit the template.
            Damaged: If the checkpoint cannot be read, or has changed since it was saved.
        """
        # A save in progress may be that of the newest checkpoint.
        self.wait()
        step = self._find_step(step)
        expected = flat(template)
        expected[_CHECKSUMS] = np.zeros(len(expected), np.uint32)
        # Compare shapes before reading the arrays, so that a checkpoint of another network is not
        # reported as damaged.
        self._check_fits(step, expected)
        try:
            # Give the sharding explicitly, since the checkpoint records that of the devices that
            # wrote it.
            sharding = devices.replicated(jax.devices())
            shapes = {
                path: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
                for path, x in expected.items()
            }
            saved = self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
            arrays = jax.device_get(saved)
        except Exception as error:  # broken files raise many kinds of exceptions
            raise self._damage_error(step, error) from error
        # Compare checksums last; they were computed in the order of the sorted paths.
        checksums = arrays.pop(_CHECKSUMS)
        for path, old, new in zip(sorted(arrays), checksums, _checksums(arrays), strict=True):
            if old != new:
                raise self._damage_error(step, f"{path} has changed since it was saved")
        leaves = [arrays[path] for path in expected if path != _CHECKSUMS]
        return jax.tree.unflatten(jax.tree.structure(template), leaves)

    def _find_step(self, step: int | None) -> int:
        """Returns `step` if it is not None, else the step of the newest checkpoint."""
        steps = self.steps()
        if not steps:
            raise FileNotFoundError(
                f"{self._folder} has no checkpoint; run `train` with this --workdir first."
            )
        if step is None:
            return steps[-1]
        if step not in steps:
            names = ", ".join(map(str, steps))
            raise FileNotFoundError(
                f"{self._folder} has no checkpoint for step {step}; it has checkpoints for steps "
                f"{names}."
            )
        return step

    def restore_whole(self, template: Tree) -> tuple[Tree, list[str]]:
        """Restores the newest checkpoint that is not damaged.

        Newer, damaged checkpoints are moved to the folder `damaged` of the working directory.

        Args:
            template: A pytree with the structure, shapes and dtypes of the saved state.

        Returns:
            The saved state on the host, and one warning per damaged checkpoint.

        Raises:
            FileNotFoundError: If there is no checkpoint.
            UserError: If the checkpoint does not fit the template.
            Damaged: If all checkpoints are damaged; the oldest stays where it is.
        """
        warnings = []
        while True:
            step = self.latest_step()
            try:
                return self.restore(template), warnings
            except Damaged as error:
                if step is None or len(self.steps()) == 1:
                    raise
                folder = self._set_aside(step)
                warnings.append(f"{error} It was moved to {folder}.")

    def _set_aside(self, step: int) -> Path:
        """Moves a checkpoint to the folder of damaged ones and returns its new path."""
        target = self._folder.parent / workdir.DAMAGED / str(step)
        # No process may still have the checkpoint open when the first one moves it, and none may
        # open the checkpoints again before it has.
        self._manager.close()
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"damaged {step}")
        if jax.process_index() == 0:
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(self._folder / str(step), target)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"set aside {step}")
        self._open()
        return target

    def _check_fits(self, step: int, expected: dict[str, Any]) -> None:
        """Checks the paths, shapes and dtypes of a checkpoint; raises UserError or Damaged."""
        try:
            metadata = self._manager.item_metadata(step)
            kinds = {path: _kind(metadata[path]) for path in metadata}
        except Exception as error:
            raise self._damage_error(step, error) from error
        differences = [f"{path} is missing" for path in expected if path not in kinds]
        differences += [
            f"{path} is not part of this experiment" for path in kinds if path not in expected
        ]
        differences += [
            f"{path} is {kinds[path]}, expected {_kind(x)}"
            for path, x in expected.items()
            if path in kinds and kinds[path] != _kind(x) and path != _CHECKSUMS
        ]
        if differences:
            listed = "; ".join(differences[:_SHOWN])
            if len(differences) > _SHOWN:
                listed += f", and {len(differences) - _SHOWN} more"
            raise errors.UserError(
                f"the checkpoint of step {step} in {self._folder} does not fit this network or "
                f"method: {listed}. Use the config that made it, or another --workdir."
            )

    def _damage_error(self, step: int, cause: Exception | str) -> Damaged:
        reason = _first_line(cause)
        return Damaged(f"the checkpoint of step {step} in {self._folder} is damaged ({reason}).")

    def _save_error(self, cause: Exception) -> OSError:
        """Makes the manager usable again after a failed save and returns the error to raise."""
        with contextlib.suppress(Exception):  # closing reports the same failure again
            self._manager.close()
        self._open()  # removes the incomplete checkpoint
        reason = _first_line(cause)
        return OSError(
            f"cannot save a checkpoint in {self._folder} ({reason}); check the free space and the "
            "permissions. Earlier checkpoints are intact."
        )


def _first_line(cause: Exception | str) -> str:
    return (str(cause).splitlines() or [type(cause).__name__])[0]


def flat(state: Any) -> dict[str, Any]:
    """Flattens a pytree into a dict from paths to leaves.

    In this form, checkpoints do not depend on the Python classes of the state.

    Args:
        state: A pytree.

    Returns:
        The leaves by path, such as "params/encoder/kernel".
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _kind(array: Any) -> str:
    return f"{jnp.dtype(array.dtype).name} {list(array.shape)}"


def _checksums(arrays: dict[str, Any]) -> np.ndarray:
    """Returns the CRC-32 checksum of each array, uint32 [arrays], sorted by path."""
    parts = (np.ascontiguousarray(arrays[p]).reshape(-1).view(np.uint8) for p in sorted(arrays))
    return np.array([zlib.crc32(part.data) for part in parts], np.uint32)


def _replicate(arrays: dict[str, Any]) -> dict[str, Any]:
    """Replicates the arrays across the devices of all processes, as Orbax requires."""
    if jax.process_count() == 1:
        return arrays
    return {
        path: jax.make_array_from_process_local_data(
            devices.replicated(jax.devices()), jax.device_get(x)
        )
        for path, x in arrays.items()
    }
