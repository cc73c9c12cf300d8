"""What the demo asks a real Prometheus."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from canary.errors import RemoteError
from canary.timing.clock import SystemClock
from demo.questions import Questions
from demo.stack.processes import Processes, find_program
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually

RULES = """\
groups:
  - name: always
    interval: 100ms
    rules:
      - alert: Always
        expr: vector(1)
        labels: {action: rollback}
      - alert: Pending
        expr: vector(1)
        for: 1h
"""


@pytest.fixture
async def questions(tmp_path: Path) -> AsyncIterator[Questions]:
    """A Prometheus in which one alert fires and another is pending."""
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "prometheus.yml").write_text("rule_files: [rules.yml]\n")
    address = f"127.0.0.1:{free_port()}"
    programs = Processes(tmp_path)
    argv = [find_program("prometheus"), f"--config.file={tmp_path}/prometheus.yml"]
    argv += [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}"]
    async with aiohttp.ClientSession() as session:
        try:
            await programs.start("prometheus", argv)
            await programs.ready("prometheus", f"http://{address}/-/ready", session)
            yield Questions(f"http://{address}", session)
        finally:
            await programs.stop()


async def test_only_firing_alerts_are_told_with_their_action(questions: Questions) -> None:
    """A pending alert does not fire yet."""

    async def fires() -> bool:
        return bool(await questions.firing())

    await eventually(fires, "an alert fires")

    assert await questions.firing() == {"Always": "rollback"}


async def test_a_value_is_a_number_or_nothing(questions: Questions) -> None:
    """A query has one value, or none when nothing matches."""
    assert await questions.value("vector(7)") == 7
    assert await questions.value("nothing_has_this_name") is None


async def test_the_first_time_of_a_result_is_found(questions: Questions) -> None:
    """What has become true has a first time within the span; what never was has none."""
    since = SystemClock().now() - timedelta(seconds=30)

    async def recorded() -> bool:
        return await questions.first_time('ALERTS{alertstate="firing"}', since, SystemClock().now()) is not None

    await eventually(recorded, "the alert's own series is recorded")

    until = SystemClock().now()
    first = await questions.first_time('ALERTS{alertstate="firing"}', since, until)
    assert first is not None
    assert since < first <= until
    assert await questions.first_time('ALERTS{alertname="Never"}', since, until) is None


async def test_a_refused_question_and_a_missing_prometheus_are_told(questions: Questions, unused_tcp_port: int) -> None:
    """What Prometheus says is in the message; when it says nothing, its address is."""
    now = SystemClock().now()
    with pytest.raises(RemoteError, match="parse error"):
        await questions.first_time("not a query (", now, now)

    async with aiohttp.ClientSession() as session:
        with pytest.raises(RemoteError, match=f"{unused_tcp_port}.*Connection refused.*start it"):
            await Questions(f"http://127.0.0.1:{unused_tcp_port}", session).firing()
