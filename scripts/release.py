"""What a release consists of, built and laid out in dist/, and nothing published.

`make release ARGS="--prepare 1.2.0"` gives the version its section in the changelog, for a commit that people look at.
`make release` then builds that commit: wheel and sdist, a Containerfile that makes the image of the sdist, the
changelog's section as text, and the sums of all of it. The files are the same for the same commit, whoever builds them:
their times are the commit's.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SECTION = re.compile(r"^## \[(?P<name>[^\]]+)\][^\n]*\n(?P<text>.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:(?:a|b|rc)[0-9]+)?")


class NotReadyError(Exception):
    """Something is missing for a release; the text says what, and what to do."""


def version(root: Path) -> str:
    """The version of pyproject.toml."""
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def changes(changelog: str, name: str) -> str:
    """The changelog's section of a version.

    Raises:
        NotReadyError: there is none, or nothing stands in it.
    """
    found = {one["name"]: one["text"].strip() for one in _SECTION.finditer(changelog)}
    if not found.get(name):
        raise NotReadyError(f'CHANGELOG.md: no section [{name}]; run: make release ARGS="--prepare {name}"')
    return found[name]


def prepare(root: Path, name: str, today: str) -> None:
    """Give what is unreleased this version, in the changelog and in pyproject.toml.

    Raises:
        NotReadyError: it is no version, there is one already, or nothing has changed.
    """
    if not _VERSION.fullmatch(name):
        raise NotReadyError(f"--prepare: expected a version such as 1.2.0, found {name!r}")
    path, project = root / "CHANGELOG.md", root / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    if f"## [{name}]" in text:
        raise NotReadyError(f"CHANGELOG.md: [{name}] is there already; choose the next version")
    changes(text, "Unreleased")
    path.write_text(
        text.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{name}] - {today}\n", 1), encoding="utf-8"
    )
    declared = re.sub(r'(?m)^version = "[^"]*"$', f'version = "{name}"', project.read_text(encoding="utf-8"), count=1)
    project.write_text(declared, encoding="utf-8")


def of_sdist(image: str, sdist: str) -> str:
    """An image's file that takes the project from the sdist next to it, and not from a checkout.

    Who has downloaded a release has no checkout. `ADD` unpacks an archive that lies there.
    """
    lines = image.replace(" -f deploy/Containerfile", "").splitlines(keepends=True)
    of_checkout = [line for line in lines if line.startswith("COPY ") and not line.startswith("COPY --from=")]
    added = f"ADD {sdist} /src/\nWORKDIR /src/{sdist.removesuffix('.tar.gz')}\n"
    return "".join(
        added if of_checkout and line is of_checkout[0] else line for line in lines if line not in of_checkout[1:]
    )


def build(root: Path, target: Path) -> list[Path]:
    """Lay the release out in an empty folder; gives its files.

    Raises:
        NotReadyError: the changelog has no section of this version, or the build fails.
    """
    name = version(root)
    said = changes((root / "CHANGELOG.md").read_text(encoding="utf-8"), name)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    moment = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=root, capture_output=True, text=True, check=False)
    result = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(target)],
        cwd=root,
        env={**os.environ, "SOURCE_DATE_EPOCH": moment.stdout.strip() or "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise NotReadyError(f"the build failed:\n{result.stderr[-2000:]}")
    image = (root / "deploy" / "Containerfile").read_text(encoding="utf-8")
    (target / "Containerfile").write_text(of_sdist(image, next(target.glob("*.tar.gz")).name), encoding="utf-8")
    (target / "CHANGES.md").write_text(f"{said}\n", encoding="utf-8")
    (target / "VERSION").write_text(f"{name}\n", encoding="utf-8")
    files = sorted(target.iterdir())
    sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (target / "SHA256SUMS").write_text(sums, encoding="utf-8")
    return sorted(target.iterdir())


def main() -> int:
    """Exit status 1 when something is missing."""
    parser = argparse.ArgumentParser(
        prog="make release", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prepare", metavar="VERSION", help="give what is unreleased this version, and build nothing")
    arguments = parser.parse_args()
    try:
        if arguments.prepare:
            prepare(ROOT, arguments.prepare, f"{datetime.now(UTC):%Y-%m-%d}")
            sys.stdout.write(
                f"{arguments.prepare} stands in CHANGELOG.md and pyproject.toml; commit, then: make release\n"
            )
        else:
            sys.stdout.writelines(f"{file.relative_to(ROOT)}\n" for file in build(ROOT, ROOT / "dist"))
    except NotReadyError as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
