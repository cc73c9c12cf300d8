"""Files of ours in folders where others may write too: read with bounds, replaced in one step.

A name that others know is a place where they can put something else: a link to a file of somebody's, a pipe that
nobody ever writes into, a device without an end. Opened without care, the first is overwritten with our rights, the
second stops whoever reads it, and the third fills the memory. So what is read must be a regular file of bounded size
(a link to one is followed: administrators make them), and what is written gets a name that nobody can know beforehand,
and is renamed over the old one, or over what was put there.
"""

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import IO

MODE = 0o640
"""What we write is for the service and its group."""


def read(path: Path, most_bytes: int) -> bytes:
    """What a file holds.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is none that can be read: no regular file, or one of more than *most_bytes*.
    """
    with open_regular(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"expected at most {most_bytes} bytes, found more", str(path))
    return data


def open_regular(path: Path) -> IO[bytes]:
    """A file to read from that has an end.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        require_regular(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def replace(path: Path, data: bytes, *, mode: int = MODE, durable: bool = False) -> None:
    """Put a new file in the place of what is there; a reader finds the old one or the new one.

    Args:
        durable: whether a power cut leaves the new one.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def open_own(path: Path, flags: int, mode: int = MODE) -> int:
    """Open or create a file whose name is known and that nobody but us has a use for; gives its descriptor.

    What somebody else has put in its place (a link, a second name of another file, a pipe) is removed and not written
    into.

    Args:
        flags: as `os.open` takes them.

    Raises:
        OSError: that is not possible.
    """
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):  # a link; a pipe without a reader
            raise
    else:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return descriptor
        os.close(descriptor)
    path.unlink()
    return os.open(path, flags | os.O_EXCL, mode)


def require_regular(descriptor: int, path: Path) -> None:
    """Refuse what is no regular file.

    Raises:
        OSError: it is a folder, a pipe, a device.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "expected a regular file, found something else", str(path))
