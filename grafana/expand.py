"""Grafana's variables in queries, replaced as Grafana would: for the lint, the tests and the preview."""

import re
from collections.abc import Mapping

# `$1`, in label_replace, is no variable.
_VARIABLE = re.compile(r"\$\{([a-zA-Z_]\w*)(?::\w+)?\}|\$([a-zA-Z_]\w*)")


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with every `$name`, `${name}` and `${name:format}` replaced.

    Raises:
        KeyError: a variable has no value.
    """
    return _VARIABLE.sub(lambda match: values[match[1] or match[2]], text)


def built_in(step_seconds: float, range_seconds: float, scrape_seconds: float) -> dict[str, str]:
    """What Grafana's own variables are for a panel that is drawn at this step over this range."""
    # As Grafana's documentation defines it: at least four scrapes, so that a rate always has two samples.
    rate_seconds = max(step_seconds + scrape_seconds, 4 * scrape_seconds)
    return {
        "__interval": f"{_whole(step_seconds)}s",
        "__rate_interval": f"{_whole(rate_seconds)}s",
        "__range": f"{_whole(range_seconds)}s",
        "__range_s": f"{_whole(range_seconds)}",
    }


def variables_in(text: str) -> set[str]:
    """The names of the variables that a text uses."""
    return {match[1] or match[2] for match in _VARIABLE.finditer(text)}


def _whole(seconds: float) -> int:
    return max(1, round(seconds))
