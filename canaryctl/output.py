"""What `canary generate` writes into a folder, and whose the files there are.

Two services whose policies were generated into one folder used to replace each other's files without a word, and the
first one's alerts were gone. So the folder holds a list of who wrote what, and whoever would replace a file of another
service is refused before anything is written. Files about several services (`prometheus.yml`, dashboards) are all of
theirs: only whoever generates all of them together may write them again.

The list is replaced before any file is written: what is killed in between has then claimed files that it did not write,
and writes them the next time. The other way round, files that it wrote would have been nobody's.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from canary.errors import GenerateError, reason

WRITERS = ".kpi-canary.json"
"""The list, by relative path, of the services that wrote a folder's files; several are parted by a space."""

# Earlier versions named the files of every service so. Next to those of today they would be evaluated twice.
_FORMER = (
    "prometheus/rules/canary-alerts.rules.yml",
    "prometheus/rules/canary-recording.rules.yml",
    "mimir/canary.rules.yml",
    "thanos/canary.rules.yml",
)


def write(files: Mapping[str, Mapping[str, str]], folder: Path, removed: Collection[str] = ()) -> None:
    """Write services' files below *folder*; their own under names of earlier versions are taken away.

    Args:
        files: by the service that they are of, or several parted by a space, path to text.
        removed: services that are no more; what was written for them alone is taken away.

    Raises:
        GenerateError: some there are another service's, or the folder cannot be written to; of the former, nothing is
            written.
    """
    writers = _writers(folder)
    whose = {name: services for services, texts in files.items() for name in texts}
    texts = {name: text for of_some in files.values() for name, text in of_some.items()}
    services = {service for each in files for service in each.split()}
    _require_own(texts, folder, services | set(removed), writers)
    gone = [name for name, of in writers.items() if name not in texts and set(of.split()) <= set(removed)]
    outdated = [_inside(folder, name) for name in gone]
    with writing(folder, "folder"):
        _list(folder, {**writers, **whose})
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        outdated += [folder / name for name in _FORMER if name not in texts and _is_of(folder / name, services)]
        for path in outdated:
            path.unlink(missing_ok=True)
        _list(folder, {name: of for name, of in {**writers, **whose}.items() if name not in gone})


@contextmanager
def writing(output: Path, kind: str = "file") -> Iterator[None]:
    """Tells whoever named `--output` what the system says when it cannot be written.

    Raises:
        GenerateError: it cannot.
    """
    try:
        yield
    except OSError as error:
        raise GenerateError(
            f"cannot be written ({reason(error)})", place=f"--output {output}", remedy=f"name a {kind} that can be"
        ) from error


def _require_own(texts: Mapping[str, str], folder: Path, services: Collection[str], writers: Mapping[str, str]) -> None:
    theirs = [
        name
        for name, text in texts.items()
        if not set(writers.get(name, "").split()) <= set(services) and _differs(folder / name, text)
    ]
    if theirs:
        others = sorted({service for name in theirs for service in writers[name].split()} - set(services))
        shown = ", ".join(theirs[:3]) + (f" and {len(theirs) - 3} more" if len(theirs) > 3 else "")
        raise GenerateError(
            f"{len(theirs)} files there were written for service {', '.join(others)}, and are not replaced: {shown}",
            place=f"--output {folder}",
            remedy="name the policies of all services (--config.file FOLDER, or several times), or another folder; "
            f"services that are no more go with {' '.join(f'--remove {service}' for service in others)}",
        )


def _writers(folder: Path) -> Mapping[str, str]:
    try:
        data = json.loads((folder / WRITERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(service) for name, service in data.items()} if isinstance(data, dict) else {}


def _list(folder: Path, writers: Mapping[str, str]) -> None:
    """Replace the list in one step: half of one says nothing, and every file would be anybody's."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{WRITERS}.unfinished"
    unfinished.write_text(json.dumps(writers, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(folder / WRITERS)


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() != text.encode()
    except OSError:
        return False


def _inside(folder: Path, name: str) -> Path:
    """A listed file; the list lies in the folder, and whoever edits it names no file outside."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise GenerateError(f"{name} is outside", place=str(folder / WRITERS), remedy="remove the line")
    return path


def _is_of(path: Path, services: Iterable[str]) -> bool:
    """Whether a rule file is of one of these services and of no other."""
    with suppress(OSError, ValueError):
        found = set(re.findall(r"^ +service: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
        return len(found) == 1 and found <= set(services)
    return False
