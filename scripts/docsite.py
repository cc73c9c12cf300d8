"""What the documentation's site needs besides docs/: the pages of the repository's root, and the long lists of pages.

A page of docs/ may lead out of it (`../CHANGELOG.md`), as it should where people read the repository. On the site those
pages stand under `project/`, and the ways between them are written anew here; what is no page, such as a folder of
systemd units, is named without a link.
"""

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PROJECT = (
    "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "README.md",
    "deploy/README.md", "bench/RESULTS.md",
)  # fmt: skip
"""The pages outside docs/ that the site has."""

_NAMED = re.compile(r"^(?P<fence> *```)(?P<language>\w+) +(?P<words>\S.*)$", re.MULTILINE)
_LISTED = {"Platforms": "platforms", "Runbooks": "runbooks"}
_LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>(?!https?:|mailto:|#)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)"
)


def on_config(config: Any) -> Any:
    """Fill in the lists that would only repeat what the folders hold; offer a choice of versions where there are any.

    mike, which keeps one folder a version, says so by a variable of its own. Without it the choice would look for a
    list of versions that is not there.
    """
    config.nav = [_filled(one) for one in config.nav]
    if "MIKE_DOCS_VERSION" in os.environ:
        config.extra["version"] = {"provider": "mike", "default": "latest"}
    return config


def _filled(one: Any) -> Any:
    if not isinstance(one, dict):
        return one
    ((title, under),) = one.items()
    if title == "Project":
        return {title: ["first-contribution.md", *(place(name) for name in PROJECT)]}
    if title in _LISTED:
        pages = sorted(page.name for page in (DOCS / _LISTED[title]).glob("*.md"))
        return {title: [f"{_LISTED[title]}/{page}" for page in sorted(pages, key=lambda name: name != "README.md")]}
    return {title: [_filled(child) for child in under] if isinstance(under, list) else under}


def place(name: str) -> str:
    """Where a page outside docs/ is on the site; a README of a folder would become its start page."""
    return f"project/{name.lower().replace('/', '-').replace('readme', 'read-me')}"


def on_files(files: Any, config: Any) -> Any:
    """Bring the pages of the repository's root along."""
    from mkdocs.structure.files import File

    for name in PROJECT:
        files.append(File.generated(config, place(name), content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001  # mkdocs' names
    """Let links lead where the pages are on the site."""
    sources = {place(name): ROOT / name for name in PROJECT}
    source = sources.get(page.file.src_uri, DOCS / page.file.src_uri)
    named = _NAMED.sub(_titled, markdown)
    return _LINK.sub(lambda found: _link(found, source, page.file.src_uri), named)


def _titled(found: re.Match[str]) -> str:
    """A block's own words, which tell the tests what to do with it: the name of a file is its title."""
    title = f' title="{found["words"]}"' if re.fullmatch(r"[\w./-]+", found["words"]) else ""
    return f"{found['fence']}{found['language']}{title}"


def _link(found: re.Match[str], source: Path, here: str) -> str:
    target = (source.parent / found["target"]).resolve()
    if target.is_relative_to(DOCS) and target.is_file():
        there = str(target.relative_to(DOCS))
    elif target.is_relative_to(ROOT) and str(target.relative_to(ROOT)) in PROJECT:
        there = place(str(target.relative_to(ROOT)))
    else:
        return f"{found['text']}" if found["text"].startswith("`") else f"`{found['text']}`"
    way = os.path.relpath(there, Path(here).parent)
    return f"{found['image']}[{found['text']}]({way}{found['anchor'] or ''})"
