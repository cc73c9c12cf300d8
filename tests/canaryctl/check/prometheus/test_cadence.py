"""Jobs that are scraped, and rules that are evaluated, more seldom than the policy's windows need."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from canary import names
from canary.policy import Policy
from canary.prometheus import Prometheus, Rule
from canaryctl.check import Finding, Status
from canaryctl.check.prometheus.cadence import check_evaluation, check_sources
from canaryctl.check.prometheus.shopseries import check_shop_series
from tests.support.web.webserver import served

Write = Callable[[str], Policy]

NOW = 1_790_000_000


def scraped_each(seconds: float) -> web.RouteDef:
    """A Prometheus in which every series is of the job `shop`, scraped every so many seconds for a while."""

    async def answer(request: web.Request) -> web.Response:
        query = request.query["query"]
        data: dict[str, Any] = {"resultType": "vector", "result": [{"metric": {"job": "shop"}, "value": [NOW, "1"]}]}
        if query == "time()":
            data = {"resultType": "scalar", "result": [NOW, str(NOW)]}
        elif query.startswith("up{"):
            points = [[NOW - number * seconds, "1"] for number in reversed(range(int(900 / seconds)))]
            data = {"resultType": "matrix", "result": [{"metric": {"job": "shop"}, "values": points}]}
        return web.json_response({"status": "success", "data": data})

    return web.get("/api/v1/query", answer)


def said(findings: list[Finding], status: Status) -> list[str]:
    """What is said with this status, with what to do."""
    return [f"{finding.what}; {finding.remedy}" for finding in findings if finding.status is status]


@pytest.mark.parametrize(("seconds", "fits"), [(5, True), (6, True), (60, False)])
async def test_windows_that_a_job_cannot_fill_are_refused(write_policy: Write, seconds: int, fits: bool) -> None:
    """With how often it is scraped, what was expected, and the two ways out; a little late is no other interval."""
    policy = write_policy("signals: {}\n")
    async with served(scraped_each(seconds)) as address, aiohttp.ClientSession() as http:
        prometheus = Prometheus(http, f"http://{address}")
        failed = said(await check_shop_series(policy, prometheus), Status.FAILED)
        late = said(await check_sources(policy, prometheus, "canary_rollout_state", "the receiver"), Status.WARNING)

    if fits:
        assert (failed, late) == ([], [])
        return
    assert (
        "job shop is scraped every 1m, expected 5s (signals.scrape_interval); the shop's requests are not" in failed[0]
    )
    assert "write signals.shop_scrape_interval: 1m and a signals.window of at least 3m" in failed[0]
    assert "the receiver, job shop, is scraped every 1m" in late[0]


async def test_the_shops_own_interval_is_named_where_it_has_one(write_policy: Write) -> None:
    """What was expected is found in the policy by its key."""
    policy = write_policy("signals: {shop_scrape_interval: 15s, window: 1m}\n")
    async with served(scraped_each(60)) as address, aiohttp.ClientSession() as http:
        findings = await check_shop_series(policy, Prometheus(http, f"http://{address}"))

    assert "every 1m, expected 15s (signals.shop_scrape_interval);" in said(findings, Status.FAILED)[0]


async def test_a_slow_group_is_named(write_policy: Write) -> None:
    """A ruler may evaluate with an interval of its own."""
    policy = write_policy("signals: {}\n")
    rules = [Rule("canary", names.WATCHDOG, "vector(1)", {}, 0.0, "", interval) for interval in (5.0, 60.0)]
    async with aiohttp.ClientSession() as http:
        prometheus = Prometheus(http, "http://127.0.0.1:1")
        well, slow = (check_evaluation(policy, prometheus, [rule])[0] for rule in rules)

    assert well.status is Status.OK
    assert slow.status is Status.FAILED
    assert "group canary is evaluated every 1m, expected 5s (signals.evaluation_interval)" in slow.what
