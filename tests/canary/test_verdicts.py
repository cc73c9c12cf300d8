"""People read the same words for a verdict wherever they look."""

import re
from pathlib import Path

from canary import names
from canary.verdicts import NOT_JUDGED, VERDICT_WORDS, verdict_words

_DASHBOARD_WORDS = Path(__file__).parents[2] / "grafana" / "lib" / "words.libsonnet"


def test_every_verdict_has_words_of_its_own() -> None:
    """No verdict is without words, and no two verdicts read the same, nor like no verdict at all."""
    assert set(VERDICT_WORDS) == set(names.VERDICTS)
    assert len({*VERDICT_WORDS.values(), NOT_JUDGED}) == len(names.VERDICTS) + 1
    assert verdict_words("") == verdict_words("of a newer version") == NOT_JUDGED


def test_the_dashboards_use_the_same_words() -> None:
    """The mixin, which knows no Python, writes each verdict as the page and the reports do, after its sign."""
    text = _DASHBOARD_WORDS.read_text(encoding="utf-8")
    mapping = text[text.index("verdicts:: mapping({") :].split("}),")[0]

    found = dict(re.findall(r"(\w+): word\(\d, '\S+ ([^']+)'", mapping))

    assert found == dict(VERDICT_WORDS)
