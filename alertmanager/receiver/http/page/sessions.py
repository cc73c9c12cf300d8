"""Who is at the page: a session for an operator's token, a secret per session against forged forms."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiohttp import web

from canary.timing.clock import Clock

COOKIE = "canary_session"

# A working day: nobody signs in twice a day, and a browser that is left open is no key for long.
_LIFETIME = timedelta(hours=8)

# More people than any team has; the oldest session ends when there is one more.
_MOST = 200


@dataclass(frozen=True)
class Session:
    """One browser of one person.

    Attributes:
        name: as the person gave it, for the journal.
        form_key: must come back with every form.
        authorization: the header with the token that opened it; empty where none is needed.
    """

    id: str
    name: str
    form_key: str
    expires_at: datetime
    authorization: str = field(repr=False)

    def wrote(self, form_key: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.form_key.encode(), form_key.encode("utf-8", "replace"))


class Sessions:
    """The sessions of this process; a restart ends them all, and a token that is taken away ends those it opened.

    Args:
        valid: whether an `Authorization` header is an operator's now.
    """

    def __init__(self, clock: Clock, valid: Callable[[str], bool]) -> None:
        self._clock = clock
        self._valid = valid
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._sessions)

    def begin(self, name: str, authorization: str = "") -> Session:
        """A new session."""
        now = self._clock.now()
        self._sessions = {key: one for key, one in self._sessions.items() if one.expires_at > now}
        while len(self._sessions) >= _MOST:
            self._sessions.pop(next(iter(self._sessions)))
        session = Session(secrets.token_urlsafe(32), name, secrets.token_urlsafe(32), now + _LIFETIME, authorization)
        self._sessions[session.id] = session
        return session

    def of(self, request: web.Request) -> Session | None:
        """The request's session, unless it has none or it is over."""
        session = self._sessions.get(request.cookies.get(COOKIE, ""))
        if session is None or session.expires_at <= self._clock.now() or not self._valid(session.authorization):
            return None
        return session

    def end(self, session: Session) -> None:
        """Forget a session."""
        self._sessions.pop(session.id, None)
