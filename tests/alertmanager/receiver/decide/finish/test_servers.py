"""What servers run, by probe or by their series; what neither tells is unknown, and says why."""

from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.decide.finish.servers import Inspector, Servers
from canary.errors import RemoteError
from canary.policy.finish import Probe
from canary.policy.model import Policy
from canary.policy.release import Upstreams
from canary.policy.routers.sections import HaproxyRouter
from canary.policy.signals import Signals
from canary.prometheus import Prometheus, Sample
from canary.rollout.plan.plans import Plans
from canary.routers.probe import Served
from canary.testing.http import Answer, MemoryHttp
from tests.support.receiving.acting import World

STABLE = ("10.0.1.10:5000", "10.0.1.11:5000")


class Recorded:
    """A Prometheus that knows these instances and versions, or is unreachable."""

    def __init__(self, *series: tuple[str, str], away: bool = False) -> None:
        self._series = series
        self._away = away

    async def query(self, expression: str) -> list[Sample]:
        """The series by instance and version."""
        assert expression == 'count by (instance, version) (http_requests_total{job="shop"})'
        if self._away:
            raise RemoteError("unreachable", place="Prometheus")
        return [Sample({"instance": instance, "version": version}, 1.0) for instance, version in self._series]


async def asked(
    folder: Path,
    prometheus: Recorded,
    *,
    probe: Probe | None = None,
    signals: Signals | None = None,
    session: Any = None,
) -> Servers:
    """What the stable servers are known to run."""
    signals = signals or Signals(selector='job="shop"')
    upstreams = Upstreams(stable=STABLE, canary=("10.0.1.20:5000",))
    router = HaproxyRouter(kind="haproxy", upstreams=upstreams, probe=probe)
    async with World.around(folder) as world:
        policy = Policy(service="shop", router=(router,), signals=signals)
        effects: Effects = world.receiver().effects
        http = cast("aiohttp.ClientSession", session)
        return await Inspector(Plans(policy), http, cast("Prometheus", prometheus), effects).stable()


async def test_series_tell_by_address_or_by_a_host_with_one_instance(tmp_path: Path) -> None:
    """The scraped instance is the server's address, or the only one on its host."""
    found = await asked(tmp_path, Recorded((STABLE[0], "v2.0"), ("10.0.1.11:9100", "v1.0")))

    assert found.served == {STABLE[0]: Served("v2.0"), STABLE[1]: Served("v1.0")}
    assert found.others("v2.0") == "10.0.1.11:5000 runs v1.0"
    assert not found.unknown


@pytest.mark.parametrize(
    ("prometheus", "fault"),
    [
        (Recorded(), "no series with its address"),
        (Recorded((STABLE[0], "v1.0"), (STABLE[0], "v2.0")), "its series tell v1.0 and v2.0"),
        (Recorded(("10.0.1.10:1", "v2.0"), ("10.0.1.10:2", "v2.0")), "no series with its address"),
        (Recorded(away=True), "Prometheus could not be asked"),
    ],
)
async def test_what_series_do_not_tell_is_unknown(tmp_path: Path, prometheus: Recorded, fault: str) -> None:
    """Two versions, two instances of one host, or no answer are neither the old version nor the new one."""
    found = await asked(tmp_path, prometheus)

    assert found.served[STABLE[0]].version is None
    assert fault in found.served[STABLE[0]].fault
    assert not found.running("v2.0")
    assert not found.others("v2.0")
    assert not found.silent


async def test_haproxys_own_series_have_no_version(tmp_path: Path) -> None:
    """Without a probe nobody can tell, and nobody is asked."""
    found = await asked(tmp_path, Recorded(), signals=Signals(preset="haproxy"))

    assert "neither a `probe` nor series" in found.unknown


async def test_a_probe_asks_the_servers_themselves(tmp_path: Path) -> None:
    """Each by its own address; Prometheus is not asked."""

    async def answer(path: str, _query: object) -> Answer:
        assert path == "/health"
        return Answer(body={"version": "v2.0"})

    session = MemoryHttp({"10.0.1.10": answer})
    found = await asked(tmp_path, Recorded(away=True), probe=Probe(path="/health", json="version"), session=session)

    assert found.served[STABLE[0]] == Served("v2.0")
    assert found.served[STABLE[1]].silent
    assert not found.running("v2.0")


def test_no_servers_are_no_answer() -> None:
    """A policy that names none cannot say that all of them run something."""
    assert not Servers().running("v2.0")
    assert "names no servers" in Servers().unknown
