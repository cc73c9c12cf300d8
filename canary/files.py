"""Files of ours in folders where others may write too: read with bounds, replaced in one step.

A name that others know is a place where they can put something else: a link to a file of somebody's, a pipe that
nobody ever writes into, a device without an end. Opened without care, the first is overwritten with our rights, the
second stops whoever reads it, and the third fills the memory. So what is read must be a regular file of bounded size,
and what is written gets a name that nobody can know beforehand, and is renamed over the old one, or over what was put
there.

Links are made by administrators too. One to a file that the policy names for us to read is followed. In a folder of
ours a link counts when root made it, or this user: followed for anybody, it would have the page show a secret as a
report. Whose it is and where it leads is asked of the link that was opened, so that no other one is followed.
"""

import contextlib
import errno
import os
import re
import stat
import tempfile
import time
from io import BufferedReader
from pathlib import Path
from typing import IO

MODE = 0o640
"""What we write is for the service and its group."""
_MOST_LINKS = 8
"""One after the other; more lead in a circle."""
_LEFT_SECONDS = 600.0
"""A file that is being written is not left alone for so long, on the slowest disk that anybody waits for."""


def read(path: Path, most_bytes: int) -> bytes:
    """What a file holds.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is none that can be read: no regular file, or one of more than *most_bytes*.
    """
    with open_regular(path) as file:
        return _bounded(file, path, most_bytes)


def read_own(path: Path, most_bytes: int) -> bytes:
    """What a file of ours holds.

    Raises:
        FileNotFoundError: there is none.
        OSError: as `read`, or it is a link that another user made.
    """
    descriptor = open_linked(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        require_regular(descriptor, path)
        return _bounded(file, path, most_bytes)


def _bounded(file: IO[bytes], path: Path, most_bytes: int) -> bytes:
    data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"expected at most {most_bytes} bytes, found more", str(path))
    return data


def open_regular(path: Path) -> BufferedReader:
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

    Who is killed meanwhile leaves a file next to it, which the next one takes away.

    Args:
        durable: whether a power cut leaves the new one.

    Raises:
        OSError: it cannot be written; the old one is as it was.
    """
    _take_away_left(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_half(path))
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


def _half(path: Path) -> str:
    """How the names of half-written files begin: as no person names a copy."""
    return f".{path.name}.half-"


def _take_away_left(path: Path) -> None:
    """Remove what those who were killed while they replaced a file have left of it: it fills small disks."""
    ours = re.compile(rf"{re.escape(_half(path))}[a-z0-9_]{{8}}")  # as `tempfile` makes names
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for left in [entry for entry in entries if ours.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                if time.time() - left.stat(follow_symlinks=False).st_mtime > _LEFT_SECONDS:
                    Path(left.path).unlink()


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


def open_linked(path: Path, flags: int, mode: int = MODE) -> int:
    """Open or create a file of ours that may be a link of an administrator's; gives its descriptor.

    Args:
        flags: as `os.open` takes them.

    Raises:
        OSError: that is not possible, or it is a link that another user made.
    """
    place = path
    for _ in range(_MOST_LINKS):
        try:
            return os.open(place, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        place = _target(place)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _target(link: Path) -> Path:
    """Where a link of root's or of this user's leads; a path that is no link any more leads to itself."""
    descriptor = os.open(link, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISLNK(found.st_mode):
            return link
        if found.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, "a link that another user made", str(link))
        return link.parent / os.readlink("", dir_fd=descriptor)
    finally:
        os.close(descriptor)


def require_regular(descriptor: int, path: Path) -> None:
    """Refuse what is no regular file.

    Raises:
        OSError: it is a folder, a pipe, a device.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "expected a regular file, found something else", str(path))
