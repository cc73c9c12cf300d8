"""Commands of people: `start`, `hold`, `resume`, `advance`, `promote`, `rollback`, each checked before it is written.

A person is one key. For what raises traffic Prometheus is the other: asked now, it must see nothing wrong, unless the
person says `--force`. And whoever raises says what they saw, so that a decision made from yesterday's picture is
refused and not carried out.
"""
# long: what each command needs to be checked, one after the other

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.splits import rounded_down, wanted_split
from alertmanager.receiver.act.trust import Trust, recorded_slot, salts_of
from alertmanager.receiver.decide.departure import Departure
from alertmanager.receiver.decide.finish.finishcommands import FinishCommands
from alertmanager.receiver.decide.freezes import Freezes
from alertmanager.receiver.metrics import Metrics
from canary.errors import CanaryError, ProcessError, RefusedError, RouterError, UnseenError
from canary.policy.pinning.digest import deciding, digest
from canary.policy.plans import NORMAL
from canary.policy.routers.slots import Slot
from canary.rollout.commands.amending import Amend
from canary.rollout.commands.commands import Adopt, Advance, Command, GiveUp, Hold, Promote, Resume, RollBack, Start
from canary.rollout.commands.finishing import Finish, FinishBack, FinishStep
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry
from canary.rollout.kinds import Category
from canary.rollout.plan.plans import Plans, plan_of
from canary.rollout.state import UNFINISHED, Rollout
from canary.rollout.store.store import RolloutStore
from canary.units import format_ratio

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")

_INSISTING = "to do it all the same, add --force"

# A rollback in doubt is in force within a second all the same.
_DOUBT_SECONDS = 0.5

Objection = Callable[[Rollout], Awaitable[str]]
"""Why Prometheus does not let a rollout go on; empty when it does."""


@dataclass(frozen=True)
class Request:
    """What a person wants.

    Attributes:
        force: raise the canary's weight although Prometheus objects or is unreachable.
        again: of `start`: also a version that was promoted or rolled back before.
        now: of `finish`: leave out the steps between.
        back: of `finish`: return everybody to the canary's servers.
        give_up: end a rollback that cannot be completed; the person has done it by hand.
        seen: what they saw; needed for everything but `hold` and `rollback`.
        weight: what `adopt` finds in force.
        category: what a rollback is due to.
        rollout: the id of the rollout that `adopt` finds in force; empty makes a new one.
        to: the share of the phase that `advance` goes to.
        digest: of the policy that `amend` means.
        approver: their name, where they have proven it.
        plan: by which `start` begins.
        key: their own key for this request; the same one again, with the same verb, gets the first result.
    """

    verb: str
    actor: str
    reason: str = ""
    canary: str = ""
    stable: str = ""
    force: bool = False
    give_up: bool = False
    seen: Seen | None = None
    key: str = ""
    weight: float = 0.0
    rollout: str = ""
    now: bool = False
    back: bool = False
    again: bool = False
    category: Category | None = None
    to: float | None = None
    digest: str | None = None
    approver: str = ""
    plan: str = NORMAL


class Commands:
    """Carries out commands; the reconcilers do the rest."""

    def __init__(
        self,
        plans: Plans,
        store: RolloutStore,
        effects: Effects,
        metrics: Metrics,
        objection: Objection,
        trust: Trust,
        freezes: Freezes,
        departure: Departure,
    ) -> None:
        self._plans = plans
        self._store = store
        self._effects = effects
        self._metrics = metrics
        self._objection = objection
        self._trust = trust
        self._finishing = FinishCommands(plans, store, departure.servers)
        self._departure = departure
        self._freezes = freezes

    async def submit(self, request: Request) -> Entry:
        """Check a command and write it into the journal.

        Raises:
            RefusedError: it does not fit, with the reason.
            UnseenError: it raises traffic, and does not say what its author saw.
            JournalError: it could not be written; a rollback and a hold are acted upon nevertheless.
        """
        try:
            return await self._submit(request)
        except RefusedError:
            self._metrics.action(request.verb if request.verb in set(Verb) else "none", "refused")
            raise

    async def _submit(self, request: Request) -> Entry:
        actor, reason = request.actor, request.reason
        match request.verb:
            case Verb.START:
                return await self._start(request)
            case Verb.HOLD:
                return await self._propose(request, Hold(actor=actor, reason=reason))
            case Verb.RESUME:
                return await self._resume(request, Resume(actor=actor, reason=reason))
            case Verb.ADVANCE:
                command = Advance(actor=actor, reason=reason, to=request.to, approver=self._approver(request))
                return await self._raise(request, command)
            case Verb.PROMOTE:
                return await self._raise(request, Promote(actor=actor, reason=reason, approver=self._approver(request)))
            case Verb.FINISH:
                return await self._finish(request)
            case Verb.ROLLBACK:
                return await self._roll_back(request)
            case "adopt":
                return await self._adopt(request)
            case "amend":
                return await self._amend(request)
            case _:
                raise RefusedError(f"no command {request.verb!r}", remedy=f"known are {', '.join(Verb)}")

    def _approver(self, request: Request) -> str:
        """The name that counts where several people must agree: one person must not count under two.

        Who has a token of an operator's own may know a password of the web configuration too; where operators are
        named, only they count.
        """
        operators = self._plans.file.receiver.operators
        return request.approver if not operators or request.approver in operators else ""

    async def _propose(
        self, request: Request, command: Command, *, require: Callable[[], None] = lambda: None
    ) -> Entry:
        if request.seen is None and not command.lowers:
            raise UnseenError(
                f"{request.verb} does not say what it is about", remedy="send `seen` as `canary status --json` gives it"
            )
        return await self._store.propose(request.seen, command, request=_key(request), require=require)

    async def _finish(self, request: Request) -> Entry:
        """Begin to finish, leave out the steps between, or return everybody; what goes back asks nobody."""
        if self._store.answered(_key(request)):
            return await self._propose(request, FinishBack(actor=request.actor))
        command = await self._finishing.command(request)
        if isinstance(command, FinishBack):
            return await self._propose(request, command)
        entry = await self._raise(request, command)
        if request.now and isinstance(command, Finish):
            last = FinishStep(actor=request.actor, reason=request.reason, last=True)
            return await self._store.propose(Seen(entry.rollout, entry.seq), last)
        return entry

    async def _raise(self, request: Request, command: Command) -> Entry:
        """A person is one key; Prometheus, seeing nothing wrong, is the other."""
        rollout, seen = self._store.rollout, request.seen
        in_progress = rollout is not None and (rollout.running or rollout.state in UNFINISHED)
        # A request that is repeated gets its first result, whatever Prometheus says by now.
        if rollout is not None and in_progress and seen is not None and not self._store.answered(_key(request)):
            # What has changed meanwhile is said before what Prometheus says about it.
            seen.require(rollout, rollout_only=False)
            self._require_thawed(request)
            objection = "" if request.force else await self._objection(rollout)
            if objection:
                raise RefusedError(objection, place=f"cannot {request.verb}", remedy=_INSISTING)
        return await self._propose(request, command, require=partial(self._require_thawed, request))

    async def _roll_back(self, request: Request) -> Entry:
        """Also in doubt: then every router is sent to stable first, whatever the journal may say."""
        if request.give_up:
            return await self._propose(request, GiveUp(actor=request.actor, reason=request.reason))
        command = RollBack(actor=request.actor, reason=request.reason, category=request.category)
        if self._trust.trusted or not await self._is_in_doubt():
            if not self._store.answered(_key(request)):
                await self._finishing.require_old_version()
            return await self._propose(request, command)
        nobody = wanted_split(None)
        lowered = await asyncio.gather(
            *(self._effects.lower(name, nobody) for name in self._effects.router_names), return_exceptions=True
        )
        faults = [str(fault) for fault in lowered if isinstance(fault, BaseException)]
        rollout = self._store.rollout
        if rollout is not None and (rollout.running or rollout.state in UNFINISHED):
            entry = await self._propose(request, command)
        else:
            entry = self._store.lowered_blind(actor=request.actor, reason=request.reason)
        if faults:
            raise RouterError("; ".join(faults), place="not all routers send everybody to stable")
        return entry

    async def _adopt(self, request: Request) -> Entry:
        """A person says what is in force; nothing is changed by that."""
        if self._trust.trusted:
            raise RefusedError(
                "the journal is what the routers were driven by", place="cannot adopt", remedy="see `canary status`"
            )
        _require_versions(request)
        # One router's weight may be too fine for another, which then could never have it in force.
        weight = rounded_down(request.weight, self._effects.finest_ratio)
        if request.weight and not weight:
            # An adopted 0 ends the rollout, and nobody has said that it is over.
            least = format_ratio(self._effects.finest_ratio)
            raise RefusedError(
                f"{format_ratio(request.weight)} is less than {least}, the least that every router can have",
                place="cannot adopt",
                remedy=f"adopt {least}, or 0% to send everybody to stable",
            )
        seen = await asyncio.gather(*map(self._effects.read_router, self._effects.router_names))
        slot = recorded_slot(self._plans.file, seen)
        at = self._store.clock.now()
        command = Adopt(
            rollout=request.rollout or f"{request.canary}-{at:%Y%m%dT%H%M%S}",
            stable=request.stable,
            canary=request.canary,
            **plan_of(self._plans.file, NORMAL),
            weight=weight,
            salts=salts_of(seen),
            stable_slot=slot,
            actor=request.actor,
            reason=request.reason,
        )
        return await self._store.adopt(command, request=_key(request))

    async def _amend(self, request: Request) -> Entry:
        """The running rollout goes by the file from here on, as far as that may be."""
        file = self._plans.file
        found = digest(file)
        if request.digest and request.digest != found:
            raise RefusedError(
                f"the receiver's file is policy {found}, yours is {request.digest}",
                place="cannot amend",
                remedy="copy the file to where the receiver reads it",
            )
        command = Amend(actor=request.actor, reason=request.reason, digest=found, policy=deciding(file))
        return await self._propose(request, command)

    async def _resume(self, request: Request, command: Resume) -> Entry:
        """Where the weight was lowered during the hold, going on raises it, and asks for the second key."""
        rollout = self._store.rollout
        raises = rollout is not None and rollout.weight < rollout.traffic[rollout.phase]
        return await (self._raise(request, command) if raises else self._propose(request, command))

    def _require_thawed(self, request: Request) -> None:
        """Refuse what raises in a freeze, unless its author insists."""
        if not request.force:
            self._freezes.require_none(f"cannot {request.verb}", _INSISTING)

    async def _start(self, request: Request) -> Entry:
        _require_versions(request)
        if not self._trust.trusted:
            await self._require_no_doubt()
        slot = await self._stable_slot()
        at = self._store.clock.now()
        command = Start(
            rollout=f"{request.canary}-{at:%Y%m%dT%H%M%S}",
            stable=request.stable,
            canary=request.canary,
            stable_slot=slot,
            **plan_of(self._plans.file, request.plan),
            actor=request.actor,
            reason=request.reason,
        )
        if request.seen is not None and not self._store.answered(_key(request)):
            require = partial(self._require_start, request.seen, command)
            require()
            self._require_thawed(request)
            if not request.force:
                await self._finishing.require_finished(request.stable)
            passport = await self._departure.inspect(
                request.stable, request.canary, request.plan, force=request.force, again=request.again
            )
            await self._check_routers(force=request.force)
            try:
                await self._effects.start_process(require, slot)
                passport = await self._departure.started(passport, request.canary, force=request.force)
                command = replace(command, passport=passport)
            except ProcessError as error:
                raise RefusedError(str(error), place="cannot start") from error
            except RefusedError:
                # The process takes its time, and the sender may have asked again meanwhile: the rollout that is in the
                # way is then the one that this very request has begun.
                if not self._store.answered(_key(request)):
                    raise
        return await self._propose(request, command, require=partial(self._require_thawed, request))

    async def _stable_slot(self) -> Slot | None:
        """The slot that is stable in a rollout that begins now: as the journal has it, else as the routers have it."""
        rollout = self._store.rollout
        if rollout is not None and rollout.stable_slot is not None and self._plans.file.slots:
            return rollout.stable_slot
        seen = await asyncio.gather(*map(self._effects.read_router, self._effects.router_names))
        return recorded_slot(self._plans.file, seen)

    async def _is_in_doubt(self) -> bool:
        """Whether there still is a doubt, unless that takes long: customers may be on a canary.

        A receiver that was paused wakes up with the journal of then, and the routers have gone on; what it is asked to
        roll back may be a rollout that is over.
        """
        try:
            async with asyncio.timeout(_DOUBT_SECONDS):
                return bool(await self._doubt())
        except (CanaryError, TimeoutError):
            return True

    async def _doubt(self) -> str:
        """Why journal and routers, read anew, do not fit."""
        await self._store.refresh()
        names = self._effects.router_names
        seen = await asyncio.gather(*map(self._effects.read_router, names))
        return self._trust.doubt_given(dict(zip(names, seen, strict=True)))

    async def _require_no_doubt(self) -> None:
        """It may be over by now."""
        doubt = await self._doubt()
        if doubt:
            raise RefusedError(
                doubt,
                place="cannot start",
                remedy="say what is in force with `canary adopt`, or bring the journal back",
            )

    def _require_start(self, seen: Seen, command: Start) -> None:
        """Refuse to begin a rollout that the journal would refuse."""
        rollout = self._store.rollout
        # That another rollout is in progress is the better answer than that it has gone on since it was looked at.
        command.entry(rollout, self._store.clock.now())
        seen.require(rollout, rollout_only=False)

    async def _check_routers(self, *, force: bool) -> None:
        if force:
            return
        names = self._effects.router_names
        findings = [finding for name in names for finding in await self._effects.check_router(name)]
        errors = [str(finding) for finding in findings if finding.failed]
        if errors:
            raise RefusedError("a rollback would not work:\n" + "\n".join(errors), place="cannot start")


def _require_versions(request: Request) -> None:
    for name, version in (("--canary", request.canary), ("--stable", request.stable)):
        if not _VERSION.fullmatch(version):
            raise RefusedError(
                f"expected a version of up to 40 letters, digits and any of `._+-`, found {version!r}", place=name
            )


def _key(request: Request) -> str:
    # Giving a rollback up is another command than the rollback, by the same verb.
    verb = "give_up" if request.give_up else request.verb
    return f"{verb}:{request.key}" if request.key else ""
