"""Every text of an entry, made storable and showable on its way into the journal, wherever it came from.

Texts reach the journal by a dozen ways (alerts, commands, the page, error messages of other programs), and each of them
has cleaned what its author thought of. One that was forgotten was enough: an alert's text with a character that
PostgreSQL refuses was acted upon, could never be written, blocked whatever was decided afterwards, and was lost with
the process, so that the next start raised the canary again. Hence one place, through which all pass:

* **storable**: no halves of surrogate pairs, no NUL, no more characters than a column takes;
* **showable**: what would steer a terminal or turn the direction of writing is written out (`\\x1b`, `\\u202e`), so
  that nothing is hidden from whoever reads the history.

What a database refuses nevertheless (another encoding, a constraint or a trigger of its owner) is written in plainer
forms, each of which says less and is easier to take; what an entry *decides* is in all of them.
"""

import dataclasses
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

from canary.rollout.entries import Entry

# A column of 64 characters; ids are made of a version and a moment, and are shorter.
_ROLLOUT_CHARACTERS = 64

# A column of 256 characters.
_ACTOR_CHARACTERS = 256

# Two thousand are what an alert may bring, one thousand what a person may write; more than this is no sentence.
_REASON_CHARACTERS = 4000

# Causes, versions, names of targets: what stands in labels and columns of tables.
_OTHER_CHARACTERS = 256

# A text of a pinned policy: as long as a policy's file may be, for one that is cut is another policy.
_POLICY_CHARACTERS = 128 * 1024

# A plainer reason is for whoever looks for what has been refused, and no longer the story itself.
_PLAIN_CHARACTERS = 500

_CUT: Final = "…"

_LINES: Final = frozenset("\n\t")
"""Control characters that people write in reasons."""

_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of writing. Other format characters, such as joiners, are part of words."""

_HIDDEN: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, halves of surrogate pairs, and separators that break lines."""

REFUSED: Final = "[the journal refused this text as it was]"
"""What an entry says that could only be written in a plainer form."""


def showable(text: str, most: int) -> str:
    """The text with what is hidden written out, and cut where it is longer than *most* characters."""
    shown = "".join(_written_out(character) if _is_hidden(character) else character for character in text)
    return shown if len(shown) <= most else shown[: most - len(_CUT)] + _CUT


def storable(entry: Entry) -> Entry:
    """The entry with every text of it showable and within its bounds."""
    return dataclasses.replace(
        entry, **{field.name: _cleaned(getattr(entry, field.name), field.name) for field in dataclasses.fields(entry)}
    )


def forms(entry: Entry) -> Iterator[Entry]:
    """The forms in which an entry may be written, the fullest first; all of them decide the same."""
    full = storable(entry)
    yield full
    ascii_only: Entry = dataclasses.replace(
        full, **{field.name: _ascii(getattr(full, field.name)) for field in dataclasses.fields(full)}
    )
    reason = f"{showable(ascii_only.reason, _PLAIN_CHARACTERS)} {REFUSED}".replace(_CUT, "...")
    yield dataclasses.replace(ascii_only, reason=reason.strip())
    yield dataclasses.replace(ascii_only, reason=REFUSED, actor="unknown", request="")


def _is_hidden(character: str) -> bool:
    return character not in _LINES and (unicodedata.category(character) in _HIDDEN or character in _TURNING)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _cleaned(value: Any, name: str) -> Any:
    limits = {
        "rollout": _ROLLOUT_CHARACTERS,
        "actor": _ACTOR_CHARACTERS,
        "reason": _REASON_CHARACTERS,
        "policy": _POLICY_CHARACTERS,
    }
    most = limits.get(name, _OTHER_CHARACTERS)
    return _mapped(value, lambda text: showable(text, most))


def _ascii(value: Any) -> Any:
    return _mapped(value, lambda text: text.encode("ascii", "backslashreplace").decode("ascii"))


def _mapped(value: Any, change: Any) -> Any:
    """The value with every text in it changed; what does not change stays the object that it was."""
    match value:
        case str():
            changed = change(value)
            return value if changed == value else changed
        case tuple():
            return tuple(_mapped(one, change) for one in value)
        case Mapping():
            return {_mapped(key, change): _mapped(one, change) for key, one in value.items()}
        case _:
            return value
