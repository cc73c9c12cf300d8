"""A log file, followed through rotation and truncation, from where it was left.

The place is the file's inode and an offset, and with them a checksum of the file's first bytes: an inode is used again
after its file was deleted, and a file that was truncated may have grown past the offset meanwhile. A file that was
renamed is read to its end before the one that came after it, which may have been renamed too by then: of the log's
files (`rotated`) it is the next by the time of their last lines. After a restart the file is looked for among them by
its inode; where it is gone, those that were written later are still read. Before a file was truncated it may have been
copied (logrotate's `copytruncate`), and instead of a renamed one there may be a compressed one: what was not read of it
is read in the copy. What was deleted before it was read is lost, and counted as one gap.

No inotify: a look every moment costs one `stat`, and works on every file system.
"""

from dataclasses import replace
from pathlib import Path

from exporter.follow.lines import LONGEST_BYTES
from exporter.follow.rotated import HEAD_BYTES, OpenLog, Place, files_of, inode_of, modified_of, neighbours

_CHUNK_BYTES = 512 * 1024
"""Some two thousand lines."""
_LAST_LOOKS = 20
"""A renamed file is looked at so often with nothing new in it before it is left: its writers reopen within seconds."""


class LogFile:
    """One path; all methods may block.

    Attributes:
        gaps: how often something was lost because it was gone before it was read.
        overlong: lines that were too long to be any.
    """

    def __init__(self, path: Path, place: Place | None) -> None:
        self.path = path
        self._place = place
        self._file: OpenLog | None = None
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
        if not self._file.compressed and not self._file.holds(self._place):
            copy, file = self._copy(self._place), self._file  # truncated in place, and maybe as long again by now
            if copy is None:
                self._begin(file)
            else:
                file.close()
                self._file = copy
                self._place = replace(self._place, inode=copy.inode)
        data = self._file.read(self._place.offset, _CHUNK_BYTES)
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
            path, inode = self._after()
            self._quiet = self._quiet + 1 if inode else 0
            # The writers of a file whose successor was renamed as well have left it long ago.
            if self._quiet > _LAST_LOOKS or path != self.path or self._file.compressed:
                self._next(path, inode)
        return [], self._place

    def _advance(self, count: int) -> None:
        assert self._file is not None
        assert self._place is not None
        offset = self._place.offset + count
        head, size = self._place.head, self._place.head_bytes
        if size < HEAD_BYTES:
            size = min(offset, HEAD_BYTES)
            head = self._file.head(size)
        self._place = Place(self._file.inode, offset, head, size, self._file.modified)

    def _superseded(self) -> bool:
        """Whether the path is another file by now, or none."""
        assert self._file is not None
        return inode_of(self.path) != self._file.inode

    def _after(self) -> tuple[Path, int]:
        """The file that came after the open one, and its inode; 0 where it is not there yet."""
        assert self._file is not None
        found = [(path, inode_of(path)) for path in files_of(self.path)]
        inodes = [inode for _, inode in found]
        if self._file.inode in inodes:
            found = found[inodes.index(self._file.inode) + 1 :]
        else:
            found = [one for one in found if modified_of(one[0]) > self._file.modified]
        return found[0] if found else (self.path, inode_of(self.path))

    def _next(self, path: Path, inode: int) -> None:
        try:
            file = OpenLog(path)
        except FileNotFoundError:
            return
        if file.inode != inode:  # rotated at this very moment
            file.close()
            return
        self.gaps += self._file is not None and self._file.damaged
        self.close()
        self._quiet = 0
        self._begin(file)

    def _begin(self, file: OpenLog) -> None:
        self._file = file
        self._place = Place(file.inode)
        self._skipping = False

    def _copy(self, place: Place) -> OpenLog | None:
        """The rotated file that has what was read before the one that had it was truncated, or compressed."""
        if not place.head_bytes:
            return None
        for path in files_of(self.path):
            if path == self.path:
                continue
            try:
                file = OpenLog(path)
            except (FileNotFoundError, PermissionError):  # rotated away meanwhile, or of before we might read the log
                continue
            if file.holds(place):
                return file
            file.close()
        return None

    def _open(self) -> bool:
        """Open what was left, else the path; whether there is something."""
        place = self._place
        if place is not None and place.inode:
            for path in neighbours(self.path):
                if inode_of(path) != place.inode:
                    continue  # other files may be nobody's to read but root's
                file = OpenLog(path)
                if file.holds(place):
                    self._file = file
                    return True
                file.close()
            copy = self._copy(place)
            if copy is not None:
                self._file, self._place = copy, replace(place, inode=copy.inode)
                return True
            self.gaps += 1
            self._place = Place(modified=place.modified)  # looked for in vain once, and lost once
        since = place.modified if place is not None else 0.0
        later = [path for path in files_of(self.path) if 0 < since < modified_of(path)]
        try:
            self._begin(OpenLog(later[0] if later else self.path))
        except FileNotFoundError:
            return False
        return True
