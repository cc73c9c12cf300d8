"""`canary wait`: for pipelines, blocks until a rollout is over and says by its exit status how.

The status is asked for again and again rather than listened to: a pipeline may sit behind proxies that end long
answers, and a receiver that is restarted in between, or another one that takes over, is the same to it. A rollback is
waited for to its end, so that what a pipeline does next finds nobody on the canary.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, Protocol

import click

from canary.errors import JournalError, RefusedError, RemoteError
from canary.policy import Policy, load_policy
from canary.timing.clock import Clock, SystemClock
from canary.timing.zones import in_zone, moment
from canary.units import format_duration, format_ratio
from canary.web.client import Client
from canaryctl.cli.completion import rollout_ids
from canaryctl.cli.console import plain, print_json
from canaryctl.cli.options import config_file, duration_option, output_format

# What is waited for takes minutes, and each look is one request to the receiver.
_LOOK_SECONDS = 2.0

# A receiver that is restarted, or hands over to another, is away for seconds; a machine that boots, for minutes.
_PATIENCE_SECONDS = 120.0


class Outcome(IntEnum):
    """The exit status."""

    REACHED = 0
    LOST = 4
    """The receiver does not answer."""
    ROLLED_BACK = 5
    HELD = 6
    """Held until a person decides."""
    TIMED_OUT = 7
    REPLACED = 8
    """Another rollout has begun, and this one did not get there."""


_REACHED = {
    "promoted": frozenset({"promoted", "finishing", "finished"}),
    "finished": frozenset({"finished"}),
}


class Asked(Protocol):
    """The receiver's API, for questions."""

    async def get(self, path: str, **params: str) -> Any:
        """What it answers."""
        ...


@dataclass(frozen=True)
class Result:
    """How the waiting ended: the outcome, what people read, and the last status that was seen."""

    outcome: Outcome
    text: str
    status: Mapping[str, Any] | None


@click.command("wait")
@config_file
@output_format
@click.option(
    "--for",
    "wanted",
    type=click.Choice(list(_REACHED)),
    default="promoted",
    show_default=True,
    help="What to wait for.",
)
@click.option("--rollout", default="", shell_complete=rollout_ids, help="Its id; the newest when missing.")
@duration_option("--timeout", default="24h", help="How long to wait at most.")
def command(config_file: str, output_format: str, wanted: str, rollout: str, timeout: float) -> None:
    """Wait until the rollout is promoted, or over in another way, and tell each change on the way.

    A hold that ends by itself is waited for, and so is a person at a gate; a hold that only a person ends is not.

    Exit status: 0 it is there; 3 there is no rollout; 4 the receiver has not answered for 2 minutes; 5 rolled back, or
    given up; 6 held until a person decides; 7 not there within the time-out; 8 another rollout has begun meanwhile.
    """
    policy = load_policy(config_file)
    tell = partial(_tell, policy.receiver.timezone)
    say = _silent if output_format == "json" else tell
    result = asyncio.run(_wait(policy, wanted, rollout, timeout, say))
    if output_format == "json":
        print_json({"outcome": result.outcome.name.lower(), "text": result.text, "status": result.status})
    else:
        tell(result.text)
    sys.exit(result.outcome)


async def _wait(
    policy: Policy, wanted: str, rollout: str, timeout_seconds: float, say: Callable[[str], None]
) -> Result:
    async with Client.of(policy) as client:
        return await Waiting(client, SystemClock(), wanted, rollout, say).until(timeout_seconds)


class Waiting:
    """Looks at one rollout until it is over.

    Args:
        wanted: one of `promoted` and `finished`.
        rollout: its id; empty for the newest.
        say: hears each change, as one line.
    """

    def __init__(self, client: Asked, clock: Clock, wanted: str, rollout: str, say: Callable[[str], None]) -> None:
        self._client = client
        self._clock = clock
        self._wanted = wanted
        self._rollout = rollout
        self._say = say
        self._said = ""
        self._away = False
        self._status: Mapping[str, Any] | None = None
        self._answered_at = clock.monotonic()

    async def until(self, timeout_seconds: float) -> Result:
        """Look until it is over, at most for so long.

        Raises:
            RefusedError: there is no rollout to wait for.
        """
        ends_at = self._clock.monotonic() + timeout_seconds
        while True:
            result = await self._look()
            if result is not None:
                return result
            remaining = ends_at - self._clock.monotonic()
            if remaining <= 0:
                return self._late(timeout_seconds)
            await self._clock.sleep(min(_LOOK_SECONDS, remaining))

    async def _look(self) -> Result | None:
        try:
            status = await self._client.get("status")
            past = await self._past(status)
        except (RemoteError, JournalError) as error:
            away = self._clock.monotonic() - self._answered_at
            if away < _PATIENCE_SECONDS:
                self._say_away(error)
                return None
            text = f"the receiver has not answered for {format_duration(round(away))}: {error}"
            return Result(Outcome.LOST, text, self._status)
        self._status, self._answered_at, self._away = status, self._clock.monotonic(), False
        if past is None:
            return self._judged(status["rollout"])
        # Of two receivers one may have read less of the journal: its newest rollout can be the one before ours.
        return None if past[0]["seq"] > status["rollout"]["decision"] else self._replaced(past)

    def _say_away(self, error: Exception) -> None:
        """Once for each time that it goes away: minutes without a word look like a command that hangs."""
        if not self._away:
            self._away = True
            self._say(f"{error}; asking again for {format_duration(_PATIENCE_SECONDS)}")

    async def _past(self, status: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
        """What the journal says of a rollout that is not the receiver's newest; None of the newest."""
        newest = status["rollout"]
        if newest is None:
            raise RefusedError("no rollout has been started", place="cannot wait", remedy="begin with `canary start`")
        self._rollout = self._rollout or newest["id"]
        if newest["id"] == self._rollout:
            return None
        entries: list[Mapping[str, Any]] = await self._client.get("history", rollout=self._rollout)
        if not entries:
            raise RefusedError(
                f"there is no rollout {self._rollout}", place="cannot wait", remedy="see `canary history`"
            )
        return entries

    def _replaced(self, entries: Sequence[Mapping[str, Any]]) -> Result:
        about, kinds = f"rollout {self._rollout}", {entry["kind"] for entry in entries}
        if "rollback" in kinds:
            return Result(Outcome.ROLLED_BACK, f"{about} was rolled back", self._status)
        if self._wanted in kinds or (self._wanted == "promoted" and "finished" in kinds):
            return Result(Outcome.REACHED, f"{about} was {self._wanted}", self._status)
        return Result(Outcome.REPLACED, f"{about} is not {self._wanted}; another rollout has begun", self._status)

    def _judged(self, rollout: Mapping[str, Any]) -> Result | None:
        state, why = str(rollout["state"]), rollout["reason"] or rollout["cause"]
        about = f"rollout {rollout['id']}"
        if state in _REACHED[self._wanted]:
            return Result(Outcome.REACHED, f"{about} is {state.replace('_', ' ')}", self._status)
        if state in ("rolled_back", "failed"):
            return Result(Outcome.ROLLED_BACK, f"{about} is {state.replace('_', ' ')}: {why}", self._status)
        frozen = state == "finishing" and rollout["finishing"]["frozen"]
        if (state == "holding" or frozen) and not rollout["lifts"] and not rollout["rollback_at"]:
            return Result(Outcome.HELD, f"{about} is held until a person decides: {why}", self._status)
        self._tell(rollout, state, why)
        return None

    def _tell(self, rollout: Mapping[str, Any], state: str, why: str) -> None:
        assert self._status is not None
        share = format_ratio(rollout["weight_ratio"])
        waits = f"; waits for {self._status['waiting_for']}" if self._status["waiting_for"] else ""
        reason = f" ({why})" if why and state in ("holding", "rolling_back") else ""
        phase = f", phase {rollout['phase'] + 1} of {len(rollout['phases'])}" if state in ("phase", "baking") else ""
        # Both groups run one version while a release is finished.
        where = "the canary's servers" if state == "finishing" else rollout["canary"]
        line = f"{state.replace('_', ' ')}{phase}, {share} on {where}{reason}{waits}"
        if line != self._said:
            self._said = line
            self._say(f"{moment(self._status['now'])}  {line}")

    def _late(self, timeout_seconds: float) -> Result:
        rollout = self._status["rollout"] if self._status else None
        if rollout and rollout["state"] == "rolling_back" and rollout["id"] == self._rollout:
            text = f"rollout {self._rollout} is being rolled back, and that is NOT complete: {rollout['reason']}"
            return Result(Outcome.ROLLED_BACK, text, self._status)
        within = f"within {format_duration(timeout_seconds)}"
        if self._status is None:
            return Result(Outcome.TIMED_OUT, f"the receiver has not answered {within}", None)
        text = f"rollout {self._rollout} is not {self._wanted} {within}; last seen: {self._said or 'nothing'}"
        return Result(Outcome.TIMED_OUT, text, self._status)


def _tell(zone: str, line: str) -> None:
    """One line for people, times in the shop's zone."""
    click.echo(in_zone(plain(line), zone))


def _silent(_line: str) -> None:
    """JSON has the end only."""
