"""The exporter's pages: their commands do what they say, and they leave nothing out."""

import dataclasses
from pathlib import Path

from canary.policy.database.section import Event
from exporter.judge.blindness import BLIND_REASONS
from tests.support.documents.pages import DOCS, Page


def _run(name: str, folder: Path) -> None:
    page = Page(name, folder)
    page.write_files()
    page.run()


def test_the_exporters_page_does_what_it_says(shop: Path) -> None:
    """From a two-line policy to metrics, health, a refused reload, TLS and a password."""
    _run("shop/exporter.md", shop)


def test_the_databases_page_does_what_it_says(tmp_path: Path) -> None:
    """A shop with tables of its own is mapped, counted and measured."""
    _run("shop/your-database.md", tmp_path)


def test_every_reason_to_be_blind_is_explained() -> None:
    """The exporter's page names each value of `canary_blind{reason}`."""
    text = (DOCS / "shop" / "exporter.md").read_text(encoding="utf-8")

    assert all(f"`{reason}`" in text for reason in BLIND_REASONS)


def test_every_key_of_an_event_is_explained() -> None:
    """The page about databases has each key of `database.events`."""
    text = (DOCS / "shop" / "your-database.md").read_text(encoding="utf-8")

    assert [field.name for field in dataclasses.fields(Event) if f"`{field.name}`" not in text] == []
