"""What runs can be traced: builds are equal, and the bill of materials names every pinned package."""

import hashlib
import json
import re
from pathlib import Path

from scripts import sbom
from tests.support.documents.distribution import ROOT, build, unpack


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if file.is_file()}


def test_two_builds_are_equal(tmp_path: Path) -> None:
    """Byte for byte: once more from the repository, and the wheel from the sdist, elsewhere and at another moment."""
    first = build(tmp_path / "first")
    source = unpack(first, tmp_path / "elsewhere")
    for file in source.rglob("*"):
        file.touch()

    assert _digests(build(tmp_path / "second")) == _digests(first)
    [wheel] = build(tmp_path / "third", source).glob("*.whl")
    assert _digests(tmp_path / "third")[wheel.name] == _digests(first)[wheel.name]


def test_the_bill_of_materials_names_what_runs(tmp_path: Path) -> None:
    """Every package of an installation with its version and a hash, and the same file each time."""
    sbom.write(tmp_path / "first.json")
    sbom.write(tmp_path / "second.json")
    text = (tmp_path / "first.json").read_text(encoding="utf-8")
    components = json.loads(text)["components"]

    pinned = re.findall(
        r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {(one["name"], one["version"]) for one in components} == set(pinned)
    assert all(one["externalReferences"][0]["hashes"] for one in components)
    assert (tmp_path / "second.json").read_text(encoding="utf-8") == text


def test_every_installed_version_is_pinned_by_hashes() -> None:
    """An archive that was replaced at a registry is not installed."""
    for file in sorted((ROOT / "requirements").glob("*.txt")):
        text = file.read_text(encoding="utf-8")
        pinned = re.findall(r"^[\w.-]+==.*(?:\n    --hash=.*)*", text, re.MULTILINE)
        assert pinned, file
        assert all("--hash=sha256:" in one for one in pinned), file
