"""The link in a message: looked at by scanners, used once by a person, and worth nothing afterwards."""

import asyncio
import dataclasses
from pathlib import Path

import aiohttp

from canary.rollout.kinds import Kind
from tests.support.receiving.receiver import Setting, order, receiving, until

PAGE = "https://canary.example"


async def post(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    """Status and text after the form was sent."""
    async with http.post(url, data={"reason": "from my phone"}, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_the_link_rolls_back_once(tmp_path: Path) -> None:
    """GET changes nothing; of two POSTs at once one rollback comes; a replay is refused, after a restart too."""
    setting = Setting(tmp_path / "receiver", changes={"receiver": {"page_url": PAGE}})
    async with aiohttp.ClientSession() as http:
        async with receiving(setting) as receiver:
            await order(setting, "start", canary="v2.0", stable="v1.0")
            await until(setting, "5 % on the canary", lambda now: now["settled"])
            rollout = receiver.store.rollout
            assert rollout is not None
            path = receiver.links.url(rollout.id, 1).removeprefix(PAGE)
            for _ in range(2):
                async with http.get(f"{setting.url}{path}") as answer:
                    assert (answer.status, "Roll back v2.0?" in await answer.text()) == (200, True)
                    assert answer.headers["Referrer-Policy"] == "same-origin"
            assert (await post(http, f"{setting.url}{path}", **{"Sec-Fetch-Site": "cross-site"}))[0] == 403
            assert (await post(http, f"{setting.url}{path[:-1]}x"))[0] == 403
            assert receiver.store.rollout is not None
            assert receiver.store.rollout.running

            found = await asyncio.gather(*(post(http, f"{setting.url}{path}") for _ in range(2)))
            assert {code for code, _ in found} <= {200, 410}
            assert any("v2.0 is being rolled back" in text for _, text in found)
        async with receiving(setting):
            code, text = await post(http, f"{setting.url}{path}")

    assert (code, f"works once: rollout {rollout.id} is roll" in text) == (410, True)  # -ing, or -ed already
    entries = await setting.journal()
    (decided,) = (entry for entry in entries if entry.kind is Kind.ROLLBACK)
    assert (decided.actor, decided.reason) == ("link in a message", "from my phone")


async def test_a_link_of_an_earlier_rollout_lowers_nothing(tmp_path: Path) -> None:
    """It is bound to the rollout of its message; the one that runs now goes on."""
    setting = Setting(tmp_path / "receiver", changes={"receiver": {"page_url": PAGE}})
    async with receiving(setting) as receiver, aiohttp.ClientSession() as http:
        await order(setting, "start", canary="v2.0", stable="v1.0")
        code, text = await post(http, setting.url + receiver.links.url("an-earlier-one", 1).removeprefix(PAGE))

        assert (code, "rollout an-earlier-one is not known here." in text) == (409, True)
        assert receiver.store.rollout is not None
        assert receiver.store.rollout.running


async def test_who_comes_after_the_promotion_reads_what_is_still_possible(tmp_path: Path) -> None:
    """A promoted version can be rolled back, by whoever knows that the stable servers still run the old one."""
    setting = Setting(tmp_path / "receiver", changes={"receiver": {"page_url": PAGE}})
    async with receiving(setting) as receiver, aiohttp.ClientSession() as http:
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await order(setting, "promote", reason="tried", force=True)
        rollout = receiver.store.rollout
        assert rollout is not None
        code, text = await post(http, setting.url + receiver.links.url(rollout.id, 1).removeprefix(PAGE))

        assert (code, f"{rollout.id} is promoted; sign in at the page to roll back." in text) == (409, True)
        assert receiver.store.rollout == rollout


async def test_links_follow_a_reload(tmp_path: Path) -> None:
    """An address for people that is set, changed or removed while the receiver runs counts from the next message on."""
    setting = Setting(tmp_path / "receiver")
    async with receiving(setting) as receiver:
        assert receiver.links.url("one", 1) == ""
        for page in (PAGE, "https://other.example", ""):
            changed = dataclasses.replace(receiver.policy.receiver, page_url=page)
            await receiver.take_over(dataclasses.replace(receiver.policy, receiver=changed))
            assert receiver.links.url("one", 1).partition("/page/")[0] == page
