"""The whole stack on this machine: shop, router, Prometheus, Alertmanager, exporter, receiver, team."""

import asyncio
import os
import secrets
import shutil
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from canary.errors import ProcessError
from canary.policy import Policy, load_policy
from canary.rollout.journal.journal import Journal
from canary.routers import Router, routers_of
from canary.timing.clock import Clock
from demo.questions import Questions
from demo.screen import Screen
from demo.shop.store import create_schema, open_engine
from demo.stack import daemon, policy
from demo.stack.places import Places
from demo.stack.processes import READY_SECONDS, Processes, find_program
from demo.team import Team

STABLE = "v1.0"
CANARY = "v2.0"
NEXT = "v3.0"  # what comes after `CANARY` has become the stable version

# At the demo's end nobody waits for the requests that its shop has begun, and between two releases everybody does.
_NO_PATIENCE_SECONDS = 0.0
_POLL_SECONDS = 0.2  # Prometheus scrapes once a second


@dataclass(frozen=True)
class Settings:
    """What the caller may choose.

    *database* is an SQLAlchemy address, or nothing for SQLite in the demo's folder; *strategy* is the policy to take;
    *fault* is one of `demo.shop.faults.PATTERNS`.
    """

    strategy: Path
    folder: Path
    database: str | None = None
    speed: float = 30.0
    rate_per_second: float = 50.0
    seed: int = 1
    fault: str = "payments"


class Stack:
    """Every part, started by `async with` and ended with it, whatever happens between."""

    def __init__(self, settings: Settings, clock: Clock, screen: Screen) -> None:
        self.settings = settings
        self.places = Places.choose(settings.folder, self.more)
        self.team = Team(clock, screen.hear)
        self.stable_version = STABLE
        self.canary_version = CANARY
        self._screen = screen
        self._exit = AsyncExitStack()
        self._processes = Processes(settings.folder)

    more: ClassVar[tuple[str, ...]] = ()  # parts that a stack with other programs has besides
    policy: Policy
    session: aiohttp.ClientSession
    engine: AsyncEngine
    journal: Journal
    questions: Questions
    router: Router

    @property
    def policy_file(self) -> Path:
        """The policy that all parts read."""
        return self.places.file("canary.yaml")

    @property
    def _canary_file(self) -> Path:
        """What says which program the canary is; see `demo.stack.daemon`."""
        return self.places.file("canary.json")

    @property
    def _generated(self) -> Path:
        return self.places.file("generated")

    @property
    def database(self) -> str:
        """Address of the order database."""
        return self.settings.database or f"sqlite+aiosqlite:///{self.places.file('shop.db')}"

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._close()

    async def _close(self) -> None:
        """End everything, to the end: an interruption that comes while it does would leave programs behind."""
        closing = asyncio.create_task(self._exit.aclose())
        while not closing.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([closing])
        closing.result()

    async def _open(self) -> None:
        self.session = await self._exit.enter_async_context(aiohttp.ClientSession())
        with self._screen.step(
            f"policy: {self.settings.strategy.name} with its time compressed {self.settings.speed:g} times"
        ):
            await self._write_policy()
        with self._screen.step(f"order database: {self.engine.url.render_as_string(hide_password=True)}"):
            await create_schema(self.engine)
        with self._screen.step(
            "canary generate: rules, Alertmanager configuration, dashboards, HAProxy's configuration"
        ):
            await self.canary("generate", "--output", str(self._generated))
        # Last in, first out: what else is closed may wait for a request of theirs. The canary after all others, since
        # the receiver, which may start it, has ended by then.
        self._exit.callback(daemon.stop, self._canary_file, _NO_PATIENCE_SECONDS)
        self._exit.push_async_callback(self._processes.stop)
        with self._screen.step(f"shop {STABLE} (stable) and {CANARY} (canary)"):
            await self._open_shop()
        with self._screen.step(f"HAProxy in front of both: {self.places.url('front')}"):
            await self._open_front()
        with self._screen.step("canary exporter and canary receiver"):
            await self._open_services()
        with self._screen.step(
            f"Prometheus {self.places.url('prometheus')} and Alertmanager {self.places.url('alertmanager')}"
        ):
            await self._open_alertmanager()
            await self._open_prometheus()

    async def _write_policy(self) -> None:
        for name in policy.TOKENS.values():
            policy.write_secret(self.places.file(name), secrets.token_urlsafe(32))
        team = f"json://{self.places.address('team')}/team"
        policy.write_secret(self.places.file(policy.NOTIFY_URLS), team)
        await self.team.listen(self.places.ports["team"])
        self._exit.push_async_callback(self.team.close)
        derived = policy.derive(self.settings.strategy, self.places, database=self.database, speed=self.settings.speed)
        policy.write(derived, self.policy_file)
        self.policy = load_policy(self.policy_file)
        (self.router,) = routers_of(self.policy)
        self.engine = open_engine(self.database)
        self._exit.push_async_callback(self.engine.dispose)
        self.journal = await self._exit.enter_async_context(Journal.open(self.policy))
        self.questions = Questions(self.places.url("prometheus"), self.session)

    def _shop(self, version: str, part: str) -> list[str]:
        return [
            *(sys.executable, "-m", "demo.shop.server", "--version", version, "--port", str(self.places.ports[part])),
            *("--database", self.database, "--speed", str(self.settings.speed), "--seed", str(self.settings.seed)),
            *("--flags", self.places.url("receiver"), str(self.places.file(policy.TOKENS["flags_token_file"]))),
            *("--demo", str(os.getpid())),
        ]

    async def _open_shop(self) -> None:
        await self._processes.start("stable", self._shop(STABLE, "stable"))
        await self.deploy_canary(CANARY)
        await self._processes.ready("stable", f"{self.places.url('stable')}/-/healthy", self.session)

    async def deploy_canary(self, version: str) -> None:
        """Run a version on the canary's server, where nothing runs: before the first release, and after each one.

        Raises:
            ProcessError: it does not answer.
        """
        daemon.describe(self._canary_file, self._shop(version, "canary"), self.places.file("canary.log"))
        daemon.start(self._canary_file)  # not in a thread: an interruption would leave it behind, running and unknown
        url = f"{self.places.url('canary')}/-/healthy"
        await self._processes.answers("canary", url, self.session, alive=self.canary_runs)
        self.canary_version = version

    async def deploy_stable(self, version: str) -> None:
        """Replace the version that the stable server runs, once nobody is served by it.

        Raises:
            ProcessError: it does not answer.
        """
        await self._processes.stop("stable")
        await self._processes.start("stable", self._shop(version, "stable"))
        await self._processes.ready("stable", f"{self.places.url('stable')}/-/healthy", self.session)
        self.stable_version = version

    def pids(self) -> dict[str, int]:
        """By name, the process of each part."""
        return self._processes.pids()

    def canary_runs(self) -> bool:
        """Whether the canary's process is there."""
        return daemon.running(self._canary_file) is not None

    async def _open_front(self) -> None:
        # The map changes while HAProxy runs, so it lives where the policy says; generated files stay as they are.
        await asyncio.to_thread(shutil.copy, self._generated / "router" / "canary.map", self.places.file("canary.map"))
        configuration = self._generated / "router" / "haproxy.cfg"
        await self._processes.start("haproxy", [find_program("haproxy"), "-db", "-f", str(configuration)])
        await self._processes.ready("haproxy", f"{self.places.url('front')}/-/healthy", self.session)

    async def _open_services(self) -> None:
        for name in ("exporter", "receiver"):
            listen = f"--web.listen-address={self.places.address(name)}"
            await self._processes.start(name, [*self._command(name), listen])
        for name in ("exporter", "receiver"):
            await self._processes.ready(name, f"{self.places.url(name)}/-/ready", self.session)

    async def _open_alertmanager(self) -> None:
        await self._processes.start(
            "alertmanager",
            [
                find_program("alertmanager", "prometheus-alertmanager"),
                f"--config.file={self._generated / 'alertmanager' / 'alertmanager.yml'}",
                f"--storage.path={self.places.file('alertmanager-data')}",
                f"--web.listen-address={self.places.address('alertmanager')}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
        )
        await self._processes.ready("alertmanager", f"{self.places.url('alertmanager')}/-/ready", self.session)

    async def _open_prometheus(self) -> None:
        await self._processes.start(
            "prometheus",
            [
                find_program("prometheus"),
                f"--config.file={self._generated / 'prometheus' / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.places.file('prometheus-data')}",
                f"--web.listen-address={self.places.address('prometheus')}",
                # The first alerts come before Prometheus knows its Alertmanager; a minute is long for a demo.
                "--rules.alert.resend-delay=5s",
                "--log.level=warn",
            ],
        )
        await self._processes.ready("prometheus", f"{self.places.url('prometheus')}/-/ready", self.session)

    def _command(self, name: str) -> list[str]:
        return [find_program("canary"), name, f"--config.file={self.policy_file}"]

    async def canary(self, name: str, *arguments: str) -> str:
        """Run one `canary` command to its end, as an operator would, and give what it printed.

        Raises:
            ProcessError: it ended with another status than 0.
        """
        process = await asyncio.create_subprocess_exec(
            *self._command(name), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        text = output.decode(errors="replace").strip()
        if process.returncode:
            raise ProcessError(
                f"expected exit status 0, found {process.returncode}; it said:\n{text}", place=f"canary {name}"
            )
        return text

    async def seen(self) -> None:
        """Wait until Prometheus has seen every part that it scrapes.

        Raises:
            ProcessError: it has not in time.
        """
        parts = policy.scraped(self.policy)
        for _ in range(round(READY_SECONDS / _POLL_SECONDS)):
            if (seen := await self.questions.value("sum(up)") or 0) == parts:
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise ProcessError(
            f"expected it to reach {parts} parts within {READY_SECONDS:g}s, found {seen:g}",
            place="prometheus",
            remedy=f"see {self.places.url('prometheus')}/targets",
        )

    async def set_faults(self, *, everywhere: bool = False, **faults: float) -> None:
        """Make the canary worse, or well again; *everywhere* stable too."""
        for part in ("canary", "stable") if everywhere else ("canary",):
            async with self.session.put(f"{self.places.url(part)}/-/faults", json=faults) as response:
                response.raise_for_status()

    def check(self) -> None:
        """See that everything still runs.

        Raises:
            ProcessError: a part ended by itself; the message holds the end of its log.
        """
        for name in self._processes.ended():
            raise ProcessError(f"ended by itself; its log ends:\n{self._processes.log_tail(name)}", place=name)
