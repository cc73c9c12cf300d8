"""Which policies there are: the files that were named, and every policy in the folders that were."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

_ENDINGS = (".yaml", ".yml")

Mark = tuple[int, int, int]
"""What tells one content of a file from the next without reading it: when it was written, its size, and which it is."""


def policy_files(paths: Iterable[Path], folders: Collection[Path] = ()) -> Mapping[Path, Mark | None]:
    """The policies and their marks, in the order of their names; None for one that cannot be looked at.

    A file that is written next to its place and renamed into it, as editors and Kubernetes do, is found whole. Names
    that begin with a dot are somebody's half-written files, or Kubernetes' own folders.

    Args:
        folders: those of *paths* that are known to be folders.

    Raises:
        OSError: a folder cannot be listed, so that nobody knows which policies there are.
    """
    found: dict[Path, Mark | None] = {}
    for path in paths:
        if not path.is_dir() and path not in folders:
            found[path] = _mark(path)
            continue
        inside = sorted(one for one in path.iterdir() if one.suffix in _ENDINGS and not one.name.startswith("."))
        found |= {one: _mark(one) for one in inside if one.is_file()}
    return found


def _mark(path: Path) -> Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
