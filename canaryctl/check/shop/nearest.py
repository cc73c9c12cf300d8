"""What somebody most likely meant by a name that is not there."""

import difflib
from collections.abc import Sequence


def near(word: str, options: Sequence[str]) -> str:
    """A remedy: the nearest of the names that there are, else all of them."""
    found = difflib.get_close_matches(word, options, n=1)
    if found:
        return f"did you mean {found[0]!r}?"
    return f"there are {', '.join(sorted(options))}" if options else "the database is empty"
