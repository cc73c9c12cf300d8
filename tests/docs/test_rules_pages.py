"""The pages about rules and Alertmanager: their commands do what they say, and no alert is left out."""

from pathlib import Path

import pytest

from canary import names
from tests.support.pages import DOCS, Page


def test_the_page_about_rules_does_what_it_says(shop: Path) -> None:
    """From a policy to checked and tested rules, and to blocks with the shop's past."""
    page = Page("rules.md", shop)
    page.write_files()

    page.run()


@pytest.mark.parametrize("name", ["alertmanager.md", "kubernetes.md", "mimir-thanos-victoriametrics.md"])
def test_commands_do_what_the_page_says(tmp_path: Path, name: str) -> None:
    """Each command of the page, with the page's own policy."""
    page = Page(name, tmp_path)
    page.write_files()

    page.run()


def test_every_alert_stands_in_the_list() -> None:
    """The page lists each alert with a link to its runbook, but for those about experiments."""
    text = (DOCS / "rules.md").read_text(encoding="utf-8")

    missing = [name for name in names.ALERTS if f"runbooks/{name}.md" not in text and "Experiment" not in name]

    assert missing == []
