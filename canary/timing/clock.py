"""Time as a dependency, so that a test or the simulator can move it.

Two clocks, never mixed: the wall clock is for people and for what leaves this machine; durations are measured by the
monotonic one, which counts while the machine is suspended (`CLOCK_BOOTTIME`) and which nobody can set. Its readings
mean something only within one boot of one machine, whose identity is `boot`; with it, a duration can be measured across
a restart of the process.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the services need to know about time."""

    @property
    def boot(self) -> str:
        """Which boot of which machine `monotonic` belongs to."""
        ...

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards, for measuring durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.Handle:
        """Have *callback* called once *seconds* have passed, unless the handle is cancelled before."""
        ...


class SystemClock:
    """The machine's own clock."""

    def __init__(self) -> None:
        try:
            self._boot = _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            # No Linux, or no /proc: then readings mean something within this process only.
            self._boot = str(uuid.uuid4())

    @property
    def boot(self) -> str:
        """The kernel's id of this boot."""
        return self._boot

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since the machine was booted, suspended ones included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.Handle:
        """A timer of the event loop."""
        return asyncio.get_running_loop().call_later(seconds, callback)
