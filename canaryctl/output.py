"""What `canary generate` writes into a folder, and whose the files there are.

Two services whose policies were generated into one folder used to replace each other's files without a word, and the
first one's alerts were gone. So the folder holds a list of who wrote what, and whoever would replace a file of another
service is refused before anything is written.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from canary.errors import GenerateError

WRITERS = ".kpi-canary.json"
"""The list, by relative path, of the services that wrote a folder's files."""

# Earlier versions named the files of every service so. Next to those of today they would be evaluated twice.
_FORMER = (
    "prometheus/rules/canary-alerts.rules.yml",
    "prometheus/rules/canary-recording.rules.yml",
    "mimir/canary.rules.yml",
    "thanos/canary.rules.yml",
)


def write(files: Mapping[str, str], folder: Path, service: str) -> None:
    """Write a service's files below *folder*; its own under names of earlier versions are taken away.

    Raises:
        GenerateError: some there are another service's, or the folder cannot be written to; of the former, nothing is
            written.
    """
    writers = _writers(folder)
    _require_own(files, folder, service, writers)
    listed = {**writers, **dict.fromkeys(files, service)}
    try:
        for name, text in {**files, WRITERS: json.dumps(listed, indent=1, sort_keys=True) + "\n"}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name in _FORMER:
            if name not in files and _is_of(folder / name, service):
                (folder / name).unlink()
    except OSError as error:
        raise GenerateError(
            f"cannot be written ({error.strerror})", place=f"--output {folder}", remedy="name a folder that can be"
        ) from error


def _require_own(files: Mapping[str, str], folder: Path, service: str, writers: Mapping[str, str]) -> None:
    theirs = [
        name for name, text in files.items() if writers.get(name, service) != service and _differs(folder / name, text)
    ]
    if theirs:
        others = ", ".join(sorted({writers[name] for name in theirs}))
        shown = ", ".join(theirs[:3]) + (f" and {len(theirs) - 3} more" if len(theirs) > 3 else "")
        raise GenerateError(
            f"{len(theirs)} files there were written for service {others}, and are not replaced: {shown}",
            place=f"--output {folder}",
            remedy=f"name a folder of its own, such as --output {folder}/{service}; rules and scrape jobs have the "
            "service's name, and can be brought together",
        )


def _writers(folder: Path) -> Mapping[str, str]:
    try:
        data = json.loads((folder / WRITERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(service) for name, service in data.items()} if isinstance(data, dict) else {}


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") != text
    except (OSError, ValueError):
        return False


def _is_of(path: Path, service: str) -> bool:
    """Whether a rule file is of this service and of no other."""
    with suppress(OSError, ValueError):
        return set(re.findall(r"^ +service: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)) == {service}
    return False
