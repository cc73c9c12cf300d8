"""A log file, followed through rotation and truncation, from where it was left.

The place is the file's inode and an offset, and with them a checksum of the file's first bytes: an inode is used again
after its file was deleted, and a file that was truncated may have grown past the offset meanwhile. A file that was
renamed is read to its end before the one that came after it, which may have been renamed too by then: of the files
next to the path (`NAME.1` and its like) it is the next by the time of their last lines. After a restart the file is
looked for among them by its inode; where it is gone, those that were written later are still read. Before a file was
truncated it may have been copied (logrotate's `copytruncate`): what was not read of it is read in the copy. What was
compressed or deleted before it was read is lost, and counted as one gap.

No inotify: a look every moment costs one `stat`, and works on every file system.
"""

import glob
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from canary.files import open_regular
from exporter.follow.lines import LONGEST_BYTES

_HEAD_BYTES = 256
"""So much of a file's beginning tells it from others: the first line has the time in it."""
_CHUNK_BYTES = 512 * 1024
"""Some two thousand lines."""
_ROTATED = re.compile(r"[.-](old|[0-9][0-9T_.:-]*)")
"""What rotation puts behind a name: a number, or a date; compressed files and other tools' have other endings."""
_LAST_LOOKS = 20
"""A renamed file is looked at so often with nothing new in it before it is left: its writers reopen within seconds."""


@dataclass(frozen=True)
class Place:
    """Up to where a file was read, and when it was last written to by then; 0 in what older versions wrote."""

    inode: int = 0
    offset: int = 0
    head: int = 0
    head_bytes: int = 0
    modified: float = 0.0


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
        if not _is(self._file, self._place):
            copy, file = self._copy(self._place), self._file  # truncated in place, and maybe as long again by now
            if copy is None:
                self._begin(file)
            else:
                file.close()
                self._file = copy
                self._place = replace(self._place, inode=os.fstat(copy.fileno()).st_ino)
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
            path, inode = self._after()
            # The writers of a file whose successor was renamed as well have left it long ago.
            if self._quiet > _LAST_LOOKS or path != self.path:
                self._next(path, inode)
        return [], self._place

    def _advance(self, count: int) -> None:
        assert self._file is not None
        assert self._place is not None
        offset = self._place.offset + count
        status = os.fstat(self._file.fileno())
        head, size = self._place.head, self._place.head_bytes
        if size < _HEAD_BYTES:
            size = min(offset, _HEAD_BYTES)
            head = _head(self._file, size)
        self._place = Place(status.st_ino, offset, head, size, status.st_mtime)

    def _superseded(self) -> bool:
        """Whether the path is another file by now."""
        assert self._file is not None
        try:
            return self.path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _after(self) -> tuple[Path, int]:
        """The file that came after the open one, and its inode."""
        assert self._file is not None
        status = os.fstat(self._file.fileno())
        found = [(path, _inode(path)) for path in self._beside() if self._rotated(path)]
        inodes = [inode for _, inode in found]
        if status.st_ino in inodes:
            found = found[inodes.index(status.st_ino) + 1 :]
        else:
            found = [one for one in found if _modified(one[0]) > status.st_mtime]
        return found[0] if found else (self.path, _inode(self.path))

    def _next(self, path: Path, inode: int) -> None:
        try:
            file = open_regular(path)
        except FileNotFoundError:
            return
        if os.fstat(file.fileno()).st_ino != inode:  # rotated at this very moment
            file.close()
            return
        self.close()
        self._quiet = 0
        self._begin(file)

    def _begin(self, file: IO[bytes]) -> None:
        self._file = file
        self._place = Place(os.fstat(file.fileno()).st_ino)
        self._skipping = False

    def _copy(self, place: Place) -> IO[bytes] | None:
        """The rotated file that has what the open one had before it was truncated."""
        for path in self._beside():
            if path == self.path or not self._rotated(path) or not place.head_bytes:
                continue
            try:
                file = open_regular(path)
            except FileNotFoundError:  # rotated away meanwhile
                continue
            if _holds(file, place):
                return file
            file.close()
        return None

    def _open(self) -> bool:
        """Open what was left, else the path; whether there is something."""
        place = self._place
        if place is not None and place.inode:
            for path in self._beside():
                if _inode(path) != place.inode:
                    continue  # other files may be nobody's to read but root's
                file = open_regular(path)
                if _is(file, place):
                    self._file = file
                    return True
                file.close()
            copy = self._copy(place)
            if copy is not None:
                self._file, self._place = copy, replace(place, inode=os.fstat(copy.fileno()).st_ino)
                return True
            self.gaps += 1
            self._place = Place(modified=place.modified)  # looked for in vain once, and lost once
        since = place.modified if place is not None else 0.0
        later = [path for path in self._beside() if self._rotated(path) and 0 < since < _modified(path)]
        try:
            self._begin(open_regular(later[0] if later else self.path))
        except FileNotFoundError:
            return False
        return True

    def _beside(self) -> Iterator[Path]:
        """The path's earlier files, the oldest first, and last the path."""
        named = self.path.parent.glob(f"{glob.escape(self.path.name)}[.-]*")
        yield from sorted((one for one in named if one.is_file()), key=_modified)
        if self.path.exists():
            yield self.path

    def _rotated(self, path: Path) -> bool:
        """Whether it is the path, or what a rotation makes of it."""
        return path == self.path or _ROTATED.fullmatch(path.name.removeprefix(self.path.name)) is not None


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:  # rotated away meanwhile
        return 0


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is(file: IO[bytes], place: Place) -> bool:
    return os.fstat(file.fileno()).st_ino == place.inode and _holds(file, place)


def _holds(file: IO[bytes], place: Place) -> bool:
    return os.fstat(file.fileno()).st_size >= place.offset and _head(file, place.head_bytes) == place.head


def _head(file: IO[bytes], size: int) -> int:
    file.seek(0)
    return zlib.crc32(file.read(size))
