"""A release is laid out from one commit, the same whoever does it, and only when the changelog knows it."""

import hashlib
from pathlib import Path

import pytest

from scripts.release import NotReadyError, build, changes, prepare, version

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- A thing.

## [0.1.0]

- The first.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with everything that a release needs."""
    root = tmp_path / "project"
    (root / "deploy").mkdir(parents=True)
    (root / "small").mkdir()
    (root / "small" / "__init__.py").write_text("")
    (root / "deploy" / "Containerfile").write_text(
        "FROM scratch AS build\nWORKDIR /src\nCOPY small small\nCOPY deploy deploy\n"
        "RUN pip install .\nCOPY --from=build /opt /opt\n"
    )
    (root / "CHANGELOG.md").write_text(CHANGELOG)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
        '[project]\nname = "small"\nversion = "0.1.0"\n\n[tool.other]\nversion = "9"\n'
    )
    return root


def test_a_release_holds_all_of_it_and_is_the_same_again(project: Path) -> None:
    """Wheel, sdist, the image's file, what has changed, and sums that fit; nothing of an earlier build."""
    target = project / "dist"
    target.mkdir()
    (target / "small-0.0.9.tar.gz").write_text("old")

    first = {file.name: file.read_bytes() for file in build(project, target)}
    again = {file.name: file.read_bytes() for file in build(project, target)}

    assert sorted(first) == [
        "CHANGES.md",
        "Containerfile",
        "SHA256SUMS",
        "VERSION",
        "small-0.1.0-py2.py3-none-any.whl",
        "small-0.1.0.tar.gz",
    ]
    assert first == again
    assert first["Containerfile"].decode().splitlines()[1:] == [
        "WORKDIR /src",
        "ADD small-0.1.0.tar.gz /src/",
        "WORKDIR /src/small-0.1.0",
        "RUN pip install .",
        "COPY --from=build /opt /opt",
    ]
    assert first["CHANGES.md"] == b"- The first.\n"
    sums = {line.split("  ")[1]: line.split("  ")[0] for line in first.pop("SHA256SUMS").decode().splitlines()}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in first.items()}


def test_what_is_unreleased_becomes_a_version(project: Path) -> None:
    """Its section gets name and day, a new empty one stands above it, and the project declares it once."""
    prepare(project, "0.2.0", "2026-12-01")

    text = (project / "CHANGELOG.md").read_text()
    assert "## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n" in text
    assert changes(text, "0.2.0") == "### Added\n\n- A thing."
    assert version(project) == "0.2.0"
    assert '[tool.other]\nversion = "9"' in (project / "pyproject.toml").read_text()
    with pytest.raises(NotReadyError, match=r"no section \[Unreleased\]"):
        prepare(project, "0.3.0", "2026-12-02")


@pytest.mark.parametrize(("name", "fault"), [("1.2", "expected a version"), ("0.1.0", "there already")])
def test_what_is_no_next_version_is_refused(project: Path, name: str, fault: str) -> None:
    """Nothing has changed then."""
    with pytest.raises(NotReadyError, match=fault):
        prepare(project, name, "2026-12-01")
    assert (project / "CHANGELOG.md").read_text() == CHANGELOG


def test_a_version_without_a_section_is_not_built(project: Path) -> None:
    """Nobody would know what is in it; the message says what to run."""
    (project / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    with pytest.raises(NotReadyError, match=r"--prepare 0\.1\.0"):
        build(project, project / "dist")
