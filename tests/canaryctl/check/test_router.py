"""Routers and the canary's process, on a real HAProxy."""

from collections.abc import Callable
from pathlib import Path

from canary.policy import Policy
from canaryctl.check import Status
from canaryctl.check.router import check_process, check_router
from tests.support.programs.haproxy import HAProxy

Write = Callable[[str], Policy]


async def test_a_running_haproxy_can_be_switched(write_policy: Write, tmp_path: Path) -> None:
    """The share is read back from the running HAProxy; when it is gone, that is a failure with a remedy."""
    haproxy = HAProxy(tmp_path / "haproxy", "127.0.0.1:1", "127.0.0.1:2")
    section = f"router: {{kind: haproxy, sockets: ['{haproxy.section.sockets[0]}'], map: '{haproxy.map}'}}\n"
    policy = write_policy(section)

    await haproxy.start()
    running = await check_router(policy)
    haproxy.stop()
    gone = await check_router(policy)

    assert [finding.status for finding in running] == [Status.OK]
    assert "can be switched; in force:" in running[0].what
    assert "0%" in running[0].what
    assert Status.FAILED in [finding.status for finding in gone]
    assert all(finding.remedy for finding in gone)


async def test_a_policy_without_a_router_says_what_is_lost(write_policy: Write) -> None:
    """No router is allowed for measuring only."""
    findings = await check_router(write_policy(""))

    assert findings[0].status is Status.SKIPPED
    assert "nothing can be rolled back" in findings[0].remedy


async def test_the_process_is_asked_about(write_policy: Write) -> None:
    """A command's `status` tells; a manager that cannot be started is a failure."""
    programs = "process: {kind: command, stop: ['true'], status: ['%s']}\n"

    running = await check_process(write_policy(programs % "true"))
    broken = await check_process(write_policy(programs % "/nonexistent"))
    unmanaged = await check_process(write_policy(""))

    assert (running[0].status, running[0].what) == (Status.OK, "is running")
    assert broken[0].status is Status.FAILED
    assert unmanaged[0].status is Status.SKIPPED
