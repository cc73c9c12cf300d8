"""What the HTTP server logs about requests that it cannot read: one line each, without a traceback."""

from canary.clock import Clock
from canary.logs import Log
from canary.web.rarely import Rarely

# What a stranger sends is quoted in the reason; this much of it tells what it was.
_MOST_CHARACTERS = 200


class ServerLog:
    """Stands in for the logger of aiohttp's server.

    aiohttp logs a traceback for every malformed request. Whoever reaches the port can send as many of those as they
    like; a traceback each fills the disk that the journal is on, and a line each does so a little later.
    """

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._rarely = Rarely(clock)

    def debug(self, message: str, *arguments: object, **_options: object) -> None:
        """What helps to understand the server."""
        self._log.debug(message % arguments if arguments else message)

    def exception(self, message: str, *arguments: object, exc_info: object = None) -> None:
        """A request that could not be read or answered."""
        if (unsaid := self._rarely.due(message)) is None:
            return
        reason = " ".join(str(exc_info).split())[:_MOST_CHARACTERS] or type(exc_info).__name__
        self._log.warn(message % arguments if arguments else message, reason=reason, unsaid=unsaid)
