"""Reads the zip files of numpy and torch, and checks names and sizes before unpacking."""

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from byol_jax import errors
from byol_jax.encoders.foreign import tree

MAX_BYTES = 32 * 2**30
# Weights compress badly, so a file that unpacks to more than 50 times its length is an attack.
_MAX_RATIO = 50
_SMALL = 64 * 2**20  # bytes that any file may unpack to
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,  # the zip file needs a password, or its compression method is unknown
    OverflowError,
    KeyError,
)


class Archive:
    """A zip file whose names and declared sizes have been checked.

    Args:
        opened: The open zip file.
        size: The size of the zip file in bytes.

    Attributes:
        members: The entries of the zip file, by name.

    Raises:
        UserError: A name occurs twice or points outside the folder, or the declared sizes or the
            compression are not those of weights.
    """

    def __init__(self, opened: zipfile.ZipFile, size: int):
        self._opened = opened
        self.members: dict[str, zipfile.ZipInfo] = {}
        for entry in opened.infolist():
            name = entry.filename
            tree.check_name(name)
            if name in self.members:
                raise errors.UserError(f"the zip file contains {name!r} twice.")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise errors.UserError(
                    f"the zip entry {name!r} is compressed with a method that numpy and torch "
                    "never use."
                )
            self.members[name] = entry
        entries = self.members.values()
        packed = sum(entry.compress_size for entry in entries)
        unpacked = sum(entry.file_size for entry in entries)
        if packed > size or unpacked > min(MAX_BYTES, max(_SMALL, _MAX_RATIO * size)):
            raise errors.UserError(
                f"the zip file has {size:,} bytes but declares {packed:,} compressed and "
                f"{unpacked:,} uncompressed bytes, which is implausible for weights."
            )

    def read(self, name: str) -> bytes:
        """Reads the uncompressed contents of a zip entry.

        Args:
            name: The name of the entry.

        Returns:
            The uncompressed bytes, as many as the entry declares.

        Raises:
            UserError: The entry is shorter than it declares.
        """
        entry = self.members[name]
        with self._opened.open(entry) as file:
            # Without a limit, the entry could unpack to more bytes than it declares.
            data = file.read(entry.file_size)
        num_bytes = len(data)
        if num_bytes != entry.file_size:
            raise errors.UserError(
                f"the zip entry {name!r} has {num_bytes} bytes, but declares {entry.file_size}."
            )
        return data


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """A context manager that opens and checks a zip file of weights.

    Args:
        path: The zip file.

    Yields:
        The checked zip file.

    Raises:
        UserError: The zip file is damaged, or the block raises an error because it is.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            yield Archive(opened, os.path.getsize(path))
    except _ZIP_ERRORS as error:
        kind = type(error).__name__
        raise errors.UserError(
            f"the zip file is incomplete or damaged ({kind}: {error})."
        ) from error
