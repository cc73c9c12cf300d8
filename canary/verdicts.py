"""What the judge's verdicts are called where people read them: page, reports, dashboards.

One set of words, so that a person who saw *not decided yet* on the page finds the same words in the report. Metrics,
JSON and `canary backtest` keep the short values (`names.VERDICTS`), which programs compare.
"""

from collections.abc import Mapping
from types import MappingProxyType

VERDICT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "pass": "within tolerance",
        "hold": "not decided yet",
        "fail": "harm proven",
        "blind": "no fresh data",
    }
)
"""By verdict: `pass` excludes harm beyond the tolerance, `hold` proves nothing yet, `blind` cannot be relied on."""

NOT_JUDGED = "not judged"
"""Where there is no verdict at all."""


def verdict_words(verdict: str) -> str:
    """The words for a verdict, `NOT_JUDGED` for none."""
    return VERDICT_WORDS.get(verdict, NOT_JUDGED)


def no_unit(over_dispersion: float) -> str:
    """What is said where rows of a KPI name no customer: its evidence is divided by their *over_dispersion*."""
    return f"rows without a customer, evidence divided by {over_dispersion:.1f}"
