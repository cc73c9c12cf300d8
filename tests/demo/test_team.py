"""The team's local webhook."""

import aiohttp

from canary.notify import Message as Note
from canary.notify import Notifier
from canary.timing.clock import SystemClock
from demo.team import Message, Team


async def test_a_notification_through_apprise_arrives(unused_tcp_port: int) -> None:
    """What the receiver sends is what the team reads."""
    heard: list[Message] = []
    team = Team(SystemClock(), heard.append)
    await team.listen(unused_tcp_port)
    notifier = Notifier([f"json://127.0.0.1:{unused_tcp_port}/team"], timeout_seconds=5)

    deliveries = await notifier.send(Note("rolled back", "payments failed"))

    notifier.close()
    await team.close()
    assert [delivery.error for delivery in deliveries] == [""]
    assert [(message.title, message.text) for message in heard] == [("rolled back", "payments failed")]
    assert team.messages == heard


async def test_noise_is_refused_and_not_kept(unused_tcp_port: int) -> None:
    """What is no notification is 400 and reaches nobody."""
    team = Team(SystemClock(), lambda _message: None)
    await team.listen(unused_tcp_port)
    statuses = []
    async with aiohttp.ClientSession() as session:
        for noise in ("no json", "[1]"):
            async with session.post(f"http://127.0.0.1:{unused_tcp_port}/team", data=noise) as response:
                statuses.append(response.status)

    await team.close()
    assert statuses == [400, 400]
    assert team.messages == []
