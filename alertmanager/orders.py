"""Orders by people: `start`, `hold`, `resume`, `advance`, `promote`, `rollback`, each checked before it is written."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from alertmanager.guard import Guard
from alertmanager.metrics import Metrics
from canary import commands
from canary.errors import ProcessError, RefusedError
from canary.policy.model import Policy
from canary.process import ProcessManager
from canary.rollout import Entry, Rollout
from canary.routers.base import Router

VERBS = ("start", "hold", "resume", "advance", "promote", "rollback")

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")

Objection = Callable[[Rollout], Awaitable[str]]
"""Why Prometheus does not let a rollout go on; empty when it does."""


@dataclass(frozen=True)
class Order:
    """What a person wants.

    Attributes:
        force: raise the canary's share although Prometheus objects or cannot be asked.
        give_up: end a rollback that cannot be completed; the person has done it by hand.
    """

    verb: str
    actor: str
    reason: str = ""
    canary: str = ""
    stable: str = ""
    force: bool = False
    give_up: bool = False


class Orders:
    """Carries out orders; the reconciler does the rest."""

    def __init__(
        self,
        policy: Policy,
        guard: Guard,
        routers: tuple[Router, ...],
        process: ProcessManager,
        metrics: Metrics,
        objection: Objection,
    ) -> None:
        self._policy = policy
        self._guard = guard
        self._routers = routers
        self._process = process
        self._metrics = metrics
        self._objection = objection

    async def submit(self, order: Order) -> Entry:
        """Check an order and write it into the journal.

        Raises:
            RefusedError: it does not fit, with the reason.
            JournalError: it could not be written; a rollback and a hold are acted upon nevertheless.
        """
        try:
            return await self._submit(order)
        except RefusedError:
            self._metrics.action(order.verb if order.verb in VERBS else "none", "refused")
            raise

    async def _submit(self, order: Order) -> Entry:
        match order.verb:
            case "start":
                return await self._start(order)
            case "hold":
                return await self._write(order, commands.hold, urgent=True)
            case "resume":
                return await self._write(order, commands.resume)
            case "advance":
                await self._second_key(order)
                return await self._write(order, commands.advance)
            case "promote":
                await self._second_key(order)
                return await self._write(order, commands.promote)
            case "rollback" if order.give_up:
                return await self._write(order, commands.give_up)
            case "rollback":
                return await self._roll_back(order)
            case _:
                raise RefusedError(f"no command {order.verb!r}; known are {', '.join(VERBS)}")

    async def _write(self, order: Order, command: Callable[..., Entry], *, urgent: bool = False) -> Entry:
        def wish(current: Rollout | None) -> Entry:
            return command(current, at=self._guard.clock.now(), actor=order.actor, reason=order.reason)

        return await self._guard.submit(wish, urgent=urgent)

    async def _roll_back(self, order: Order) -> Entry:
        def wish(current: Rollout | None) -> Entry:
            at = self._guard.clock.now()
            return commands.roll_back(current, at=at, actor=order.actor, reason=order.reason, cause="manual")

        return await self._guard.submit(wish, urgent=True)

    async def _second_key(self, order: Order) -> None:
        """A person is one key; Prometheus, seeing nothing wrong, is the other."""
        rollout = self._guard.rollout
        if rollout is None or not rollout.running or order.force:
            return
        objection = await self._objection(rollout)
        if objection:
            raise RefusedError(f"cannot {order.verb}: {objection}; to do it all the same, add --force")

    async def _start(self, order: Order) -> Entry:
        for name, version in (("--canary", order.canary), ("--stable", order.stable)):
            if not _VERSION.fullmatch(version):
                raise RefusedError(
                    f"{name}: expected a version of up to 40 letters, digits and any of `._+-`, found {version!r}"
                )

        def wish(current: Rollout | None) -> Entry:
            at = self._guard.clock.now()
            rollout = f"{order.canary}-{at:%Y%m%dT%H%M%S}"
            if current is not None and current.id == rollout:
                raise RefusedError(f"rollout {rollout} began in this very second; try again")
            return commands.start(
                current,
                self._policy,
                rollout=rollout,
                stable=order.stable,
                canary=order.canary,
                at=at,
                actor=order.actor,
                reason=order.reason,
            )

        wish(self._guard.rollout)
        await self._check_routers(force=order.force)
        try:
            await self._process.start()
        except ProcessError as error:
            raise RefusedError(f"cannot start: {error}") from error
        return await self._guard.submit(wish)

    async def _check_routers(self, *, force: bool) -> None:
        if force:
            return
        findings = [finding for router in self._routers for finding in await router.check()]
        errors = [str(finding) for finding in findings if finding.failed]
        if errors:
            raise RefusedError("cannot start, a rollback would not work:\n" + "\n".join(errors))
