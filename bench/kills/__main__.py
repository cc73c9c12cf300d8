"""`python -m bench.kills`: hundreds of rollouts on the real chain while its parts are killed and stopped at random.

Receiver, Prometheus, Alertmanager, router and PostgreSQL are the real programs; SIGKILL and SIGSTOP come at any moment.
Seven of ten canaries begin to fail, and must be gone; the others are promoted, and taken back by a person. At the end
of each rollout the journal, the router and the messages are looked at. Ctrl-C ends it after the rollouts that are under
way, and what was done until then is recorded.
"""

import argparse
import asyncio
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from pathlib import Path
from random import Random

from bench import results
from bench.kills.rollouts import Rollouts, Tally
from bench.kills.victims import Killer, Victim
from bench.results import figures
from tests.support.databases.postgres import Postgres
from tests.support.programs.envoy import Envoy
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.nginx import Nginx
from tests.support.receiving.chain import Places, chained
from tests.support.receiving.receiver import ReceiverProgram, Setting, Team, router_section
from tests.support.web.server import Server
from tests.support.web.traffic import Upstream

COMMAND = "python -m bench.kills"
ROUTERS = {"haproxy": HAProxy, "nginx": Nginx, "envoy": Envoy}
JOURNALS = ("sqlite", "postgresql")

_PHASES = [{"traffic": "5%", "duration": "1s"}, {"traffic": "100%", "duration": "1s"}]


def _server(name: str, one: Server) -> Victim:
    async def revive() -> None:
        await asyncio.to_thread(one.again)

    return Victim(name, one.program, revive)


def _receiver(one: ReceiverProgram) -> Victim:
    async def revive() -> None:
        one.program.launch()  # nobody waits for it, so that it may die while it starts

    return Victim("receiver", one.program, revive)


@asynccontextmanager
async def running(kind: str, journal: str, folder: Path, random: Random) -> AsyncIterator[Rollouts]:
    """The chain, and whoever kills its parts."""
    async with AsyncExitStack() as stack:
        stable, canary = Upstream("stable"), Upstream("canary")
        for upstream in (stable, canary):
            await upstream.start()
            stack.push_async_callback(upstream.stop)
        front = ROUTERS[kind](folder / "front", stable.address, canary.address)
        await front.start()
        stack.callback(front.stop)
        team = await stack.enter_async_context(Team().listening())
        places = Places()
        (folder / "notify-urls").write_text(f"{team.url}\n")
        changes = {
            "phases": _PHASES,
            "notify": {"urls_file": str(folder / "notify-urls")},
            "receiver": {**places.section(), "repeat": "10s"},
        }
        victims = [Victim("router", front.program, front.start)]
        if journal == "postgresql":
            database = stack.enter_context(Postgres())
            changes["state"] = {"url": database.new_database()}
            # Its own crashes cost a recovery of seconds each, and are not the receiver's to survive quickly.
            victims.append(Victim("PostgreSQL", database.program, None))
        setting = Setting(folder / "receiver", [router_section(front)], changes)
        receiver = ReceiverProgram(setting)
        stack.callback(receiver.program.stop)
        await receiver.start()
        chain = await stack.enter_async_context(chained(setting, places, folder))
        servers = [_server("Prometheus", chain.prometheus), _server("Alertmanager", chain.alertmanager)]
        killer = Killer([*victims, *servers, _receiver(receiver)], random)
        striking = asyncio.create_task(killer.strike())
        yield Rollouts(setting, front.router, chain, team, killer, random)
        striking.cancel()
        await killer.settle()


async def measure(
    kind: str, journal: str, count: int, seed: int, enough: asyncio.Event
) -> tuple[Tally, Counter[str], Counter[str]]:
    """So many rollouts with one router and one journal: what became of them, and who was killed and stopped."""
    random = Random(f"{seed} {kind} {journal}")
    with tempfile.TemporaryDirectory(prefix="canary-kills-") as folder:
        async with running(kind, journal, Path(folder), random) as rollouts:
            measured = await rollouts.run(count, enough), rollouts.killer.killed, rollouts.killer.stopped
    print(row(kind, journal, measured), *measured[0].broken, sep="\n  ", flush=True)
    return measured


def row(kind: str, journal: str, measured: tuple[Tally, Counter[str], Counter[str]]) -> str:
    """One chain's figures as a row of Markdown."""
    tally, killed, stopped = measured
    parts = ", ".join(f"{name} {killed[name]}+{stopped[name]}" for name in sorted(killed | stopped))
    gone = figures(tally.gone_seconds) if tally.gone_seconds else ""
    return f"| {kind} | {journal} | {tally.harmful} | {tally.healthy} | {parts} | {gone} | {len(tally.broken)} |"


_INTRODUCTION = """\
Real receiver, Prometheus, Alertmanager, router and journal; one of them is killed or stopped every few seconds, for up
to 1.5 s (*killed+stopped*). The time is from the first moment at which the canary's errors could be scraped to the last
at which it had a share, in seconds: median / p99 / largest; a Prometheus that is killed is back after its start.

| router | journal | harmful | healthy | killed+stopped | gone after | promises broken |
|---|---|---|---|---|---|---|
"""


async def main(count: int, kinds: list[str], journals: list[str], seed: int) -> None:
    """Measure every pair at once, for they wait most of the time."""
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, enough.set)
    pairs = list(product(kinds, journals))
    found = await asyncio.gather(*(measure(kind, journal, count, seed, enough) for kind, journal in pairs))
    rows = [row(*pair, measured) for pair, measured in zip(pairs, found, strict=True)]
    results.record("Kills on the real chain", f"{COMMAND} --rollouts {count}", _INTRODUCTION + "\n".join(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=200, help="per router and journal")
    parser.add_argument("--router", nargs="+", choices=list(ROUTERS), default=list(ROUTERS))
    parser.add_argument("--journal", nargs="+", choices=JOURNALS, default=list(JOURNALS))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(main(given.rollouts, given.router, given.journal, given.seed))
