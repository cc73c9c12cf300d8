"""The parameters behind an address's question mark: each known by name, none shown by its value.

Which of them a kind of database has, and what they mean there, is in `canary.database.url`. Here is what all share: how
a value is read, and what is said of one that is not understood. What looks like no parameter may be part of a password
with an unescaped `?`, so not even its name is shown.
"""

import difflib
import re

from sqlalchemy.engine import URL

from canary.errors import DatabaseUnavailableError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
"""What a parameter's name looks like. Anything else may be a part of a password with an unescaped `?`."""
_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_INSTEAD = {
    "pgbouncer": "leave it out: a connection pooler is recognised",
    "channel_binding": "leave it out: sslmode=verify-full with sslrootcert has the server prove who it is",
    "schema": "leave it out, and write the schema before the table (`table: shop.orders`)",
    "search_path": "write options=-csearch_path%3DNAME",
    "user": "write it before the host (postgresql://USER@HOST/NAME)",
    "password": "give it by password_file or password_env",
    "sslpassword": "give a key without a password, which only this user may read",
    "sslaccept": "write ssl_verify_cert=true",
    "rejectunauthorized": "write ssl_verify_cert=true",
}
"""Parameters of other programs, and how we say the same."""
ESCAPES = "in a password write %3F for ?, %40 for @, %26 for &, %23 for #"


def no_parameter(place: str) -> DatabaseUnavailableError:
    """The error for an address whose question mark begins no parameters."""
    what = "after its question mark the address has something that is no parameter"
    return DatabaseUnavailableError(what, place=place, remedy=ESCAPES)


class Parameters:
    """An address's parameters, each known by name."""

    def __init__(self, url: URL, place: str, known: frozenset[str]) -> None:
        self._place = place
        self.values: dict[str, str] = {}
        mysql = url.get_driver_name() == "asyncmy"
        for key, value in url.query.items():
            name = key.lower().replace("-", "_") if mysql else key
            if name not in known:
                raise self._unknown(name, known)
            self.values[name] = value if isinstance(value, str) else value[-1]

    def refused(self, name: str, what: str, remedy: str) -> DatabaseUnavailableError:
        """The error for a parameter whose value does not serve."""
        return DatabaseUnavailableError(f"the address's parameter {name} {what}", place=self._place, remedy=remedy)

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """The value of a parameter that has one of these."""
        value = self.values.get(name)
        if value is not None and value.lower() not in choices:
            raise self.refused(name, "has a value that it cannot have", f"write one of {', '.join(choices)}")
        return None if value is None else value.lower()

    def truth(self, name: str) -> bool | None:
        """Whether a parameter says yes; None when it is not there."""
        value = self.choice(name, (*sorted(_YES), *sorted(_NO)))
        return None if value is None else value in _YES

    def seconds(self, name: str) -> float | None:
        """A parameter's seconds; none, 0 and less mean no limit, and then ours holds."""
        try:
            value = float(self.values.get(name, "0"))
        except ValueError:
            raise self.refused(name, "is no number", f"write seconds, such as {name}=5") from None
        return value if 0 < value < float("inf") else None

    def _unknown(self, name: str, known: frozenset[str]) -> DatabaseUnavailableError:
        if not _NAME.fullmatch(name):
            return no_parameter(self._place)
        near = difflib.get_close_matches(name, known, n=1)
        remedy = _INSTEAD.get(name.lower()) or (f"did you mean {near[0]}?" if near else "leave it out")
        return self.refused(name, "is not understood", remedy)
