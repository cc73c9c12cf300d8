"""The page on dashboards: its commands do what it says, its pictures are there and small."""

import re
import shutil
from pathlib import Path

from PIL import Image

from canary.policy.model import Policy
from grafana import generate
from tests.support.documents.pages import DOCS, Page

_TEXT = (DOCS / "dashboards.md").read_text(encoding="utf-8")


def test_the_pages_commands_do_what_it_says(policy: Policy, tmp_path: Path) -> None:
    """Generating gives the files that the page lists, and they can be copied to where Grafana looks."""
    shutil.copy(Path(policy.base) / "canary.yaml", tmp_path)

    Page("dashboards.md", tmp_path).administer(["mkdir -p /etc/grafana/provisioning/{dashboards,datasources}"])


def test_the_page_copies_to_where_the_provisioning_looks() -> None:
    """The folder that the page names is the one in the generated provider."""
    assert f"install -d {generate.DASHBOARDS_PATH}\n" in _TEXT


def test_the_pages_pictures_are_there_and_small() -> None:
    """Every picture of the page exists, is readable, and no burden for the repository."""
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", _TEXT)

    assert len(pictures) >= 4
    for name in pictures:
        with Image.open(DOCS / name) as picture:
            assert picture.size[0] == 1600
        assert (DOCS / name).stat().st_size < 250_000


def test_the_page_knows_every_word_of_the_wall() -> None:
    """What the first panel may say is explained."""
    policy_words = re.findall(r"word\(\d, '([^']+)', colours", _WORDS)

    assert len(policy_words) > 6
    assert [word for word in policy_words if word != "No rollout" and word not in _TEXT] == []


_WORDS = (Path(generate.__file__).parent / "lib" / "words.libsonnet").read_text(encoding="utf-8").split("states(")[0]
