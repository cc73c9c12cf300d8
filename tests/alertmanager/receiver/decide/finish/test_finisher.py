"""Finishing a release: traffic returns to servers that run the new version, one watched step at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from alertmanager.receiver.act.deployment import Deployment
from alertmanager.receiver.decide.commands import Commands, Request
from alertmanager.receiver.decide.finish.finisher import Finisher
from alertmanager.receiver.decide.freezes import Freezes
from alertmanager.receiver.decide.promotion.waiting import Reason, Waiting
from alertmanager.receiver.gauges import Gauges, Snapshot
from canary.errors import CanaryError, RefusedError
from canary.policy.finish import Finish, Probe
from canary.policy.release import Process, Receiver, Upstreams
from canary.policy.routers.sections import HaproxyRouter
from canary.process.manager import ProcessState
from canary.rollout.commands.commands import Promote
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry, Finished, FinishStepped, Held, Resumed
from canary.rollout.kinds import Cause, Step
from canary.rollout.plan.plans import Plans
from canary.rollout.state import State
from canary.testing.servers import MemoryDeployment
from tests.support.receiving.acting import Acting, World
from tests.support.web.servers import KnownServers, departure

STEP_SECONDS = 120
SERVERS = ("10.0.1.10:5000", "10.0.1.11:5000")
_ROUTER = HaproxyRouter(
    kind="haproxy", upstreams=Upstreams(stable=SERVERS, canary=("10.0.1.20:5000",)), probe=Probe(header="X-Version")
)


@dataclass
class Shop:
    """One leading receiver, its world, and what the shop's servers run.

    Attributes:
        complaint: what Prometheus objects.
        blind: whether the heartbeat is away.
    """

    world: World
    acting: Acting
    servers: KnownServers
    deployment: MemoryDeployment
    complaint: str = ""
    blind: bool = False

    def __post_init__(self) -> None:
        """Put the deciding parts together."""
        self.restart()

    def restart(self) -> None:
        """A new process, which remembers nothing."""
        acting, plans = self.acting, Plans(self.world.policy)
        self.commands = Commands(
            plans,
            acting.store,
            acting.effects,
            acting.metrics,
            self._objects,
            acting.reconciler.trust,
            Freezes(Receiver(), acting.store, acting.clock),
            departure(plans, acting.store, acting.effects, self.servers),
        )
        self.finisher = Finisher(
            plans,
            acting.store,
            acting.lead,
            acting.clock,
            self.servers,
            objection=self._objects_to_step,
            settled=lambda: acting.reconciler.settled,
            blind=lambda: self.blind,
        )
        self.deploy = Deployment(acting.store, acting.effects)

    async def _objects(self, _rollout: object) -> str:
        return self.complaint

    async def _objects_to_step(self, _rollout: object) -> Waiting | None:
        return Waiting(Reason.PROMETHEUS, self.complaint) if self.complaint else None

    @property
    def waits(self) -> tuple[str, str]:
        """What the finish waits for, as one word and for people."""
        assert self.finisher.waiting is not None
        return self.finisher.waiting.reason.value, self.finisher.waiting.text

    def runs(self, version: str) -> None:
        """All stable servers run this version; an empty one is an unknown one."""
        self.servers.stable_versions = dict.fromkeys(SERVERS, version)

    async def finish(
        self, verb: Verb = Verb.FINISH, *, now: bool = False, back: bool = False, force: bool = False
    ) -> Entry:
        """A person's command, who has just looked."""
        seen = Seen.of(self.acting.store.rollout)
        return await self.commands.submit(Request(verb, "ann", "because", seen=seen, now=now, back=back, force=force))

    async def look(self, times: int = 1) -> None:
        """Every worker looks."""
        for _ in range(times):
            await self.acting.controller.step()
            await self.finisher.step()
            await self.acting.reconciler.attempt("deploy", self.deploy.step)
            await self.acting.reconcile()

    async def pass_step(self) -> None:
        """The step's time passes, and everybody looks."""
        self.acting.clock.advance(STEP_SECONDS)
        await self.look()

    @property
    def weight(self) -> float:
        """The share on the canary's servers, as the router has it."""
        return self.world.router.split.weight_ratio

    @property
    def state(self) -> State:
        """The rollout's state."""
        return self.acting.rollout.state

    async def kinds(self) -> list[type[Entry]]:
        """What the journal has of the rollout."""
        return [type(entry) for entry in await self.acting.store.entries()]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A promoted release of v2.0 whose stable servers have just got v2.0."""
    finish = Finish(steps=(0.25, 0.5, 1.0), duration=STEP_SECONDS)
    async with World.around(tmp_path, finish=finish, router=(_ROUTER,), process=Process(drain=1)) as world:
        world.process.now = ProcessState.RUNNING
        deployment = MemoryDeployment()
        shop = Shop(world, world.receiver(deployment=deployment), KnownServers(), deployment)
        shop.runs("v2.0")
        await shop.acting.start()
        await shop.acting.propose(Promote(actor="ann"))
        await shop.look()
        yield shop


async def test_traffic_returns_in_steps_and_the_canary_is_stopped(shop: Shop) -> None:
    """25 %, 50 %, all: each after its time; then the process is stopped, and the release finished, not rolled back."""
    await shop.finish()
    seen = []
    for _ in range(4):
        await shop.look(2)
        seen.append(round(1 - shop.weight, 2))
        shop.acting.clock.advance(STEP_SECONDS)

    assert seen == [0.25, 0.5, 1.0, 1.0]
    assert shop.state is State.FINISHED
    assert shop.world.process.now is ProcessState.STOPPED
    assert (await shop.kinds())[-1] is Finished
    rolled = shop.acting.metrics.registry.get_sample_value(
        "canary_rollbacks_total", {"service": "shop", "cause": "manual"}
    )
    assert rolled is None


async def test_a_step_lasts_its_time(shop: Shop) -> None:
    """However often it looks, no step is taken before the time of the step before is over."""
    await shop.finish()
    await shop.look(10)
    shop.acting.clock.advance(STEP_SECONDS - 1)
    await shop.look()

    assert shop.weight == 0.75
    reason, text = shop.waits
    assert reason == "time"
    assert text.startswith("the step's time, until 20")


@pytest.mark.parametrize("version", ["v1.0", ""])
async def test_servers_that_do_not_run_the_new_version_get_no_traffic(shop: Shop, version: str) -> None:
    """The old version, or an unknown one, on a single server refuses the finish, and says which server it is."""
    shop.servers.stable_versions[SERVERS[1]] = version

    with pytest.raises(RefusedError, match=SERVERS[1]):
        await shop.finish()
    assert shop.state is State.PROMOTED


async def test_a_person_may_answer_for_servers_that_nobody_can_ask(shop: Shop) -> None:
    """`--force` finishes where versions are unknown, which is written down; never against a known old version."""
    shop.runs("")
    await shop.finish(force=True)
    await shop.look(2)
    assert shop.weight == 0.75
    finishing = shop.acting.rollout.finishing
    assert finishing is not None
    assert finishing.unverified

    await shop.finish(back=True)
    shop.runs("v1.0")
    with pytest.raises(RefusedError, match=r"runs v1\.0"):
        await shop.finish(force=True)


@pytest.mark.parametrize("trouble", ["down", "old", "router"])
async def test_a_server_in_trouble_freezes_the_step_until_it_is_well(shop: Shop, trouble: str) -> None:
    """Two looks in a row freeze; three good ones let it go on, and the step's time restarts."""
    await shop.finish()
    await shop.look()
    match trouble:
        case "down":
            shop.servers.stable_versions[SERVERS[0]] = ""
        case "old":
            shop.servers.stable_versions[SERVERS[0]] = "v1.0"
        case _:
            shop.servers.unwell = {SERVERS[0]: "HAProxy says DOWN"}
    await shop.look()
    assert not shop.acting.rollout.frozen
    await shop.pass_step()

    assert shop.acting.rollout.frozen
    assert SERVERS[0] in shop.acting.rollout.reason
    assert shown(shop, "canary_finish_frozen", cause="servers") == 1
    assert shown(shop, "canary_finish_step") == 1
    assert shop.weight == 0.75
    await shop.pass_step()
    assert shop.weight == 0.75

    shop.runs("v2.0")
    shop.servers.unwell = {}
    await shop.look(4)
    assert not shop.acting.rollout.frozen
    assert shop.weight == 0.75
    await shop.pass_step()
    assert shop.weight == 0.5
    assert (await shop.kinds()).count(Held) == (await shop.kinds()).count(Resumed) == 1


async def test_everybody_goes_back_whatever_is_wrong(shop: Shop) -> None:
    """`--back` asks neither servers nor Prometheus; the release is promoted again, and can be finished anew."""
    await shop.finish()
    await shop.pass_step()
    shop.runs("")
    shop.complaint = "CanaryServerUnhealthy fires"

    await shop.finish(back=True)
    await shop.look()
    assert shop.weight == 1.0
    assert shop.state is State.PROMOTED

    shop.runs("v2.0")
    shop.complaint = ""
    await shop.finish()
    await shop.look(2)
    assert shop.weight == 0.75


async def test_now_leaves_the_steps_out(shop: Shop) -> None:
    """All traffic returns at once; the last step still has its time before the process is stopped."""
    await shop.finish(now=True)
    await shop.look(2)
    assert shop.weight == 0.0
    assert shop.state == "finishing"
    assert shop.world.process.now is ProcessState.RUNNING

    await shop.pass_step()
    await shop.look()
    assert shop.state == "finished"


async def test_who_leads_no_longer_says_no_reason(shop: Shop) -> None:
    """What was waited for at its own last look may be over; the leader says what is."""
    await shop.finish()
    await shop.look()
    shop.complaint = "Prometheus is unreachable"
    await shop.pass_step()
    assert shop.waits == ("prometheus", shop.complaint)

    shop.acting.lead.leading = False
    await shop.look()
    assert shop.finisher.waiting is None


@pytest.mark.parametrize(
    ("reason", "word"),
    [("Prometheus", "prometheus"), ("heartbeat", "alertmanager"), ("router", "routers"), ("process", "process")],
)
async def test_what_is_not_well_is_waited_for(shop: Shop, reason: str, word: str) -> None:
    """Without Prometheus' agreement, the heartbeat, or a router that follows, no step is taken, and it is said why."""
    await shop.finish()
    await shop.look()
    match reason:
        case "Prometheus":
            shop.complaint = "Prometheus is unreachable"
        case "heartbeat":
            shop.blind = True
        case "router":
            shop.world.router.away = True
        case _:
            shop.world.process.refuses = True
    for _ in range(4):
        await shop.pass_step()

    if reason == "process":
        assert shop.state == "finishing"
        assert shop.waits == ("process", "the canary's process to stop")
        await shop.finish(now=True)
        assert shop.state == "finished"
        return
    assert shop.weight == 0.75
    assert shop.waits[0] == word
    assert reason.lower() in shop.waits[1].lower()


async def test_a_rollback_works_while_the_old_version_is_there(shop: Shop) -> None:
    """As long as the stable servers run v1.0 a promoted release is rolled back; later that is refused, with a way."""
    with pytest.raises(RefusedError, match=r"would not bring v1\.0 back"):
        await shop.finish(Verb.ROLLBACK)
    shop.runs("v1.0")

    await shop.finish(Verb.ROLLBACK)
    await shop.look()
    assert shop.weight == 0.0
    assert shop.state is State.ROLLED_BACK


async def test_a_rollback_in_the_middle_is_refused(shop: Shop) -> None:
    """Once traffic has returned, a rollback would mix versions: unknown servers refuse it too."""
    await shop.finish()
    await shop.look()
    shop.runs("")

    with pytest.raises(RefusedError, match="canary finish --back"):
        await shop.finish(Verb.ROLLBACK)


async def test_the_next_release_waits_for_the_finish(shop: Shop) -> None:
    """While everybody is on the canary's servers, a start is refused unless stable runs that version, too."""
    shop.runs("v1.0")
    with pytest.raises(RefusedError, match="promoted and not finished"):
        await start(shop, "v3.0", "v2.0")
    with pytest.raises(RefusedError, match=r"not finished.* --stable is v1\.1, expected v2\.0; .*--stable v2\.0"):
        await start(shop, "v3.0", "v1.1")
    with pytest.raises(RefusedError, match=r"everybody is on v2\.0, and would return to v1\.0"):
        await start(shop, "v3.0", "v1.0")
    shop.runs("v2.0")
    await start(shop, "v3.0", "v2.0")
    assert shop.acting.rollout.canary == "v3.0"


def shown(shop: Shop, metric: str, **labels: str) -> float | None:
    """What a gauge says of the rollout."""
    registry = CollectorRegistry()
    registry.register(Gauges("shop", lambda: Snapshot(rollout=shop.acting.store.rollout)))
    return registry.get_sample_value(metric, {"service": "shop", "rollout": shop.acting.rollout.id, **labels})


async def start(shop: Shop, canary: str, stable: str) -> Entry:
    """The next release begins."""
    shop.acting.clock.advance(1)
    seen = Seen.of(shop.acting.store.rollout)
    return await shop.commands.submit(Request(Verb.START, "ann", canary=canary, stable=stable, seen=seen))


async def test_a_finished_release_lets_the_next_one_begin(shop: Shop) -> None:
    """v1 -> v2 finished, v2 -> v3: the second release begins on servers that run what it is compared with."""
    await shop.finish(now=True)
    for _ in range(2):
        await shop.pass_step()
    await start(shop, "v3.0", "v2.0")
    await shop.look()

    assert shop.weight == 0.05
    assert shop.world.router.split.rollout == shop.acting.rollout.id


async def test_by_hand_customers_go_back_and_are_not_taken_forward(shop: Shop) -> None:
    """Who raises the canary's servers at a router is obeyed, with a freeze; who lowers them is put right."""
    await shop.finish()
    await shop.look(2)
    shop.world.router.change_by_hand(0.2)
    await shop.look()
    assert shop.weight == 0.75

    shop.world.router.change_by_hand(1.0)
    await shop.look(3)
    assert shop.weight == 1.0
    assert shop.acting.rollout.frozen
    assert shop.acting.rollout.cause == Cause.BY_HAND

    await shop.finish(Verb.RESUME)
    await shop.look()
    assert shop.weight == 0.75


async def test_the_stable_servers_are_deployed_to_first(shop: Shop) -> None:
    """With `deploy_stable` the finish begins on the old version; traffic waits for what the servers say."""
    shop.runs("v1.0")
    shop.deployment.configured = True
    deploying(shop)
    await shop.finish()
    await shop.look(3)
    assert shop.deployment.done == ["v2.0"]
    assert shop.weight == 1.0
    reason, text = shop.waits
    assert reason == "servers"
    assert "runs v1.0" in text

    shop.runs("v2.0")
    await shop.look(2)
    assert shop.weight == 0.75
    assert shop.deployment.done == ["v2.0"]


async def test_nobody_is_rolled_back_to_servers_that_are_being_given_the_new_version(shop: Shop) -> None:
    """They still say v1.0, and run v2.0 as soon as the program is done with them; a deployment that failed is none."""
    shop.runs("v1.0")
    shop.deployment.configured, shop.deployment.refuses = True, "expected exit status 0, found 1"
    deploying(shop)
    await shop.finish()
    with pytest.raises(RefusedError, match=r"would not bring v1\.0 back: .*, all are being given v2\.0; deploy v1\.0"):
        await shop.finish(Verb.ROLLBACK)

    await shop.look(3)
    await shop.finish(Verb.ROLLBACK)

    assert shop.state is State.ROLLING_BACK


async def test_a_deployment_that_fails_freezes_and_is_tried_again_when_asked(shop: Shop) -> None:
    """It is not run again and again; `canary resume` runs it once more."""
    shop.runs("v1.0")
    shop.deployment.configured, shop.deployment.refuses = True, "expected exit status 0, found 1"
    deploying(shop)
    await shop.finish()
    await shop.look(3)
    assert shop.acting.rollout.frozen
    assert "found 1" in shop.acting.rollout.reason
    shop.deployment.refuses = ""
    await shop.look()
    assert shop.deployment.done == []

    await shop.finish(Verb.RESUME)
    await shop.look()
    assert shop.deployment.done == ["v2.0"]


def deploying(shop: Shop) -> None:
    """The policy has a program that deploys to the stable servers."""
    shop.world.policy = replace(shop.world.policy, process=Process(drain=1, deploy_stable=("deploy",)))
    shop.restart()


@pytest.mark.parametrize("killed", ["look", "write", "deploy", "router", "process"])
async def test_killed_at_any_moment_the_finish_goes_on(shop: Shop, killed: str) -> None:
    """A receiver that dies anywhere in the finish is followed by one that goes on where the journal says."""
    shop.deployment.configured = True
    deploying(shop)
    await shop.finish()
    weights = [shop.weight]
    for number in range(14):
        dies = {"look": number % 2 == 0, "write": number % 3 == 0}.get(killed, number in (1, 4, 7, 10))
        if dies:
            await _die(shop, killed)
        await shop.look()
        weights.append(shop.weight)
        shop.acting.clock.advance(STEP_SECONDS / 2)
    await shop.look(3)

    assert shop.state is State.FINISHED
    assert weights == sorted(weights, reverse=True)
    steps = [entry for entry in await shop.acting.store.entries() if isinstance(entry, FinishStepped)]
    assert [step.step for step in steps] == [0, 1, 2]
    assert shop.world.process.now is ProcessState.STOPPED
    assert {Step.TRAFFIC, Step.PROCESS} <= shop.acting.rollout.steps


class KilledError(CanaryError):
    """The process is gone: nothing after this moment happens in it."""


async def _die(shop: Shop, where: str) -> None:
    """The receiver works until the moment at which it dies; a new one takes over."""

    async def die(_operation: str) -> None:
        raise KilledError("killed")

    world, calm = shop.world, shop.world.router.before
    places: dict[str, Callable[[], None]] = {
        "router": lambda: setattr(world.router, "after", die),
        "process": lambda: setattr(world.process, "after", die),
        "deploy": lambda: setattr(shop.deployment, "after", die),
        "write": lambda: setattr(shop.acting.journal, "broken", True),
        "look": lambda: setattr(world.router, "before", die),
    }
    places[where]()
    parts: list[Callable[[], Awaitable[object]]] = [
        shop.acting.controller.step,
        shop.finisher.step,
        shop.deploy.step,
        shop.acting.reconcile,
    ]
    for part in parts:
        try:
            await part()
        except CanaryError:
            break
    world.router.before = world.router.after = calm
    world.process.after = shop.deployment.after = calm
    shop.acting = world.receiver(deployment=shop.deployment)
    await shop.acting.store.refresh()
    shop.restart()
