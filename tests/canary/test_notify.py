"""Notifications through real apprise to a real HTTP server."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from canary.errors import NotificationError, SecretError
from canary.notify import Message, Notifier, Tone, audience_of
from canary.policy.model import Notify, Policy

MESSAGE = Message("Rolled back v2.0", "payment_success_rate: 84% against 96%", Tone.FAILURE)


class Inbox:
    """An HTTP service that takes messages, refuses them, or hangs."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.location = ""
        self.asked: list[str] = []
        self.release = asyncio.Event()
        self.release.set()

    async def take(self, request: web.Request) -> web.Response:
        """One message."""
        await self.release.wait()
        self.asked.append(request.path)
        self.messages.append(json.loads(await request.text()))
        return web.Response(status=self.status, headers={"Location": self.location} if self.location else {})


@pytest.fixture
async def inbox() -> AsyncIterator[tuple[Inbox, Callable[[str], str]]]:
    """An inbox, and its apprise URL for a path that plays the secret."""
    made = Inbox()
    app = web.Application()
    app.router.add_post("/{secret}", made.take)
    server = TestServer(app)
    await server.start_server(access_log=None)  # the service's own log is not ours
    yield made, lambda secret: f"json://127.0.0.1:{server.port}/{secret}"
    made.release.set()
    await server.close()


async def test_every_target_is_told(inbox: tuple[Inbox, Callable[[str], str]]) -> None:
    """Title, text and tone arrive at every target, whose names carry no secret."""
    service, url = inbox
    notifier = Notifier([url("s3cret-one"), url("s3cret-two")], timeout_seconds=10)

    deliveries = await notifier.send(MESSAGE)
    notifier.close()

    assert [(delivery.target, delivery.error) for delivery in deliveries] == [("json#1", ""), ("json#2", "")]
    assert [(told["title"], told["message"], told["type"]) for told in service.messages] == [
        (MESSAGE.title, MESSAGE.body, "failure")
    ] * 2


async def test_only_the_targets_that_failed_are_tried_again(inbox: tuple[Inbox, Callable[[str], str]]) -> None:
    """One dead target does not hide another's success, and can be asked alone."""
    service, url = inbox
    notifier = Notifier(["json://127.0.0.1:9/s3cret", url("s3cret")], timeout_seconds=10)

    first = await notifier.send(MESSAGE)
    failed = [delivery.target for delivery in first if delivery.error]
    second = await notifier.send(MESSAGE, failed)
    notifier.close()

    assert failed == ["json#1"]
    assert [delivery.target for delivery in second] == ["json#1"]
    assert len(service.messages) == 1


async def test_a_refusal_is_an_error(inbox: tuple[Inbox, Callable[[str], str]]) -> None:
    """A target that answers 500 did not take the message."""
    service, url = inbox
    service.status = 500
    notifier = Notifier([url("s3cret")], timeout_seconds=10)

    deliveries = await notifier.send(MESSAGE)
    notifier.close()

    assert [delivery.error for delivery in deliveries] == ["refused or unreachable"]


async def test_a_target_cannot_send_the_message_elsewhere(inbox: tuple[Inbox, Callable[[str], str]]) -> None:
    """A redirect into the shop's own network is not followed: the target did not take the message."""
    service, url = inbox
    service.status, service.location = 307, url("inside").replace("json:", "http:")
    notifier = Notifier([url("s3cret")], timeout_seconds=10)

    deliveries = await notifier.send(MESSAGE)
    notifier.close()

    assert [delivery.error for delivery in deliveries] == ["refused or unreachable"]
    assert service.asked == ["/s3cret"]


async def test_a_target_that_hangs_is_given_up(inbox: tuple[Inbox, Callable[[str], str]]) -> None:
    """A service that takes the connection and stays silent is given up at the time limit; the others are told."""
    service, url = inbox
    service.release.clear()
    notifier = Notifier([url("s3cret")], timeout_seconds=0.1)

    deliveries = await notifier.send(MESSAGE)
    notifier.close()

    assert [delivery.error for delivery in deliveries] == ["no answer within 0.1s"]
    service.release.set()


async def test_services_that_hang_leave_the_loops_threads_free(inbox: tuple[Inbox, Callable[[str], str]]) -> None:
    """However many attempts hang, work that routers and name look-ups give to threads is done."""
    service, url = inbox
    service.release.clear()
    notifier = Notifier([url("s3cret")] * 20, timeout_seconds=0.1)
    for _ in range(3):
        await notifier.send(MESSAGE)

    async with asyncio.timeout(2):
        assert await asyncio.to_thread(time.monotonic) > 0
    service.release.set()
    notifier.close()


async def test_secrets_are_not_logged(
    inbox: tuple[Inbox, Callable[[str], str]], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither success nor failure writes a URL to the log, at any level."""
    _, url = inbox
    with caplog.at_level(logging.DEBUG):
        notifier = Notifier([url("s3cret"), "json://127.0.0.1:9/s3cret"], timeout_seconds=10)
        await notifier.send(MESSAGE)
        notifier.close()

    assert "s3cret" not in caplog.text


def test_a_url_that_apprise_does_not_know_is_not_shown() -> None:
    """The message says which of the URLs is wrong, and not what it is."""
    with pytest.raises(NotificationError, match="URL 2 of 2: expected an apprise URL") as caught:
        Notifier(["json://127.0.0.1/ok", "hxxps://hooks.example/s3cret"], timeout_seconds=1)

    assert "s3cret" not in str(caught.value)


def test_urls_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One URL a line, comments and blank lines passed over; without a file there are no targets."""
    (tmp_path / "urls").write_text("# the team\njson://127.0.0.1/a\n\n  mailto://user:pass@shop.example  \n")
    monkeypatch.setenv("NOTIFY_URLS", "json://127.0.0.1/a json://127.0.0.1/b")

    from_file = Policy(service="shop", base=str(tmp_path), notify=Notify(urls_file="urls"))
    from_environment = Policy(service="shop", notify=Notify(urls_env="NOTIFY_URLS"))

    assert Notifier.of(from_file).targets == ("json#1", "mailto#2")
    assert Notifier.of(from_environment).targets == ("json#1", "json#2")
    assert Notifier.of(Policy(service="shop")).targets == ()
    with pytest.raises(SecretError, match="missing"):
        Notifier.of(Policy(service="shop", base=str(tmp_path), notify=Notify(urls_file="missing")))


def test_slacks_own_address_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that Slack shows for a webhook needs no rewriting; the target's name holds nothing of it."""
    address = "/".join(("https://hooks.slack.com/services", "T" + "0" * 8, "B" + "0" * 8, "X" * 24))
    monkeypatch.setenv("SLACK_WEBHOOK_URL", address)
    policy = Policy(service="shop", notify=Notify(urls_env="SLACK_WEBHOOK_URL"))

    assert Notifier.of(policy).targets == ("https#1",)


async def test_an_audience_has_targets_of_its_own(inbox: tuple[Inbox, Callable[[str], str]]) -> None:
    """They are called after it, so that a message can be sent to it alone."""
    service, url = inbox
    notifier = Notifier([url("one")], timeout_seconds=10, audiences={"owners": [url("two")]})

    deliveries = await notifier.send(MESSAGE, ["owners/json#1"])
    notifier.close()

    assert notifier.targets == ("json#1", "owners/json#1")
    assert [audience_of(target) for target in notifier.targets] == ["", "owners"]
    assert [delivery.target for delivery in deliveries] == ["owners/json#1"]
    assert len(service.messages) == 1
