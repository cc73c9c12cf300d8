"""Native histograms, which promtool 2.42 cannot be given: a real Prometheus scrapes them and evaluates the rules."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web

from canary import names
from canary.policy import Policy
from rules.generate import alerts_file, prometheus_files, recording_file
from rules.promtool.scenes import Question, Scenario
from scripts import golden
from tests.support.documents import protobuf
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus
from tests.support.stories.scenes import (
    PATIENCE_SECONDS,
    SCENE,
    SceneTarget,
    eventually_firing,
    hasty,
    is_about,
    limited,
    unfolding,
)
from tests.support.web.webserver import served

_FEATURE = ("--enable-feature=native-histograms",)

_CLASSIC = hasty(golden.policy("minimal"))
_NATIVE = dataclasses.replace(_CLASSIC, signals=dataclasses.replace(_CLASSIC.signals, histograms="native"))

# Of a thousand requests to an endpoint: how many took so long, and what its percentiles therefore are.
_TIMES = {0.1: 600, 0.4: 300, 1.0: 80, 3.0: 20}
_PERCENTILES = {"p50": 0.1, "p95": 1.0, "p99": 3.0}

# The buckets of the test's exposition grow by 2.2 %.
_RESOLUTION = 0.025


def _configuration(address: str, rules: str) -> str:
    return (
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{rules}']\n"
        f"scrape_configs: [{{job_name: all, honor_labels: true, static_configs: [{{targets: ['{address}']}}]}}]\n"
    )


async def _shop(_request: web.Request) -> web.Response:
    """Two endpoints of one version, `slow` thrice as slow as `quick`; a thousand requests a second each."""
    histograms = [
        protobuf.NativeHistogram(
            {"version": "v1.0", "endpoint": endpoint, "scene": SCENE},
            {seconds * factor: int(count * time.monotonic()) for seconds, count in _TIMES.items()},
        )
        for endpoint, factor in (("quick", 1), ("slow", 3))
    ]
    body = protobuf.exposition([], {"http_request_duration_seconds": histograms})
    return web.Response(body=body, headers={"Content-Type": protobuf.CONTENT_TYPE})


async def test_percentiles_are_those_of_the_requests(tmp_path: Path) -> None:
    """p50, p95 and p99 by endpoint, and p95 of the version as a whole, are what the requests really took."""
    files = prometheus_files(_NATIVE)
    for name in (alerts_file(_NATIVE.service), recording_file(_NATIVE.service)):
        (tmp_path / name).write_text(files[f"rules/{name}"].replace("interval: 30s", "interval: 1s"))

    async with served(web.get("/metrics", _shop)) as address:
        configuration = _configuration(address, f"{tmp_path}/*.rules.yml")
        with await asyncio.to_thread(Prometheus(configuration, arguments=_FEATURE).__enter__) as prometheus:

            def percentile(name: str, endpoint: str) -> float | None:
                found = prometheus.query(
                    f'version_endpoint:http_request_duration_seconds:{name}_rate12s{{endpoint="{endpoint}"}}'
                )
                return float(found[0]["value"][1]) if found else None

            def known() -> bool:
                return all(percentile(name, "slow") is not None for name in _PERCENTILES)

            await eventually(known, "percentiles are recorded", PATIENCE_SECONDS)
            for name, seconds in _PERCENTILES.items():
                assert percentile(name, "quick") == pytest.approx(seconds, rel=_RESOLUTION)
                assert percentile(name, "slow") == pytest.approx(3 * seconds, rel=_RESOLUTION)
            (whole,) = prometheus.query('version:http_request_duration_seconds:p95_rate12s{version="v1.0"}')
            # Of both endpoints together, 3 s and more take 2 % of the one and 10 % of the other.
            assert float(whole["value"][1]) == pytest.approx(3.0, rel=_RESOLUTION)


@pytest.mark.timeout(900)
async def test_alerts_about_response_times_fire_and_do_not(tmp_path: Path) -> None:
    """Each alert that reads the histogram fires at half of promtool's limits, and not at 2.5 times them."""
    firing, silent = (_worlds(share, name) for share, name in ((0.5, ": beyond"), (2.5, ": at the limit")))
    _write_rules(tmp_path, _NATIVE, range(len(firing) + len(silent)))
    target = SceneTarget([*firing, *silent], native="http_request_duration_seconds")

    async with served(web.get("/metrics", target.metrics)) as address:
        configuration = _configuration(address, f"{tmp_path}/scene-*.yml")
        with await asyncio.to_thread(Prometheus(configuration, arguments=_FEATURE).__enter__) as prometheus:
            wanted = _cases(firing, 0)
            await eventually_firing(prometheus.url, wanted)
            seen = prometheus.query(
                'count(count by (service) (version:http_request_duration_seconds:p95_rate12s{version="v2.0"}))'
            )
            fired = prometheus.query('max_over_time(ALERTS{alertstate="firing"}[5m])')

    assert float(seen[0]["value"][1]) >= len([scenario for scenario in silent if "blind" not in scenario.name])
    assert {case.rule["alert"] for _, case in wanted} == {
        names.VERY_SLOW_RESPONSE,
        names.SLOW_RESPONSE,
        names.OUT_OF_RANGE,
        names.RESPONSE_TIME_DEGRADED,
        names.BLIND_ALERT,
        names.SERVER_UNHEALTHY,
    }
    quiet = _cases(silent, len(firing))
    labels = [one["metric"] for one in fired]
    assert [one for one in labels if any(is_about(one, number, case) for number, case in quiet)] == []


def _worlds(share: float, name: str) -> list[Scenario]:
    """Worlds of this name, with such a share of promtool's limits."""
    found = unfolding(_CLASSIC, limited(_CLASSIC, share))
    return [one for one in found if one.name.endswith(name) and all(map(_reads_it, one.questions))]


def _reads_it(case: Question) -> bool:
    """Whether a case is about an alert that reads the histogram, or notices that it is not there."""
    return case.row.histogram or case.row.match.get(names.REASON) in ("response_time", "stable")


def _write_rules(folder: Path, policy: Policy, scenes: Sequence[int]) -> None:
    text = prometheus_files(policy)[f"rules/{alerts_file(policy.service)}"]
    for number in scenes:
        (folder / f"scene-{number}.yml").write_text(text.replace(SCENE, f"scene-{number}"))


def _cases(worlds: Sequence[Scenario], first: int) -> list[tuple[int, Question]]:
    """The questions of the worlds about firing or not, with the number of their scene."""
    return [
        (number, case)
        for number, scenario in enumerate(worlds, start=first)
        for case in scenario.questions
        if case.kind in ("fires", "limit")
    ]
