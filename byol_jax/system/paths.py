"""Local paths, and atomic writes: a file has its old or its new contents, never a part of them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def local(path: str | Path) -> Path:
    """Expands a leading "~" in a path to the user's home folder.

    Args:
        path: Path in the local file system.

    Returns:
        The expanded path.
    """
    return Path(path).expanduser()


@contextlib.contextmanager
def whole_file(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file, and renames it to a path if the `with` block succeeds.

    A reader of the path sees either the old contents or all of the new contents. If the block
    fails, the old file remains. Missing parent folders are created.

    Args:
        path: File to write. The temporary file is in the same folder.
        mode: "w" for text in UTF-8, "wb" for bytes.

    Yields:
        The open temporary file.

    Raises:
        OSError: The file cannot be written, for example because the disk is full. The message names
            `path`.
    """
    path = local(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    is_text = "b" not in mode
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open(
            mode,
            encoding="utf-8" if is_text else None,
            errors="replace" if is_text else None,
            newline="\n" if is_text else None,
        ) as file:
            yield file
        os.replace(scratch, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"cannot write {path}: {reason}; check the folder, its permissions and the free disk "
            "space."
        ) from error
    finally:
        # The temporary file is missing after the rename, or if its folder cannot be created.
        with contextlib.suppress(OSError):
            scratch.unlink()


def write_whole(path: str | Path, contents: str | bytes | bytearray) -> None:
    """Writes a file atomically; if the write fails, an existing file remains unchanged.

    Args:
        path: File to write. Missing parent folders are created.
        contents: All of the file's contents; text is encoded as UTF-8.

    Raises:
        OSError: The file cannot be written. The message names `path`.
    """
    with whole_file(path, "wb" if isinstance(contents, bytes | bytearray) else "w") as file:
        file.write(contents)
