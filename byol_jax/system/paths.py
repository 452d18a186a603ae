"""Where a path leads, and files that are written whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def local(path: str | Path) -> Path:
    """The path in the local file system, "~" expanded."""
    return Path(path).expanduser()


@contextlib.contextmanager
def whole_file(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Opens a scratch file beside `path`, and renames it to `path` where the block ends well.

    A reader sees the old contents or the new, never a part. Makes the folder where there is none.

    Args:
        path: the file to write.
        mode: "w" for text in UTF-8, "wb" for bytes.

    Raises:
        OSError: naming `path`, where it cannot be written, a full disk included.
    """
    path = local(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "replace", "newline": "\n"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open(mode, **text) as file:
            yield file
        os.replace(scratch, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"cannot write {path} ({reason}); see that there is room to write."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it is renamed, or its folder could not be made
            scratch.unlink()


def write_whole(path: str | Path, contents: str | bytes) -> None:
    """Writes a file, whole or not at all; see whole_file."""
    with whole_file(path, "wb" if isinstance(contents, bytes | bytearray) else "w") as file:
        file.write(contents)
