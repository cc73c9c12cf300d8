"""Carrying out the story: each kind of event does one thing to the world, and undoes it when its time is over."""
# long: one list of faults, each with its end

import asyncio
from collections import Counter
from contextvars import Context
from typing import TYPE_CHECKING

from canary import names
from canary.rollout.entries import RollbackDecided
from canary.rollout.journal.texts import REFUSED
from canary.rollout.state import State
from canary.testing.clock import EPOCH
from canary.testing.routers import CLOSED, MemoryRouter
from canary.testing.sidefile import Disk
from canary.timing.times import to_text
from simulation.life import LIFE
from simulation.network import Network
from simulation.plans import PLAN
from simulation.stories.losses import LOSS
from simulation.stories.story import ACTS, SERVICE, Event
from simulation.stories.watchers import WATCH

if TYPE_CHECKING:
    from simulation.hosts import Host
    from simulation.world import World

# After a trap has sprung: as long as systemd waits before it starts a program again.
_RESTART_SECONDS = 2.0
# A person may answer what was on the screen this long ago, by which time a phase of 20 s is over.
_LATE_SECONDS = 25.0
# Both receivers have looked at the routers several times by then, and whoever leads has led for a while.
_CALM_SECONDS = 25.0
# Summer time, and a zone taken for another.
_LONGEST_JUMP_SECONDS = 7200.0


class Faults:
    """Strikes, and heals.

    Attributes:
        struck: how often each kind has struck.
    """

    def __init__(self, world: "World", network: Network) -> None:
        self.struck: Counter[str] = Counter()
        self._world = world
        self._network = network
        self._active: list[Event] = []
        self._down: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._healed = False

    def strike(self, event: Event) -> None:
        """Begin an event, and have it end in its time."""
        host = self._host(event.place.partition(" ")[0])
        if host is None and event.place[:2] in ("a", "b", "a ", "b "):
            return  # there is no second receiver in this world
        self.struck[event.kind] += 1
        self._world.tell(f"-- {event}")
        if event.kind in ACTS:
            self._act(event)
            return
        if event.kind in (PLAN, LIFE):
            self._run((self._world.planners if event.kind == PLAN else self._world.life).do(event))
            return
        if event.kind == WATCH:
            self._run(self._world.watching.do(event))
            if event.place == "exporter":
                self._later(event.seconds, self._world.watching.end)
            return
        self._begin(event)
        self._disturb()
        if event.seconds:
            self._later(event.seconds, lambda: self._end(event))

    def heal(self) -> None:
        """Everything works from now on."""
        self._healed = True
        self._world.watching.end()
        for task in list(self._tasks):
            task.cancel()
        self._active.clear()
        self._down.clear()
        self._network.traps.clear()
        self._apply()
        for host in self._world.hosts:
            if host.machine.paused:
                host.machine.go_on()
            host.start()
        self._disturb()

    def trapped(self, name: str) -> None:
        """A machine has died at a call."""
        host = self._host(name)
        assert host is not None  # machines are hosts'
        self._world.tell(f"{name} dies at this call")
        self._restart(host, _RESTART_SECONDS)
        self._disturb()

    # One event.

    def _begin(self, event: Event) -> None:
        host, router = self._host(event.place.partition(" ")[0]), self._router(event.place)
        if event.kind in ("kill", "reboot", LOSS):
            assert host is not None  # there is one of that name, or it would not strike
            host.machine.kill()
            if event.kind == "reboot":
                host.clock.reboot(f"boot-{host.name}-{asyncio.get_running_loop().time()}")
            if event.kind == LOSS:
                host.disk = Disk()
            self._restart(host, event.seconds)
            return
        if host is not None:
            self._befall(host, event)
        elif router is not None:
            calm = self._is_calm(router)
            _touch(router, event)
            if calm and event.kind == "router lowered by hand":
                self._later(0.01, lambda: self._world.checks.obeyed.update({router.name: router.split.weight_ratio}))
            if event.kind in ("router lowered by hand", "router lies"):
                self._world.truth.lowered_by_hand.add(router.name)
            finishing = self._world.truth.newest
            if event.kind == "router raised by hand" and finishing is not None and finishing.finishing is not None:
                # To the canary's servers, which are the proven side then.
                self._world.truth.lowered_by_hand.add(router.name)
        else:
            self._upset(event)
        self._active.append(event)
        self._apply()

    def _befall(self, host: "Host", event: Event) -> None:
        """What happens to a machine in a moment."""
        match event.kind:
            case "pause":
                host.machine.pause()
            case "set clock":
                host.clock.set_wall((2 * event.amount - 1) * _LONGEST_JUMP_SECONDS)
            case "forged advance" | "forged rollback":
                self._forge(host, event)

    def _upset(self, event: Event) -> None:
        """What happens to the servers in a moment."""
        monitoring = self._world.monitoring
        match event.kind:
            case "journal restored":
                self._restore(event.amount)
            case "prometheus restarts":
                monitoring.restart()
            case "alertmanager restarts":
                monitoring.alertmanagers[event.place].restart()
            case "silence advance":
                monitoring.alertmanagers[event.place].silence({names.ACTION: "advance"}, event.seconds)

    def _end(self, event: Event) -> None:
        if event in self._active:
            self._active.remove(event)
        host = self._host(event.place.partition(" ")[0])
        still = any(one.kind == "pause" and one.place == event.place for one in self._active)
        if event.kind == "pause" and host is not None and host.machine.paused and not still:
            host.machine.go_on()
        self._apply()
        self._disturb()

    def _apply(self) -> None:
        """Make the world what the events that are in force say."""
        world, network, monitoring = self._world, self._network, self._world.monitoring

        def places(kind: str) -> set[str]:
            return {event.place for event in self._active if event.kind == kind}

        network.away, network.slow, network.deaf = places("away"), places("slow"), places("lose answers")
        network.cut = {(host, peer) for host, _, peer in (place.partition(" ") for place in places("cut"))}
        network.full = {("journal", "append")} if places("journal full") else set()
        traps = {"kill before": "before", "kill after": "after"}
        network.traps = {
            (event.place.partition(" ")[0], event.place.partition(" ")[2]): traps[event.kind]
            for event in self._active
            if event.kind in traps
        }
        world.table.refuses = (
            (lambda entry: isinstance(entry, RollbackDecided) and bool(entry.reason) and REFUSED not in entry.reason)
            if places("journal refuses")
            else (lambda _: False)
        )
        world.fleet.down = places("server down")
        for process in world.processes.values():
            process.refuses = bool(places("process refuses"))
        world.targets.refusing = places("chat refuses")
        lying = places("router lies")
        for router in world.routers:
            router.claims = (router.claims or router.split) if router.name in lying else None
        was_away, monitoring.away = monitoring.away, "prometheus" in network.away
        if was_away and not monitoring.away:
            # A program that was away begins with a look; one that only slept tells what it knew until its next one.
            monitoring.look()
        monitoring.wrong, monitoring.empty = bool(places("prometheus wrong")), bool(places("prometheus empty"))
        monitoring.unscraped = places("scrape fails")
        monitoring.drops, monitoring.delays = places("alertmanager drops"), places("alertmanager delays")
        monitoring.repeats, monitoring.truncates = places("alertmanager repeats"), places("alertmanager truncates")

    def _is_calm(self, router: MemoryRouter) -> bool:
        """Whether a router has had what is wanted for a while, and nothing is wrong: what a person does is seen."""
        world, since = self._world, self._world.checks.healthy_since
        newest = world.truth.newest
        if newest is None or newest.state is State.FINISHING:
            return False  # the canary's servers are the safe side then
        if since is None or asyncio.get_running_loop().time() - since < _CALM_SECONDS:
            return False
        return world.truth.wanted_within(_CALM_SECONDS) == {(router.split.rollout, router.split.weight_ratio)}

    def _disturb(self) -> None:
        self._world.checks.obeyed.clear()
        now = asyncio.get_running_loop().time()
        checks = self._world.checks
        checks.disturbed_at = now
        if any(_is_rough(one) for one in self._active) or any(self._down.values()):
            checks.rough_since = float("inf")
        elif checks.rough_since == float("inf") or self._healed:
            checks.rough_since = now
        checks.healthy_since = None if self._active or any(self._down.values()) else now

    def _restart(self, host: "Host", seconds: float) -> None:
        self._down[host.name] += 1

        def back() -> None:
            self._down[host.name] -= 1
            if not self._down[host.name]:
                host.start()
            self._disturb()

        self._later(max(0.1, seconds), back)

    def _restore(self, amount: float) -> None:
        world = self._world
        entries = list(world.table.entries(SERVICE))
        world.table.truncate(SERVICE, int(len(entries) * amount))
        world.truth.reread(list(world.table.entries(SERVICE)))
        world.checks.restored = True
        # Not among what ends when all heals: a person goes on until nothing is in doubt.
        world.operators.begin_adopting()

    def _forge(self, host: "Host", event: Event) -> None:
        rollouts = list(self._world.truth.rollouts.values())
        if not rollouts:
            return
        about = rollouts[-1] if event.kind == "forged advance" else rollouts[0]
        if event.kind == "forged rollback" and about is rollouts[-1]:
            return  # one that is about the present rollout is as good as a true one
        action = event.kind.partition(" ")[2]
        name = names.PHASE_COMPLETE if action == "advance" else "CanaryHighErrorRate"
        labels = {
            "alertname": name,
            names.SERVICE: SERVICE,
            names.ACTION: action,
            names.ROLLOUT: about.id,
        } | ({names.PHASE: str(about.phase)} if action == "advance" else {})
        now = asyncio.get_running_loop().time()
        if action == "advance":
            # Whoever has the token may turn this key. It must not be enough.
            self._world.truth.confirmed[host.name, about.id, about.phase] = now
        alert = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": to_text(EPOCH)}
        self._run(self._post(host, {"version": "4", "alerts": [alert], "truncatedAlerts": 0}))

    async def _post(self, host: "Host", body: dict[str, object]) -> None:
        try:
            await host.notify(body)
        except ConnectionError:
            return

    def _act(self, event: Event) -> None:
        if event.kind == "give up and start":
            self._run(self._world.operators.give_up_and_start(event.amount))
            return
        verbs, late_seconds = event.place, 0.0
        if event.place == "give up":
            verbs = "give"
        if event.kind == "type late":
            late_seconds = _LATE_SECONDS * event.amount
        self._run(self._world.operators.type(verbs, late_seconds=late_seconds))

    def _later(self, seconds: float, work: object) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            assert callable(work)  # closures of this module
            work()

        self._run(wait())

    def _run(self, work: object) -> None:
        assert asyncio.iscoroutine(work)  # of this module
        # Of no machine: what a machine that dies at a call sets off would die with it.
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _host(self, name: str) -> "Host | None":
        return next((host for host in self._world.hosts if host.name == name), None)

    def _router(self, name: str) -> MemoryRouter | None:
        return next((router for router in self._world.routers if router.name == name), None)


def _touch(router: MemoryRouter, event: Event) -> None:
    """What happens to a router in a moment."""
    ratio = router.split.weight_ratio
    match event.kind:
        case "router restarts":
            router.restart()
        case "router forgets":
            router.restart(saved=CLOSED)
        case "router remembers" if router.set:
            router.restart(saved=router.set[len(router.set) // 2])
        case "router lowered by hand":
            router.change_by_hand(_whole(ratio * event.amount / 2, router))
        case "router raised by hand" if router.split.rollout != CLOSED.rollout:
            router.change_by_hand(_whole(ratio + (1 - ratio) * event.amount, router))


def _whole(ratio: float, router: MemoryRouter) -> float:
    """The nearest weight that a router can have."""
    return round(round(ratio / router.finest_ratio) * router.finest_ratio, 4)


def _is_rough(event: Event) -> bool:
    """Whether an event may keep a receiver that hears of a rollback from the routers."""
    gentle = ("journal", "prometheus", "alertmanager", "chat", "process")
    far = event.kind in ("slow", "away", "lose answers", "cut") and event.place.rpartition(" ")[2] in gentle
    harmless = (
        "journal full",
        "scrape fails",
        "silence advance",
        "chat refuses",
        "process refuses",
        "server down",
        "forged advance",
    )
    return not (far or event.kind in harmless or event.kind.startswith(("prometheus", "alertmanager", "forged")))
