"""Which policies are in use is what each part has published last, whatever Prometheus still answers of before."""

import time
from pathlib import Path

import aiohttp

from canary import names
from canary.prometheus import Prometheus, policies_in_use
from tests.support.programs.prometheus import Prometheus as PrometheusServer


async def test_a_digest_that_ended_without_a_marker_is_not_in_use(tmp_path: Path) -> None:
    """As after a restart of Prometheus during a reload; two receivers and two files of rules that differ are in use."""
    now = time.time()
    published = [
        ("exporter", "e:1", "old", now - 100),
        ("exporter", "e:1", "new", now - 20),
        ("receiver", "r:1", "old", now - 15),
        ("receiver", "r:2", "new", now - 20),
    ]
    lines = [
        f'{names.POLICY_INFO}{{service="shop",component="{component}",job="j",instance="{instance}",digest="{digest}"}}'
        f" 1 {at:.3f}\n"
        for component, instance, digest, at in published
    ]
    lines += [
        f'{names.POLICY_INFO}{{service="shop",component="rules",digest="{digest}"}} 1 {at:.3f}\n'
        for digest, at in (("old", now - 10), ("new", now - 20))
    ]
    history = tmp_path / "history.om"
    history.write_text(f"# TYPE {names.POLICY_INFO} gauge\n{''.join(lines)}# EOF\n")

    with PrometheusServer(history=history) as server:
        everything = server.query(names.POLICY_INFO)
        async with aiohttp.ClientSession() as session:
            found = await policies_in_use(Prometheus(session, server.url), "shop")

    assert len(everything) == len(lines)
    assert found.digests == {"exporter": ("new",), "receiver": ("new", "old"), "rules": ("new", "old")}
