"""What somebody most likely meant by a name that is not there."""

import difflib
from collections.abc import Sequence

_LISTED = 40
"""Of more tables, or columns, nobody reads the names."""


def near(word: str, options: Sequence[str]) -> str:
    """A remedy: the nearest of the names that there are, else all of them."""
    elsewhere = [name for name in options if name.endswith(f".{word}")]  # the same, in another schema
    found = elsewhere or difflib.get_close_matches(word, options, n=1)
    if found:
        return f"did you mean {found[0]!r}?"
    if not options:
        return "the database is empty"
    more = f" and {len(options) - _LISTED} more" if len(options) > _LISTED else ""
    return f"there are {', '.join(sorted(options)[:_LISTED])}{more}"
