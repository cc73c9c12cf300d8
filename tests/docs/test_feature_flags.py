"""The page on feature flags: its question is answered as it says."""

from pathlib import Path

from tests.support.documents.pages import Page


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    """A receiver with the page's policy answers the page's question."""
    page = Page("shop/feature-flags.md", tmp_path)
    page.write_files()

    page.run()
