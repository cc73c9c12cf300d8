"""Who is at the page: a session for an operator's token, a secret per session against forged forms."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from canary.clock import Clock

COOKIE = "canary_session"
_LIFETIME = timedelta(hours=8)
_MOST = 200
_ATTEMPTS = 10
_ATTEMPTS_PER = timedelta(minutes=1)


@dataclass(frozen=True)
class Session:
    """One browser of one person.

    Attributes:
        name: as the person gave it, for the journal.
        form_key: must come back with every form.
    """

    id: str
    name: str
    form_key: str
    expires_at: datetime

    def wrote(self, form_key: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.form_key.encode(), form_key.encode("utf-8", "replace"))


class Sessions:
    """The sessions of this process; a restart ends them all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._failures: list[datetime] = []

    def begin(self, name: str) -> Session:
        """A new session."""
        now = self._clock.now()
        self._sessions = {key: one for key, one in self._sessions.items() if one.expires_at > now}
        while len(self._sessions) >= _MOST:
            self._sessions.pop(next(iter(self._sessions)))
        session = Session(secrets.token_urlsafe(32), name, secrets.token_urlsafe(32), now + _LIFETIME)
        self._sessions[session.id] = session
        return session

    def of(self, request: web.Request) -> Session | None:
        """The request's session, unless it has none or it is over."""
        session = self._sessions.get(request.cookies.get(COOKIE, ""))
        return session if session is not None and session.expires_at > self._clock.now() else None

    def end(self, session: Session) -> None:
        """Forget a session."""
        self._sessions.pop(session.id, None)

    def failed(self) -> None:
        """A wrong token was given."""
        self._failures.append(self._clock.now())

    def closed(self) -> bool:
        """Whether so many wrong tokens came lately that none is looked at for a while."""
        since = self._clock.now() - _ATTEMPTS_PER
        self._failures = [moment for moment in self._failures if moment > since]
        return len(self._failures) >= _ATTEMPTS


def same_origin(request: web.Request) -> bool:
    """Whether a form was sent from this page: browsers say where a form comes from, and another site cannot lie."""
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    return origin is None or origin.partition("://")[2] == request.host
