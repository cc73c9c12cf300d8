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
import itertools
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


_READ_SECONDS = 0.01
"""What was sent to a paused machine its kernel has kept. When it goes on its own timers are due at once, while a
connection is to be accepted, read and parsed first: what it decides then, it decides without having heard it."""


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
        task = self.spawn(_taken_up(work) if self.paused else work)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def give(done: "asyncio.Task[T]") -> None:
            work.close()  # it has ended, or was cancelled before it began
            error = None if done.cancelled() else done.exception()
            if answer.done():
                return  # whoever asked has gone, or has seen the connection end
            if done.cancelled():
                answer.set_exception(ConnectionError(f"{self.name} hung up"))
            elif error is not None:
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


async def _taken_up(work: Coroutine[Any, Any, T]) -> T:
    await asyncio.sleep(_READ_SECONDS)
    return await work


MACHINE: ContextVar[Machine | None] = ContextVar("MACHINE", default=None)
"""The machine that the running code belongs to; None for the world around them."""


def _nothing() -> None:
    """What a cancelled callback does."""


class _Turn(asyncio.TimerHandle):
    """A callback, ready or with a time: as asyncio's own, without what those prepare for debugging."""

    __slots__ = ()

    def __init__(  # the fields of the base classes, whose constructors cost more than most callbacks
        self,
        loop: asyncio.AbstractEventLoop,
        callback: Callable[..., object],
        args: tuple[object, ...],
        context: Context | None,
        when: float = 0.0,
    ) -> None:
        self._loop = loop
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = self._scheduled = False
        self._source_traceback = self._repr = None
        self._when = when

    def cancel(self) -> None:
        """Run it no more; it is dropped when its time comes."""
        self._cancelled = True
        self._callback, self._args = _nothing, ()


class VirtualLoop(asyncio.BaseEventLoop):
    """Virtual time, and an order of events that comes from *random* alone."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.steps = 0
        self.broken: list[str] = []
        self._chance = random.random
        self._now = 0.0
        self._turns: list[asyncio.Handle] = []
        # By time, and by number where the time is the same: handles are not compared.
        self._timers: list[tuple[float, int, _Turn]] = []
        self._numbers = itertools.count()
        self._machines: set[Machine] = set()
        self._ending = False
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """At any of the next turns of this moment."""
        turn = _Turn(self, callback, args, context)
        self._turns.append(turn)
        return turn

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """After so many seconds, a little late."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """A little late, as real timers are."""
        when += self._chance() * _LATENESS_SECONDS
        turn = _Turn(self, callback, args, context, when)
        heapq.heappush(self._timers, (when, next(self._numbers), turn))
        return turn

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
        self._timers.clear()
        self._turns.clear()
        self.close()

    def _run_once(self) -> None:
        turns = self._turns
        if not turns:
            handle = self._next_timer()
        else:
            last = len(turns) - 1
            chosen = int(self._chance() * (last + 1)) if last else 0
            handle, turns[chosen] = turns[chosen], turns[last]
            turns.pop()
        if handle._cancelled:  # noqa: SLF001  # asked a million times a minute
            return
        machine = handle._context.get(MACHINE)  # type: ignore[attr-defined]  # noqa: SLF001  # where its owner is
        if machine is not None and not self._ending and machine.keeps(handle):
            self._machines.add(machine)
            return
        self.steps += 1
        handle._run()  # noqa: SLF001  # as the base class does

    def _next_timer(self) -> asyncio.Handle:
        """Let time pass until the next one."""
        if not self._timers:
            raise RuntimeError("nothing is left to wait for")
        when, _, turn = heapq.heappop(self._timers)
        if not turn._cancelled:  # noqa: SLF001  # as above
            self._now = max(self._now, when)
        return turn

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # Of a killed machine nothing is left that could wait for its tasks.
        if not self._ending and "was destroyed" not in str(context.get("message")):
            self.broken.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _process_events(self, event_list: object) -> None:
        """No files are watched."""

    def _write_to_self(self) -> None:
        """Nobody wakes it from another thread."""
