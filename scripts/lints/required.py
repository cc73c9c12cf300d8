"""Finds what the house imports, or what pytest loads by itself, and no list of requirements names.

An environment that has lived for a while holds more than `make setup` installs. A test that uses such a leftover passes
there and fails everywhere else, so what is installed is not asked but what is required: each import belongs to a
distribution of requirements/dev.txt (or docs.txt, for what builds the site), and so does each plugin of pytest, whose
marks and fixtures need no import. An import that is not installed at all fails by itself.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

_LISTS = ("requirements/dev.txt", "requirements/docs.txt")
_OURS = "kpi-canary"


def required(text: str) -> frozenset[str]:
    """The distributions that a list of requirements names."""
    return frozenset(_normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE))


def foreign(path: str, text: str, owners: Mapping[str, Sequence[str]], known: Collection[str]) -> Iterator[str]:
    """Imports of distributions that are installed and not known, as `path:line: ...`."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        for module in modules:
            owning = {_normal(name) for name in owners.get(module.partition(".")[0], ())}
            if owning and not owning & set(known):
                yield f"{path}:{node.lineno}: {module} is of {', '.join(sorted(owning))}, which is not required"


def plugins(known: Collection[str]) -> Iterator[str]:
    """Plugins of pytest that are installed and not known."""
    for one in distributions():
        name = _normal(one.metadata["Name"])
        if name not in known and any(point.group == "pytest11" for point in one.entry_points):
            yield f"{name}: a plugin of pytest that is not required; uninstall it, or `make clean setup`"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Exit status 1 when something is used that nobody requires."""
    known = {_OURS}.union(*(required(Path(path).read_text(encoding="utf-8")) for path in _LISTS))
    owners = packages_distributions()
    listed = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True)
    files = [path for path in listed.stdout.splitlines() if Path(path).exists()]
    found = [line for path in files for line in foreign(path, Path(path).read_text(encoding="utf-8"), owners, known)]
    found += plugins(known)
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
