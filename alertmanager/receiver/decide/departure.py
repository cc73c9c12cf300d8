"""What is really there when a rollout is about to begin: looked at, held against what was said, and written down.

A start names two versions. Whether the servers run them, whether routers still have customers on the canary's servers,
whether the database has what both versions need, and what became of this version last time are questions with answers,
and a start that contradicts an answer is refused. What nobody can answer refuses nothing; it is said, and stands in the
passport as unknown. `--force` overrides what is found, and that stands there too.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from alertmanager.receiver.decide.finish.finishcommands import ServersAsked
from alertmanager.receiver.decide.finish.servers import Servers
from canary import names
from canary.errors import RefusedError, RemoteError, RouterError
from canary.policy.pinning.digest import digest
from canary.policy.plans import phases_of
from canary.policy.release import Phase
from canary.prometheus import LOWERING, PoliciesInUse, Silence
from canary.rollout.passport import Passport
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.routers import Observation
from canary.units import format_ratio

# A process that has just been started needs a moment before it answers. One server of several is not waited for longer
# than that; while none answers, as long as a person waits for a command.
_FEW_LOOKS = 5
_CANARY_LOOKS = 30
_LOOK_SECONDS = 0.5

_INCOMPATIBLE = "the order database lacks a table or column that the policy maps or requires, or it changed type"
_MIGRATE = (
    "apply the migration before the version that needs it (`canary check` and the exporter's log name what is missing;"
    " the exporter looks every 15 s); --force starts all the same"
)

_ENDS: Mapping[State, str] = {
    State.PROMOTED: "was promoted",
    State.FINISHING: "was promoted",
    State.FINISHED: "was promoted and finished",
    State.ROLLED_BACK: "was rolled back",
    State.FAILED: "was rolled back by hand",
}


class Departure:
    """Looks at everything that a start is about.

    Args:
        starts: whether the canary's process is started by the start: then its servers are looked at afterwards only.
        routers: their names.
        read: reads one.
        policies: by which policies exporter, receiver and rules go, as Prometheus has it.
        schema: whether the order database has what both versions need; None when nobody tells.
        silences: those in force in Alertmanager.
        drilled_at: when a drill last passed; None when none has.
        freeze: the change freeze in force; empty when there is none.
    """

    def __init__(
        self,
        plans: Plans,
        store: RolloutStore,
        servers: ServersAsked,
        *,
        starts: bool,
        routers: Sequence[str],
        read: Callable[[str], Awaitable[Observation]],
        policies: Callable[[], Awaitable[PoliciesInUse]],
        schema: Callable[[], Awaitable[bool | None]],
        silences: Callable[[], Awaitable[Sequence[Silence]]],
        drilled_at: Callable[[], datetime | None],
        freeze: Callable[[], str],
    ) -> None:
        self._plans = plans
        self._store = store
        self.servers = servers
        self._starts = starts
        self._routers_named = routers
        self._read = read
        self._policies = policies
        self._schema = schema
        self._silences = silences
        self._drilled_at = drilled_at
        self._freeze = freeze

    async def inspect(self, stable: str, canary: str, plan: str, *, force: bool, again: bool) -> Passport:
        """Look before anything is started.

        Raises:
            RefusedError: what is there contradicts what was said, or there is no such plan.
        """
        before = self._before(canary)
        if before and not again:
            raise RefusedError(
                f"{canary} {before}", place="cannot start", remedy="start another version, or this one with --again"
            )
        schema = await self._looked_at_schema(force=force)
        of_stable, of_canary, (routers, busy), silences, policies = await asyncio.gather(
            self.servers.stable(), self.servers.canary(), self._routers(), self._silenced(), self._digests()
        )
        contradictions = [
            *_contradiction("stable", of_stable, stable),
            *(() if self._starts else _contradiction("canary", of_canary, canary)),
            *(busy if not self._moved(of_stable, stable) else ()),
        ]
        if contradictions and not force:
            raise RefusedError(
                "; ".join(contradictions),
                place="cannot start",
                remedy="correct the versions or the servers; --force starts all the same",
            )
        drilled_at = self._drilled_at()
        return Passport(
            stable=of_stable.told,
            canary=of_canary.told,
            routers=routers,
            before=before,
            drill="" if drilled_at is None else f"passed {drilled_at:%Y-%m-%d %H:%M} UTC",
            policies=policies,
            schema=schema,
            silences=silences,
            freeze=self._freeze(),
            warnings=(*contradictions, *_capacity(phases_of(self._plans.file, plan), of_stable, of_canary)),
            forced=force,
        )

    async def started(self, passport: Passport, canary: str, *, force: bool) -> Passport:
        """Look at the canary's servers once more, after its process was started.

        One server that does not answer is a warning, for the router leaves it out. Where none does, the first customers
        would meet nobody.

        Raises:
            RefusedError: they run another version, or none of them answers.
        """
        for look in range(_CANARY_LOOKS):
            servers = await self.servers.canary()
            if not servers.silent or (look >= _FEW_LOOKS and (force or not servers.all_silent)):
                break
            if look < _CANARY_LOOKS - 1:
                await self._store.clock.sleep(_LOOK_SECONDS)
        contradictions = tuple(_contradiction("canary", servers, canary))
        silent = (f"expected the canary's servers to say what they run; {servers.silent}",) if servers.silent else ()
        if (contradictions or servers.all_silent) and not force:
            raise RefusedError(
                "; ".join((*contradictions, *silent)),
                place="cannot start",
                remedy=f"deploy {canary} there, or correct `router.probe`; --force starts all the same",
            )
        warnings = (*(one for one in passport.warnings if one not in contradictions), *contradictions, *silent)
        return replace(passport, canary=servers.told, warnings=warnings)

    def _before(self, canary: str) -> str:
        """What became of this version the last time."""
        last: Rollout | None = None
        for rollout in self._store.rollouts.values():
            if rollout.canary == canary and rollout.state in _ENDS:
                last = rollout
        if last is None:
            return ""
        why = f" ({last.cause}: {last.reason})" if last.state in (State.ROLLED_BACK, State.FAILED) else ""
        at = last.ended_at or last.started_at
        return f"{_ENDS[last.state]} on {at:%Y-%m-%d %H:%M} UTC, in rollout {last.id}{why}"

    def _moved(self, stable: Servers, version: str) -> bool:
        """Whether a promoted release may hand its traffic over at once: the stable servers run its version."""
        rollout = self._store.rollout
        return rollout is not None and rollout.state is State.PROMOTED and stable.running(version)

    async def _routers(self) -> tuple[dict[str, str], list[str]]:
        """By router, the weight that it has; and those that have customers on the canary's servers."""
        found, busy = {}, []
        for name in self._routers_named:
            try:
                weight = (await self._read(name)).weight_ratio
            except RouterError as error:
                found[name] = f"unknown: {error}"
                continue
            found[name] = "unknown: it cannot be read" if weight is None else format_ratio(weight)
            if weight:
                busy.append(f"router {name} has {format_ratio(weight)} on the canary's servers, expected 0%")
        return found, busy

    async def _digests(self) -> dict[str, str]:
        """By part, the digest of the policy that it goes by; this receiver knows its own."""
        try:
            told = (await self._policies()).digests
            found = {part: ", ".join(told.get(part, ())) or "unknown: it publishes none" for part in names.COMPONENTS}
        except RemoteError as error:
            found = dict.fromkeys(names.COMPONENTS, f"unknown: {error}")
        return found | {"receiver": digest(self._plans.file)}

    async def _looked_at_schema(self, *, force: bool) -> str:
        """What the database's schema is."""
        try:
            compatible = await self._schema()
        except RemoteError as error:
            return f"unknown: {error}"
        if compatible is None:
            return "unknown: no exporter tells"
        if compatible:
            return "has what both versions need"
        if not force:
            raise RefusedError(_INCOMPATIBLE, place="cannot start", remedy=_MIGRATE)
        return _INCOMPATIBLE

    async def _silenced(self) -> tuple[str, ...]:
        try:
            silences = await self._silences()
        except RemoteError as error:
            return (f"unknown: {error}",)
        service = self._plans.file.service
        return tuple(
            f"{one.action}: {one}"
            for one in silences
            if one.active and one.action in LOWERING and not one.of_one_rollout and one.concerns(service)
        )


def _contradiction(role: str, servers: Servers, version: str) -> list[str]:
    others = servers.others(version)
    return [f"--{role} is {version}, but {others}"] if others else []


def _capacity(phases: Sequence[Phase], stable: Servers, canary: Servers) -> list[str]:
    """The first phase for which the canary's servers are fewer than the stable ones are for the same share."""
    have, whole = len(canary.served), len(stable.served)
    if not have or not whole:
        return []
    for number, phase in enumerate(phases, start=1):
        needed = math.ceil(phase.traffic * whole)
        if needed > have:
            share = f"phase {number} ({format_ratio(phase.traffic)}) needs {needed} of the canary's servers"
            return [f"{share}, as stable has {whole} for everybody; found {have}"]
    return []
