"""The stand-ins keep the same contracts as the parts that they stand for; the contracts notice who does not."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from canary.policy.model import Policy, State
from canary.policy.release import Process
from canary.process.manager import ProcessState, process_of
from canary.rollout.journal.journal import Journal
from canary.routers import Observation, Split
from canary.testing.contract import journal_contract, process_contract, router_contract
from canary.testing.journal import MemoryJournal, Table
from canary.testing.process import MemoryProcess
from canary.testing.routers import MemoryRouter


@asynccontextmanager
async def journals(kind: str, folder: Path) -> AsyncIterator[tuple[Journal, Journal]]:
    """Two clients of one empty journal."""
    if kind == "memory":
        table = Table()
        yield MemoryJournal(table, "shop"), MemoryJournal(table, "shop")
        return
    policy = Policy(service="shop", state=State(url=f"sqlite:///{folder}/state.db"))
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(Journal.open(policy))
        yield one, await stack.enter_async_context(Journal.open(policy))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_journals(kind: str, tmp_path: Path) -> None:
    """Memory and SQLite: what is written is read, and nobody decides from an old past."""
    async with journals(kind, tmp_path) as (one, other):
        await journal_contract(one, other)


async def test_a_memory_router() -> None:
    """As the real routers, see `tests/canary/routers/test_contract.py`."""
    await router_contract(MemoryRouter())
    await router_contract(MemoryRouter(slots=True), stable_slot="b")


async def test_a_router_that_rounds_does_not_pass() -> None:
    """The contract notices a share that is not what was set."""
    router = MemoryRouter()

    async def rounds(_operation: str) -> None:
        router.claims = Split(router.split.rollout, round(router.split.weight_ratio, 1), testers=router.split.testers)

    router.before = rounds
    with pytest.raises(AssertionError, match=r"set to 5.00% of contract-1, read edge: 10%"):
        await router_contract(router)


async def test_processes(tmp_path: Path) -> None:
    """Memory, and the user's own programs."""
    await process_contract(MemoryProcess())
    running = tmp_path / "running"
    await process_contract(
        process_of(
            Process(
                kind="command",
                start=("touch", str(running)),
                stop=("rm", "-f", str(running)),
                status=("test", "-e", str(running)),
            )
        )
    )


async def test_a_process_that_runs_on_does_not_pass() -> None:
    """The contract notices a stop that stops nothing."""
    process = MemoryProcess(now=ProcessState.RUNNING)

    async def starts_again(operation: str) -> None:
        if operation == "stop":
            process.now = ProcessState.RUNNING

    process.after = starts_again
    with pytest.raises(AssertionError, match="stopped, and runs"):
        await process_contract(process)


async def test_what_a_router_shows_is_given_to_the_caller() -> None:
    """So that two routers can be compared look by look."""
    seen: list[tuple[Split, Observation]] = []
    await router_contract(MemoryRouter(), lambda split, observation: seen.append((split, observation)))
    assert len(seen) == 14
