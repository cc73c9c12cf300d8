"""What rotation leaves of a log, made by the real logrotate."""

import subprocess
from hashlib import sha512
from pathlib import Path

import pytest

from exporter.follow.files import LogFile
from exporter.follow.rotated import Place, files_of

_COMPRESS = "compress"
_DELAYED = "compress\ndelaycompress"
_DATED = "dateext\ndateformat -%Y%m%d-%s"


class _Log:
    """A log of which everything is known that was ever written to it."""

    def __init__(self, folder: Path, options: str) -> None:
        self.path = folder / "access.log"
        self.written: list[bytes] = []
        self._configuration = folder / "logrotate.conf"
        self._configuration.write_text(f"{self.path} {{\nrotate 9\n{options}\n}}\n")

    def write(self, count: int = 3) -> None:
        numbers = range(len(self.written), len(self.written) + count)
        lines = [b"line %d, longer than its head %s" % (n, sha512(b"%d" % n).hexdigest().encode() * 2) for n in numbers]
        with self.path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        self.written += lines

    def rotate(self) -> None:
        state = self._configuration.with_name("state")
        subprocess.run(["logrotate", "--force", "--state", state, self._configuration], check=True)


def _packed(folder: Path) -> tuple[_Log, Place | None]:
    """A log of which three lines were read before 6,000 more were compressed."""
    log = _Log(folder, _COMPRESS)
    log.write()
    place = LogFile(log.path, None).read()[1]
    log.write(6000)
    log.rotate()
    log.write()
    return log, place


def _all(file: LogFile) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(60):
        found += file.read()[0]
    return found


@pytest.mark.parametrize(
    ("options", "rotations"),
    [
        ("", 2),
        (_COMPRESS, 3),
        (_DELAYED, 3),
        ("copytruncate", 2),
        (f"copytruncate\n{_COMPRESS}", 2),
        (f"copytruncate\n{_DELAYED}", 3),
        (f"{_DATED}\n{_COMPRESS}", 1),
        (f"{_DATED}\n{_COMPRESS}\nextension .log", 1),
        (f"{_COMPRESS}\nextension .log", 2),
        (f"{_COMPRESS}\ncompresscmd /bin/bzip2\ncompressext .bz2", 2),
        (f"{_COMPRESS}\ncompresscmd /usr/bin/xz\ncompressext .xz", 2),
    ],
)
@pytest.mark.parametrize("away", [False, True], ids=["behind", "away"])
def test_rotation_loses_nothing_however_it_is_done(options: str, rotations: int, away: bool, tmp_path: Path) -> None:
    """Every line is read once and in order, also by who was away meanwhile, as long as it is in one of the files."""
    log = _Log(tmp_path, options)
    log.write()
    file = LogFile(log.path, None)
    found, place = file.read()
    for _ in range(rotations):
        log.write()
        log.rotate()
        log.write()
    if away:
        file.close()
        file = LogFile(log.path, place)
    found += _all(file)
    file.close()
    assert found == log.written
    assert file.gaps == 0


def test_a_restart_within_a_compressed_file_goes_on_there(tmp_path: Path) -> None:
    """Its place is one as in any other, also after the next rotation has renamed it."""
    log, place = _packed(tmp_path)
    file = LogFile(log.path, place)
    found, place = file.read()
    assert 0 < len(found) < 6000
    log.rotate()  # and nobody has written anything since
    assert found + _all(LogFile(log.path, place)) == log.written[3:]


@pytest.mark.parametrize("damage", ["cut", "empty", "none"])
def test_what_cannot_be_decompressed_is_a_gap(damage: str, tmp_path: Path) -> None:
    """A compressed file that a full disk has cut, or that is none, is read as far as it goes, and the next one is."""
    log, place = _packed(tmp_path)
    packed = log.path.with_name("access.log.1.gz")
    data = packed.read_bytes()
    packed.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "none": b"no gzip"}[damage])

    file = LogFile(log.path, place)
    found = _all(file)
    assert found[-3:] == log.written[-3:]
    assert found[:-3] == log.written[3 : len(found)]
    assert len(found) == 3 or damage == "cut"
    assert file.gaps >= 1


def test_a_file_that_is_being_compressed_counts_once(tmp_path: Path) -> None:
    """While both are there the compressed one is not whole; other logs next to it are none of this one's."""
    path = tmp_path / "access.log"
    for name in ("access.log", "access.log.1", "access.log.1.gz", "access.log.2.gz", "access.log-20261129.xz"):
        (tmp_path / name).touch()
    for name in ("access-2.log", "access.log.offset", "access.log.3.zip", "access.logger", "access-eu.log.1"):
        (tmp_path / name).touch()
    names = {one.name for one in files_of(path)}
    assert names == {"access.log", "access.log.1", "access.log.2.gz", "access.log-20261129.xz"}
