"""A log file, followed through rotation and truncation, from where it was left.

The place is the file's inode and an offset, and with them a checksum of the file's first bytes: an inode is used again
after its file was deleted, and a file that was truncated may have grown past the offset meanwhile. A file that was
renamed is read to its end before the new one, here while it is open, and after a restart by looking for its inode
next to the new one (`NAME.1` and its like). What was compressed or deleted before it was read is lost, and counted as
one gap.

No inotify: a look every moment costs one `stat`, and works on every file system.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from exporter.follow.lines import LONGEST_BYTES

_HEAD_BYTES = 256
"""So much of a file's beginning tells it from others: the first line has the time in it."""
_CHUNK_BYTES = 512 * 1024
"""Some two thousand lines."""
_LAST_LOOKS = 20
"""A renamed file is looked at so often with nothing new in it before it is left: its writers reopen within seconds."""


@dataclass(frozen=True)
class Place:
    """Up to where a file was read."""

    inode: int = 0
    offset: int = 0
    head: int = 0
    head_bytes: int = 0


class LogFile:
    """One path; all methods may block.

    Attributes:
        gaps: how often something was lost because it was gone before it was read.
        overlong: lines that were too long to be any.
    """

    def __init__(self, path: Path, place: Place | None) -> None:
        self.path = path
        self._place = place
        self._file: IO[bytes] | None = None
        self._successors: list[Path] = []
        self._quiet = 0
        self._skipping = False
        self.gaps = self.overlong = 0

    def read(self) -> tuple[list[bytes], Place | None]:
        """Whole lines that are new, as many as fit a chunk, and the place after them.

        Raises:
            OSError: the file is there and cannot be read.
        """
        if self._file is None and not self._open():
            return [], self._place
        assert self._file is not None
        assert self._place is not None
        if os.fstat(self._file.fileno()).st_size < self._place.offset:
            self._begin(self._file)  # truncated in place (copytruncate)
        self._file.seek(self._place.offset)
        data = self._file.read(_CHUNK_BYTES)
        end = data.rfind(b"\n") + 1
        if not end:
            return self._no_line(data)
        self._quiet = 0
        lines = data[:end].split(b"\n")[:-1]
        if self._skipping:
            self._skipping = False
            lines = lines[1:]
        self._advance(end)
        return lines, self._place

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _no_line(self, data: bytes) -> tuple[list[bytes], Place | None]:
        """Nothing, or no more than the beginning of a line, which its writer may still be at."""
        assert self._file is not None
        if len(data) > LONGEST_BYTES:
            self.overlong += not self._skipping
            self._skipping = True
            self._advance(len(data))
        elif self._superseded():
            self._quiet += 1
            if self._quiet > _LAST_LOOKS or self._successors:
                self._next()
        return [], self._place

    def _advance(self, count: int) -> None:
        assert self._file is not None
        assert self._place is not None
        offset = self._place.offset + count
        inode = os.fstat(self._file.fileno()).st_ino
        if self._place.head_bytes >= _HEAD_BYTES:
            self._place = Place(inode, offset, self._place.head, self._place.head_bytes)
        else:
            size = min(offset, _HEAD_BYTES)
            self._place = Place(inode, offset, _head(self._file, size), size)

    def _superseded(self) -> bool:
        """Whether the path is another file by now, or one that comes after this one is waiting."""
        assert self._file is not None
        if self._successors:
            return True
        try:
            return self.path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _next(self) -> None:
        self.close()
        self._quiet = 0
        self._skipping = False
        path = self._successors.pop(0) if self._successors else self.path
        self._place = None
        try:
            self._begin(path.open("rb"))
        except FileNotFoundError:
            self.gaps += path != self.path

    def _begin(self, file: IO[bytes]) -> None:
        self._file = file
        self._place = Place(os.fstat(file.fileno()).st_ino)
        self._skipping = False

    def _open(self) -> bool:
        """Open what was left, else the path; whether there is something."""
        place = self._place
        if place is not None and place.inode:
            candidates = list(self._beside())
            for number, path in enumerate(candidates):
                file = path.open("rb")
                if _is(file, place):
                    self._file = file
                    self._successors = candidates[number + 1 :]
                    return True
                file.close()
            self.gaps += 1
        try:
            self._begin(self.path.open("rb"))
        except FileNotFoundError:
            return False
        return True

    def _beside(self) -> Iterator[Path]:
        """The path's earlier files, the oldest first, and last the path."""
        earlier = [one for one in self.path.parent.glob(f"{self.path.name}[.-]*") if one.is_file()]
        yield from sorted(earlier, key=lambda one: one.stat().st_mtime)
        if self.path.exists():
            yield self.path


def _is(file: IO[bytes], place: Place) -> bool:
    status = os.fstat(file.fileno())
    return (
        status.st_ino == place.inode and status.st_size >= place.offset and _head(file, place.head_bytes) == place.head
    )


def _head(file: IO[bytes], size: int) -> int:
    file.seek(0)
    return zlib.crc32(file.read(size))
