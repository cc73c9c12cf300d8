"""The files of one log: the one that is written, and those that rotation has made of it, which may be compressed.

Rotation puts a number or a date behind the log's name, or before its ending (logrotate's `extension`), and one ending
more where it compresses. A compressed file keeps the time of its last line, as all compressors see to, so that by this
time all of them are in order. While one is compressed both are there, and the one that is whole counts.

A compressed file is another one than that which was read before, and is known by its first bytes. Nobody writes to it
any more. It is decompressed while it is read: a busy day's log is larger than the memory, and the disk, that is left.
"""

import bz2
import glob
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from canary.files import open_regular

HEAD_BYTES = 256
"""So much of a file's beginning tells it from others: the first line has the time in it."""
_COMPRESSED = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}
_BEHIND = re.compile(r"[.-](old|[0-9][0-9T_.:-]*)")
"""What rotation puts behind a name: a number, or a date; other tools' files have other endings."""
_BEFORE_ENDING = re.compile(r"\.[0-9]{1,3}|[.-][0-9]{4}[0-9T_.:-]{2,}")
"""What it puts before an ending; a server's number, as in `access-2.log`, stands there too."""


class _Readable(Protocol):
    def seek(self, offset: int, /) -> int: ...
    def read1(self, size: int, /) -> bytes: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Place:
    """Up to where a file was read, and when it was last written to by then; 0 in what older versions wrote."""

    inode: int = 0
    offset: int = 0
    head: int = 0
    head_bytes: int = 0
    modified: float = 0.0


class OpenLog:
    """One file of a log, open for reading.

    Attributes:
        compressed: nobody writes to it any more.
        damaged: it cannot be decompressed to its end.

    Raises:
        OSError: it is not there, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        kind = _COMPRESSED.get(path.suffix)
        self._file: _Readable = open_regular(path) if kind is None else kind(path)
        self.compressed = kind is not None
        self.damaged = False
        self._last, self._end = b"", 0
        """What was read last, and where it ended: going back is decompressing all of it again."""

    @property
    def inode(self) -> int:
        """Its number, which it keeps when it is renamed."""
        return os.fstat(self._file.fileno()).st_ino

    @property
    def modified(self) -> float:
        """When it was last written to, seconds since the epoch."""
        return os.fstat(self._file.fileno()).st_mtime

    def read(self, offset: int, most: int) -> bytes:
        """So many bytes from an offset on, or fewer where it ends."""
        kept = self._kept(offset)
        if len(kept) < most and not self.damaged:
            with self._noticing_damage():
                while len(kept) < most and (some := self._file.read1(most - len(kept))):
                    kept += some
            self._last, self._end = bytes(kept), offset + len(kept)
        return bytes(kept[:most])

    def head(self, size: int) -> int:
        """A checksum of its first bytes."""
        return zlib.crc32(self.read(0, size))

    def holds(self, place: Place) -> bool:
        """Whether it has what was read up to a place, in this file or in one that it was made of."""
        if self.head(place.head_bytes) != place.head:
            return False
        if not self.compressed:
            return os.fstat(self._file.fileno()).st_size >= place.offset
        self._last, self._end = b"", self._seek(place.offset)
        return self._end == place.offset

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def _kept(self, offset: int) -> bytearray:
        """What was read last, from an offset on, where the next bytes follow it; else go there."""
        back = self._end - offset if self.compressed else -1
        if 0 <= back <= len(self._last):
            return bytearray(self._last[len(self._last) - back :])
        self._last, self._end = b"", self._seek(offset)
        return bytearray()

    def _seek(self, offset: int) -> int:
        with self._noticing_damage():
            return self._file.seek(offset)
        return -1

    @contextmanager
    def _noticing_damage(self) -> Iterator[None]:
        """What decompressors raise says that the file is damaged, where it was not the disk that failed."""
        try:
            yield
        except (EOFError, zlib.error, lzma.LZMAError):
            self.damaged = True
        except OSError as error:
            if error.errno is not None:
                raise
            self.damaged = True


def neighbours(path: Path) -> list[Path]:
    """What may once have been a log, by whatever name it has now: the oldest first, and last the log itself."""
    named = path.parent.glob(f"{glob.escape(path.stem)}[.-]*")
    earlier = sorted((one for one in named if one != path and one.is_file()), key=modified_of)
    return [*earlier, path] if path.exists() else earlier


def files_of(path: Path) -> list[Path]:
    """The log's own among its neighbours, each once, however far its compression is."""
    return [one for one in neighbours(path) if one == path or _is_rotated(one, path)]


def _is_rotated(one: Path, path: Path) -> bool:
    plain = one
    if one.suffix in _COMPRESSED:
        plain = one.with_suffix("")
        if plain.exists():
            return False
    before = plain.name.removeprefix(path.stem).removesuffix(path.suffix)
    return _BEHIND.fullmatch(plain.name.removeprefix(path.name)) is not None or (
        plain.suffix == path.suffix and _BEFORE_ENDING.fullmatch(before) is not None
    )


def inode_of(path: Path) -> int:
    """A file's number; 0 where it was rotated away meanwhile."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def modified_of(path: Path) -> float:
    """When a file was last written to; 0 where it was rotated away meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
