"""One page per alert, and none for alerts that do not exist."""

import pytest

from canary import names
from scripts.golden import ROOT

_FOLDER = ROOT / "docs" / "runbooks"
_SECTIONS = ("## When it fires", "## What happens by itself", "## Look at", "## Do", "## When it is wrong")


def test_every_alert_has_its_page() -> None:
    """The runbook_url of every alert leads to a page, and no page is about an alert that is gone."""
    assert {page.stem for page in _FOLDER.glob("*.md")} == names.ALERTS


@pytest.mark.parametrize("alert", sorted(names.ALERTS))
def test_a_page_answers_the_same_questions(alert: str) -> None:
    """Each page says when the alert fires, what happens by itself, where to look, what to do, and when it is wrong."""
    text = (_FOLDER / f"{alert}.md").read_text(encoding="utf-8")

    assert text.startswith(f"# {alert}\n")
    places = [text.find(section) for section in _SECTIONS]
    assert all(place > 0 for place in places)
    assert places == sorted(places)
