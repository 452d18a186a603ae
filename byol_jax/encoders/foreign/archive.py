"""Zip files, as numpy and torch write them; what they say of themselves is checked first."""

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from byol_jax import errors
from byol_jax.encoders.foreign import tree

MOST_BYTES = 32 * 2**30
_SMALL, _DENSEST = 64 * 2**20, 50  # weights are dense: a file cannot unpack to 50 times its length
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,  # a password, or a way to compress that is not known
    OverflowError,
    KeyError,
)


class Archive:
    """members: {name: its entry}.  read(name): the bytes, all that the entry promises."""

    def __init__(self, opened: zipfile.ZipFile, size: int):
        """Raises ValueError for names that lead out, are twice, or promise more than can be."""
        self._opened, self.members = opened, {}
        for entry in opened.infolist():
            tree.check_name(entry.filename)
            if entry.filename in self.members:
                raise errors.UserError(f"it has {entry.filename!r} twice.")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise errors.UserError(
                    f"it has {entry.filename!r} compressed as numpy and torch never do."
                )
            self.members[entry.filename] = entry
        entries = self.members.values()
        packed = sum(entry.compress_size for entry in entries)
        promised = sum(entry.file_size for entry in entries)
        if packed > size or promised > min(MOST_BYTES, max(_SMALL, _DENSEST * size)):
            raise errors.UserError(
                f"it promises {promised:,} bytes of {packed:,}, and has {size:,}: no weights do."
            )

    def read(self, name: str) -> bytes:
        entry = self.members[name]
        with self._opened.open(entry) as file:
            found = file.read(entry.file_size)  # without a size it could unpack to any
        if len(found) != entry.file_size:
            raise errors.UserError(
                f"{name!r} has {len(found)} bytes and promises {entry.file_size}."
            )
        return found


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The archive of a file; whatever is broken about it is a ValueError that names the file."""
    try:
        with zipfile.ZipFile(path) as found:
            yield Archive(found, os.path.getsize(path))
    except _BROKEN as error:
        raise errors.UserError(
            f"it is no whole zip file ({type(error).__name__}: {error})."
        ) from error
