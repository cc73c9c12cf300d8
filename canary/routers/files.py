"""Files that a router reads: replaced as a whole, and overwritten where there is no space for a new one.

A file must never be worse than what it replaces. So a new one is written next to the old one, flushed to the disk, and
renamed over it: no reader ever sees half a file. On a full disk that cannot be done, and just then a rollback must be
written: then the old file's own blocks take the new text.
"""

import errno
import os
import tempfile
from pathlib import Path

from canary import files

_MOST_BYTES = 1024**2
"""What we write has some thousand."""


def text_of(path: Path) -> str:
    """What the file says.

    Raises:
        OSError: it cannot be read, or is no file of a router's: a pipe, a device, one without an end.
        ValueError: it is no text.
    """
    return files.read_own(path, _MOST_BYTES).decode()


def write(path: Path, text: str) -> None:
    """Replace the file in one step, durably; on a full disk overwrite it in place.

    A router reads it before it gives up root's rights, or is in the file's group.

    Raises:
        OSError: neither was possible.
    """
    try:
        files.replace(path, text.encode(), durable=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not path.exists():
            raise
        _overwrite(path, text)


def _overwrite(path: Path, text: str) -> None:
    # One write into blocks the file already has: no space is needed, and of less than a block no reader sees half. Of
    # a longer file nothing is left behind but blanks.
    descriptor = files.open_linked(path, os.O_WRONLY)
    try:
        files.require_regular(descriptor, path)
        os.write(descriptor, text.encode().ljust(os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def probe(folder: Path) -> None:
    """Create and remove a file, as a change of the weight would.

    Raises:
        OSError: that is not possible.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe."):
        pass
