"""An event loop in which time costs nothing and chance comes from a seed.

When nothing is left to do, the loop's clock jumps to the next timer. So an hour of retries takes milliseconds, and no
time-out ever depends on how busy the machine is. What is ready runs in an order drawn from the given random numbers:
every interleaving that a real loop could show is possible, and the same seed shows the same one again.

A `Machine` is the set of everything that runs in one process of the simulated world: tasks inherit it through their
context, as they inherit any context variable. Killing it means that none of its callbacks ever runs again: no
`finally`, no `except`, which is what SIGKILL leaves of a program. Pausing it keeps its callbacks back until it goes on,
while the time of everybody else passes, as SIGSTOP does. (Cancelling tasks instead, the usual way, runs clean-up code
that no killed process runs.)

There are no threads and no file descriptors in this loop. Code that needs them takes them through its constructor
(`canary.threads`), and is given others here.
"""

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# A loop that is busy calls its timers a little late; so timers of the same moment come in any order.
_LATENESS_SECONDS = 0.001

# Tasks that are cancelled at the end may wait once more in their clean-up; none needs more turns than this.
_LAST_TURNS = 100_000


class Machine:
    """What is killed, paused and continued as a whole.

    Attributes:
        alive: False once it was killed.
        paused_at: when it was last paused, by the loop's time; None while it never was.
        resumed_at: when it last went on after a pause.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.paused_at: float | None = None
        self.resumed_at = float("-inf")
        self._kept: list[asyncio.Handle] = []
        self._ends: list[asyncio.Future[Any]] = []

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run something on this machine."""
        context = copy_context()
        context.run(MACHINE.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on this machine for a caller elsewhere.

        Raises:
            ConnectionError: the machine is dead, or dies before it answers.
        """
        if not self.alive:
            work.close()
            raise ConnectionError(f"{self.name} is down")
        task = self.spawn(work)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def give(done: "asyncio.Task[T]") -> None:
            if answer.done():
                return
            if done.cancelled():
                answer.set_exception(ConnectionError(f"{self.name} hung up"))
            elif error := done.exception():
                answer.set_exception(error)
            else:
                answer.set_result(done.result())

        task.add_done_callback(give)
        self._ends.append(answer)
        try:
            return await answer
        finally:
            self._ends.remove(answer)

    def kill(self) -> None:
        """Nothing of it runs any more; whoever waits for its answer sees the connection end."""
        self.alive = False
        for answer in list(self._ends):
            if not answer.done():
                answer.set_exception(ConnectionError(f"{self.name} died"))

    def pause(self) -> None:
        """Nothing of it runs until `go_on`; connections to it stay open."""
        self.paused = True
        self.paused_at = asyncio.get_running_loop().time()

    def go_on(self) -> None:
        """Run again, beginning with what was due meanwhile."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)  # machines exist only there
        self.paused = False
        self.resumed_at = loop.time()
        if self.alive:
            loop.take_back(self._kept)
            self._kept = []

    def keeps(self, handle: asyncio.Handle) -> bool:
        """Whether a callback must not run now; it is kept then."""
        if self.alive and not self.paused:
            return False
        self._kept.append(handle)
        return True

    def release(self) -> list[asyncio.Handle]:
        """What was kept back, to be run at the very end."""
        kept, self._kept = self._kept, []
        return kept


MACHINE: ContextVar[Machine | None] = ContextVar("MACHINE", default=None)
"""The machine that the running code belongs to; None for the world around them."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Virtual time, and an order of events that comes from *random* alone."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.steps = 0
        self.broken: list[str] = []
        self._random = random
        self._now = 0.0
        self._turns: list[asyncio.Handle] = []
        self._ready: list[asyncio.Handle] = self._turns  # the base class only appends to it
        self._timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # the base class's heap
        self._machines: set[Machine] = set()
        self._ending = False
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """A little late, as real timers are."""
        late = self._random.random() * _LATENESS_SECONDS
        return super().call_at(when + late, callback, *args, context=context)

    def take_back(self, handles: list[asyncio.Handle]) -> None:
        """Let callbacks run that a machine kept."""
        self._turns.extend(handles)

    def finish(self) -> None:
        """Cancel whatever is left, of dead machines too, so that nothing is torn down later in an order of its own."""
        self._ending = True
        for machine in self._machines:
            self._turns.extend(machine.release())
        for task in asyncio.all_tasks(self):
            task.cancel()
        events._set_running_loop(self)  # noqa: SLF001  # as `run_forever` does; it would reset what is ended here
        try:
            for _ in range(_LAST_TURNS):
                if not self._turns and not asyncio.all_tasks(self):
                    break
                self._run_once()
        finally:
            events._set_running_loop(None)  # noqa: SLF001  # as above
        self.close()

    def _run_once(self) -> None:
        turns = self._turns
        if not turns:
            self._pass_time()
        last = len(turns) - 1
        chosen = self._random.randrange(last + 1) if last else 0
        handle, turns[chosen] = turns[chosen], turns[last]
        turns.pop()
        if handle.cancelled():
            return
        machine = handle._context.get(MACHINE)  # type: ignore[attr-defined]  # noqa: SLF001  # where its owner is
        if machine is not None and not self._ending and machine.keeps(handle):
            self._machines.add(machine)
            return
        self.steps += 1
        handle._run()  # noqa: SLF001  # as the base class does

    def _pass_time(self) -> None:
        timers = self._timers
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise RuntimeError("nothing is left to wait for")
        self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            self._turns.append(heapq.heappop(timers))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Timers that were cancelled are dropped when their time comes."""

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # Of a killed machine nothing is left that could wait for its tasks.
        if not self._ending and "was destroyed" not in str(context.get("message")):
            self.broken.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _process_events(self, event_list: object) -> None:
        """No files are watched."""

    def _write_to_self(self) -> None:
        """Nobody wakes it from another thread."""
