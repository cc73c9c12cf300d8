"""A worker's process: what it finds is shown here, and its end costs its own service some seconds."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from canary.errors import Fault, PolicyError
from canary.logs import configured
from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.testing.clock import FakeClock
from canary.timing.clock import Clock, SystemClock
from exporter.publish.snapshot import Snapshot
from exporter.publish.update import Update
from exporter.worker.frames import frame, next_message
from exporter.worker.order import Order, Reload, Reloaded
from exporter.worker.process import Forked, Process, Start, Worker, forked
from tests.support.databases.shopdata import ShopData, fill
from tests.support.programs.processes import eventually


@dataclass
class Told:
    """What a worker has told, the newest last."""

    updates: list[Update] = field(default_factory=list)

    @property
    def newest(self) -> Snapshot:
        """What would be shown now."""
        return self.updates[-1].snapshot


@dataclass
class Pretended:
    """Processes that are none: the test speaks for them."""

    sockets: list[socket.socket] = field(default_factory=list)
    killed: int = 0
    exitcode: int | None = None

    def __call__(self, _order: Order, theirs: socket.socket) -> Process:
        """One more has begun."""
        self.sockets.append(theirs.dup())
        self.exitcode = None
        return self

    def join(self, timeout: float | None = None) -> None:
        """It has ended by itself."""
        del timeout
        self.exitcode = self.exitcode or -signal.SIGKILL

    def kill(self) -> None:
        """It is ended."""
        self.killed += 1

    def say(self, message: object) -> None:
        """What the newest process says."""
        self.sockets[-1].sendall(frame(message))

    def end(self) -> None:
        """The newest process ends."""
        self.sockets[-1].close()


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[Told]:
    """The worker at work."""
    told = Told()
    task = asyncio.create_task(worker.run(told.updates.append))
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def worker_of(start: Start, clock: Clock, load: object = None, **more: float) -> Worker:
    """A worker for a service that has no file."""
    order = Order(Path("nowhere.yaml"), "state.json", 2**31, *configured())
    return Worker(load or (lambda: Policy(service="shop")), order, clock, start, **more)  # type: ignore[arg-type]  # a callable


def update(**known: object) -> Update:
    """An update that knows little."""
    return Update(Snapshot("shop", **known), "digest")  # type: ignore[arg-type]  # fields of a snapshot


async def test_a_process_that_ends_is_started_again_and_its_service_knows_nothing_meanwhile() -> None:
    """The counters stay, KPIs and judgement are gone, the ends are counted, and what the next one says counts."""
    pretended, clock = Pretended(), FakeClock()
    async with working(worker_of(pretended, clock)) as told:
        await eventually(lambda: bool(pretended.sockets), "the first process")
        pretended.say(update(counters={}, kpis=(), database_up=True))
        await eventually(lambda: bool(told.updates), "its update")
        pretended.end()
        await eventually(lambda: len(told.updates) == 2, "its end is told")
        lost = told.newest
        clock.advance(1)
        await eventually(lambda: len(pretended.sockets) == 2, "the second process")
        pretended.say(update(errors={"timeout": 3}, database_up=True))
        await eventually(lambda: len(told.updates) == 3, "its update")

    assert (lost.kpis, lost.database_up, dict(lost.errors)) == (None, False, {"worker": 1})
    assert dict(told.newest.errors) == {"timeout": 3, "worker": 1}
    assert told.newest.database_up


async def test_a_process_that_cannot_be_started_is_tried_again() -> None:
    """A machine without memory for one more process has some later; what the counters had reached stays."""
    pretended, failures = Pretended(), [EOFError("unexpected EOF"), OSError(12, "no memory")]

    def start(order: Order, theirs: socket.socket) -> Process:
        if failures:
            raise failures.pop()
        return pretended(order, theirs)

    async with working(worker_of(start, FakeClock())) as told:
        await eventually(lambda: bool(pretended.sockets), "the process")
    assert [dict(one.snapshot.errors) for one in told.updates] == [{"worker": 1}, {"worker": 2}]


async def test_a_process_that_says_nothing_is_killed() -> None:
    """One that is stopped, or hangs, is not waited for without end."""
    pretended = Pretended()
    pretended.join = lambda timeout=None: None  # type: ignore[method-assign]  # it never ends by itself
    async with working(worker_of(pretended, FakeClock(), silent_seconds=0.05)) as told:
        await eventually(lambda: bool(told.updates), "it is given up")
        killed, lost = pretended.killed, told.newest

    assert killed
    assert lost.errors["worker"]


async def test_a_reload_is_the_process_to_take_or_to_refuse() -> None:
    """What it refuses is refused here with the same words, and what it dies of is read by the next one."""
    pretended = Pretended()
    worker = worker_of(pretended, FakeClock())
    async with working(worker):
        await eventually(lambda: bool(pretended.sockets), "the process")
        reader, writer = await asyncio.open_connection(sock=pretended.sockets[0])

        async def answered(answer: Reloaded | None) -> None:
            reloading = asyncio.create_task(worker.reload())
            assert isinstance(await next_message(reader), Reload)
            if answer is not None:
                writer.write(frame(answer))
            else:
                writer.close()
            await reloading

        await answered(Reloaded())
        with pytest.raises(PolicyError, match="not now"):
            await answered(Reloaded((Fault("database", "not now"),)))
        await answered(None)


async def test_no_process_begins_with_a_file_that_a_reload_would_refuse() -> None:
    """A process that ends while the file is faulty or another service's is not started over and over to fail."""
    found: list[Policy | PolicyError] = [Policy(service="shop")] * 2
    found += [PolicyError([Fault("kpis", "is no list")]), Policy(service="other"), Policy(service="shop")]

    def load() -> Policy:
        one = found.pop(0)
        if isinstance(one, PolicyError):
            raise one
        return one

    pretended = Pretended()
    async with working(worker_of(pretended, FakeClock(), load)) as told:
        await eventually(lambda: bool(pretended.sockets), "the first process")
        pretended.end()
        await eventually(lambda: len(pretended.sockets) == 2, "the file is as it was")
    assert [dict(one.snapshot.errors) for one in told.updates] == [{"worker": 1}, {"worker": 2}, {"worker": 3}]
    assert {one.snapshot.service for one in told.updates} == {"shop"}


def test_a_process_says_why_it_fails_in_the_log_s_form(tmp_path: Path) -> None:
    """Nothing but lines of the log's, whatever keeps it from its work."""
    code = (
        "import pathlib, socket\n"
        "from exporter.worker import child, order\n"
        f"child.main(order.Order(pathlib.Path({str(tmp_path / 'gone.yaml')!r}), 'c.json', 2**31, 'error', 'json'),"
        " socket.socketpair()[0])"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert line["msg"] == "a service's process failed"


async def test_two_reloads_at_once_are_both_answered() -> None:
    """The file's change is noticed while somebody asks for a reload: neither waits for the other's answer for ever."""
    pretended = Pretended()
    worker = worker_of(pretended, FakeClock())
    async with working(worker):
        await eventually(lambda: bool(pretended.sockets), "the process")
        reader, writer = await asyncio.open_connection(sock=pretended.sockets[0])
        reloading = [asyncio.create_task(worker.reload()) for _ in range(2)]
        for _ in reloading:
            await next_message(reader)
            writer.write(frame(Reloaded()))
        _, waiting = await asyncio.wait(reloading, timeout=90)
    assert not waiting


async def test_a_real_process_counts_survives_nothing_and_is_replaced(lite: ShopData, tmp_path: Path) -> None:
    """Forked, it counts the shop's rows; killed, another one does; let go, it writes its counters and is gone."""
    await fill(lite, datetime.now(UTC), 40)
    path = tmp_path / "shop.yaml"
    url = lite.url.replace("+aiosqlite", "")
    state = f'state: {{url: "sqlite:///{tmp_path}/state.db"}}'
    path.write_text(f'service: shop\n{state}\ndatabase: {{url: "{url}", refresh: 200ms}}\n', encoding="utf-8")
    processes: list[Forked] = []

    def start(order: Order, theirs: socket.socket) -> Process:
        processes.append(forked(order, theirs))
        return processes[-1]

    order = Order(path, "counters.json", 2**31, "error", "logfmt")
    async with working(Worker(partial(load_policy, path), order, SystemClock(), start)) as told:
        await eventually(lambda: 40 in _counted(told), "the rows are counted")
        pid = processes[0].pid
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: dict(told.newest.errors) == {"worker": 1}, "its end is told")
        lost = told.newest
        await eventually(lambda: bool(told.newest.database_up), "another one counts")
    assert (lost.kpis, lost.database_up) == (None, False)
    assert [one.exitcode for one in processes] == [-signal.SIGKILL, 0]
    assert (tmp_path / "counters.json").exists()


_TELLS_WHAT_IS_FROZEN = """
import gc
from multiprocessing import get_context
from exporter.worker.process import LOADED_ONCE

def tell():
    print(gc.get_freeze_count(), len(gc.get_objects()))

if __name__ == "__main__":
    context = get_context("forkserver")
    context.set_forkserver_preload(LOADED_ONCE)
    process = context.Process(target=tell)
    process.start()
    process.join()
"""


def test_the_collector_leaves_the_program_alone_that_workers_share(tmp_path: Path) -> None:
    """A collection would write to each of its objects, and give every worker a copy of all that was loaded for all."""
    script = tmp_path / "starts.py"  # a fork server of its own: this process may have one that has loaded nothing
    script.write_text(_TELLS_WHAT_IS_FROZEN, encoding="utf-8")
    said = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True).stdout
    frozen, looked_at = map(int, said.split())
    assert frozen > 20 * looked_at


def test_a_container_without_handles_has_processes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rules that are older than `pidfd_open` refuse it, the fork server's word is taken."""

    def refuse(_pid: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    process = get_context("forkserver").Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    forked = Forked(process)
    forked.join(0.01)
    assert forked.exitcode is None
    forked.kill()
    forked.join()
    assert forked.exitcode == -signal.SIGKILL


def test_a_process_is_waited_for_and_killed_without_its_fork_server() -> None:
    """A service manager's signal to all ends the server first; the processes still write down their counters."""
    process = get_context("forkserver").Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    forked = Forked(process)
    server = int(Path(f"/proc/{forked.pid}/stat").read_text("ascii").rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGTERM)
    assert wait([process.sentinel], 20), "the server is gone, and takes its processes for ended"
    forked.join(0.01)
    assert forked.exitcode is None
    forked.kill()
    forked.join()
    assert forked.exitcode is not None


def _counted(told: Told) -> set[float]:
    return set(told.newest.counters.values()) if told.updates else set()
