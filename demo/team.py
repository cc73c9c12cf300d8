"""The team's chat: a local webhook that keeps each message with the time at which it arrived.

It stands for Slack and the like, by the same way (apprise), so that the demo needs no account and proves that the
message went out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from canary.timing.clock import Clock


@dataclass(frozen=True)
class Message:
    """One notification as it arrived."""

    at: datetime
    title: str
    text: str


class Team:
    """Listens at `/team` and hands every message on.

    Attributes:
        messages: everything that arrived, oldest first.
    """

    def __init__(self, clock: Clock, tell: Callable[[Message], None]) -> None:
        self.messages: list[Message] = []
        self._clock = clock
        self._tell = tell
        self._runner: web.AppRunner | None = None

    async def listen(self, port: int) -> None:
        """Open the webhook on 127.0.0.1."""
        app = web.Application()
        app.add_routes([web.post("/team", self._hear)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _hear(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            message = Message(self._clock.now(), str(body.get("title", "")), str(body.get("message", "")))
        except (ValueError, AttributeError):
            return web.Response(status=400, text="expected a JSON object with title and message\n")
        self.messages.append(message)
        self._tell(message)
        return web.Response(text="heard\n")
