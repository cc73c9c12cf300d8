"""The people's channels."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from canary.policy import Policy
from canaryctl.check import Status
from canaryctl.check.notify import check_notify
from tests.support.programs.ports import free_port

Write = Callable[[str], Policy]


async def test_each_channel_is_reached_without_a_message(write_policy: Write, tmp_path: Path) -> None:
    """A listening server passes, a dead one fails, and neither URL nor token is shown; nothing is sent."""
    received: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (tmp_path / "urls").write_text(
        f"json://127.0.0.1:{port}/s3cret\njson://127.0.0.1:{free_port()}/s3cret\n", encoding="utf-8"
    )

    findings = await check_notify(
        write_policy("notify: {urls_file: urls}\nreceiver: {page_url: 'https://canary.example'}\n")
    )
    server.close()
    await server.wait_closed()

    assert [(finding.place, finding.status) for finding in findings] == [
        ("notify json#1", Status.OK),
        ("notify json#2", Status.FAILED),
    ]
    assert not any("s3cret" in str(finding) for finding in findings)
    assert received in ([], [b""])


async def test_a_url_that_apprise_does_not_know_is_a_failure(write_policy: Write, tmp_path: Path) -> None:
    """The URL is named by its place in the file."""
    (tmp_path / "urls").write_text("slak://a/b/c\n", encoding="utf-8")

    (failure,) = await check_notify(
        write_policy("notify: {urls_file: urls}\nreceiver: {page_url: 'https://canary.example'}\n")
    )

    assert failure.status is Status.FAILED
    assert "URL 1 of 1" in failure.place


@pytest.mark.parametrize(
    ("receiver", "told"),
    [
        ("{}", True),
        ("{url: 'http://[::1]:9878/canary'}", True),
        ("{page_url: 'https://canary.example'}", False),
        ("{url: 'http://canary.internal:9878'}", False),
    ],
)
async def test_a_page_that_nobody_else_can_open_is_told(write_policy: Write, receiver: str, told: bool) -> None:
    """Messages would link to the reader's own machine; without anybody to tell there are no messages."""
    for notify, expected in (("{urls_env: URLS}", told), ("{}", False)):
        findings = await check_notify(write_policy(f"notify: {notify}\nreceiver: {receiver}\n"))

        assert ("receiver.page_url" in {one.place for one in findings}) is expected


async def test_without_targets_the_remedy_says_what_is_lost(write_policy: Write) -> None:
    """No targets is allowed, but said."""
    findings = await check_notify(write_policy(""))

    assert findings[0].status is Status.SKIPPED
    assert "nobody hears about a rollback" in findings[0].remedy


async def test_an_owner_without_an_audience_is_told(write_policy: Write) -> None:
    """A misspelt name sends messages to nobody; the nearest audience is named, and so is one without targets."""
    findings = await check_notify(
        write_policy(
            "notify: {urls_env: URLS, audiences: {payments-team: {}}}\n"
            "kpis: {payment_success_rate: {kind: success, of: payments, owner: paymnts-team}}\n"
        )
    )

    assert [(one.place, one.status) for one in findings[:2]] == [
        ("notify.audiences.payments-team", Status.SKIPPED),
        ("kpis.payment_success_rate.owner", Status.SKIPPED),
    ]
    assert "did you mean 'payments-team'" in str(findings[1])
