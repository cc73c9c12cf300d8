"""Every page of docs/ that is not tested with its own room: its commands do what it says, its files are valid."""

from pathlib import Path

from tests.support.pages import Page


def test_the_first_rollout_goes_as_the_page_says(shop: Path) -> None:
    """From an order database to a rollback, on real HAProxy, Prometheus and Alertmanager."""
    Page("first-rollout.md", shop).run()
