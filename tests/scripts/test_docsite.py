"""The documentation as a site: every page has its place, and links lead where the pages are."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.docsite import DOCS, PROJECT, ROOT, on_config, on_page_markdown, place
from tests.support.programs.chromium import chromium


class Config:
    """The part of mkdocs' configuration that is filled in."""

    def __init__(self, nav: list[Any]) -> None:
        self.nav = nav
        self.extra: dict[str, Any] = {}


class Page:
    """A page as mkdocs has it."""

    def __init__(self, path: str) -> None:
        self.file = type("File", (), {"src_uri": path})


def listed(entries: list[Any]) -> list[str]:
    """Every page of a navigation."""
    found: list[str] = []
    for one in entries:
        under = next(iter(one.values())) if isinstance(one, dict) else one
        found += listed(under) if isinstance(under, list) else [under]
    return found


def test_every_page_is_in_the_navigation_once() -> None:
    """Those of docs/, its lists filled in, and those of the repository's root."""
    config = on_config(Config(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    pages = listed(config.nav)

    own = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert len(pages) == len(set(pages))
    assert set(pages) == own | {place(name) for name in PROJECT}


def test_a_choice_of_versions_stands_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when mike builds: a site of one version has no list of them to ask for."""
    assert on_config(Config([])).extra == {}

    monkeypatch.setenv("MIKE_DOCS_VERSION", "1.2")
    assert on_config(Config([])).extra["version"] == {"provider": "mike", "default": "latest"}


def test_links_out_of_the_folder_lead_to_the_pages_of_the_site() -> None:
    """In both directions; what is no page is named, and addresses elsewhere stay."""

    def written(path: str, text: str) -> str:
        return on_page_markdown(text, page=Page(path), config=None, files=None)

    assert written("why.md", "[x](../bench/RESULTS.md#the-page)") == "[x](project/bench-results.md#the-page)"
    assert written("runbooks/a.md", "[x](../rollout.md)") == "[x](../rollout.md)"
    assert written("deployment.md", "[the units](../deploy/systemd)") == "`the units`"
    assert written(place("CHANGELOG.md"), "[x](docs/why.md)") == "[x](../why.md)"
    assert written("why.md", "[x](https://example.org/a)") == "[x](https://example.org/a)"


def test_blocks_keep_their_language_and_the_name_of_their_file() -> None:
    """What else stands there is for the tests of the pages, and would keep a block from being one."""
    text = "```yaml canary.yaml\na: 1\n```\n```console exit=5\n$ x\n```"

    shown = on_page_markdown(text, page=Page("why.md"), config=None, files=None)

    assert shown == '```yaml title="canary.yaml"\na: 1\n```\n```console\n$ x\n```'


def test_links_to_headings_find_one() -> None:
    """An anchor in a link to a page of ours is a heading there."""
    missing = []
    for page in [*DOCS.rglob("*.md"), *(ROOT / name for name in PROJECT)]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", text):
            there = (page.parent / target).resolve() if target else page
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            if anchor not in {_slug(heading) for heading in headings}:
                missing.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")

    assert missing == []


def _slug(heading: str) -> str:
    """As both the repository's host and the site write the anchor of a heading."""
    plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def test_what_builds_the_site_is_installed_by_its_hashes() -> None:
    """The list is complete, as the other lists are."""
    text = Path(ROOT / "requirements" / "docs.txt").read_text(encoding="utf-8")

    assert "mkdocs-material==" in text
    assert "mike==" in text
    assert text.count("==") <= text.count("--hash=sha256:")


_MIKE = """\
#!/bin/sh
echo "$*" >>said
"""


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A repository whose site has version 1.2 as the latest, and a mike that writes down what it is told."""
    for folder in ("scripts", "requirements", ".venv-docs/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "docs", tmp_path / "scripts")
    (tmp_path / "requirements" / "docs.txt").touch()
    (tmp_path / ".venv-docs" / ".installed").touch()
    (tmp_path / ".venv-docs" / "bin" / "mike").write_text(_MIKE)
    (tmp_path / ".venv-docs" / "bin" / "mike").chmod(0o755)
    (tmp_path / "latest").symlink_to("1.2")
    (tmp_path / "versions.json").write_text(json.dumps([{"version": "dev"}, {"version": "1.2"}], indent=2))
    who = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    for words in (
        ("init", "-q", "-b", "gh-pages"),
        ("add", "latest", "versions.json"),
        (*who, "commit", "-qm", "versions"),
    ):
        subprocess.run(["git", *words], check=True, cwd=tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("what", "version", "expected"),
    [
        ("dev", "1.3.0", ["deploy --update-aliases dev", "set-default latest"]),
        ("release", "1.3.0", ["deploy --update-aliases 1.3 latest", "set-default latest"]),
        ("release", "1.2.1", ["deploy --update-aliases 1.2 latest", "set-default latest"]),
        ("release", "1.1.7", ["deploy --update-aliases 1.1", "set-default latest"]),
    ],
)
def test_readers_get_the_latest_release_first(kept: Path, what: str, version: str, expected: list[str]) -> None:
    """Also after the trunk's own pages were built anew, and after a fix of an older version."""
    (kept / "pyproject.toml").write_text(f'version = "{version}"\n')
    subprocess.run(["scripts/docs", what], check=True, cwd=kept, stdout=subprocess.DEVNULL)

    assert (kept / "said").read_text().splitlines() == expected


async def test_search_works_from_the_folder_and_asks_nobody(tmp_path: Path) -> None:
    """What the theme would load from another host is ours: from a file too, a worker takes a message and answers."""
    [shim] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["extra"]["polyfills"]
    shutil.copy(ROOT / "scripts" / "docstheme" / shim, tmp_path / "iframe-worker.js")
    (tmp_path / "worker.js").write_text("addEventListener('message', async (one) => postMessage(`heard ${one.data}`));")
    (tmp_path / "page.js").write_text(
        "const worker = new Worker('worker.js');"
        "worker.addEventListener('message', (one) => { document.title = one.data; });"
        "worker.postMessage('rollback');"
    )
    scripts = "".join(f"<script src='{name}.js'></script>" for name in ("iframe-worker", "page"))
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Site</title><body>{scripts}")
    async with chromium() as tab:
        await tab.open((tmp_path / "index.html").as_uri())
        await tab.until("document.title == 'heard rollback'")
