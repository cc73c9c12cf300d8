"""Any other router, by the user's own programs: one that sets the weight and one that reads it back.

There are two programs, because a program that sets cannot prove that it did: only what `read` prints is believed.
`set` gets everything as JSON on its standard input, nothing on its command line: what is not an argument needs no
quoting and cannot be taken for an option. `read` need only know the weight; a balancer that has never heard of rollouts
or testers is believed about those.

With `router.slots` the programs speak of the share of slot b, never of a role; `read` must print which slot is recorded
as the stable one, for by the share alone nobody could tell 5 % on the canary from 95 %. A share that is missing means
the recorded slot.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from canary.errors import RouterError, shown
from canary.finding import Finding, failed
from canary.policy.routers.sections import CommandRouter
from canary.policy.routers.slots import Slot
from canary.process.program import run
from canary.routers.answers import ODD, json_of
from canary.routers.base import FINEST_RATIO, Observation, Reading, Split, TellsNothingOfServers
from canary.routers.bucket import HAPROXY_BUCKETS, haproxy_bucket
from canary.units import format_ratio

# More than any weight has; what subtraction adds is far less.
_DIGITS = 9


class ProgramRouter(TellsNothingOfServers):
    """Hands the wanted split as JSON to one program, and believes only what the other one reads.

    Args:
        section: The policy's `router` section of kind `command`.
    """

    finest_ratio = FINEST_RATIO

    def __init__(self, section: CommandRouter) -> None:
        self.name = section.name
        self._section = section
        self._slots = section.slots is not None
        self._alone = False

    async def set_weight(self, split: Split) -> None:
        """Run the program `set`, then read back.

        Raises:
            RouterError: the program failed, or the weight that is read back is another one.
        """
        if self._slots and split.stable_slot is None:
            recorded = (await self.read()).readings[0].stable_slot or "a"
            split = dataclasses.replace(split, stable_slot=recorded)
        outcome = await run(
            self._section.set, timeout_seconds=self._section.timeout, stdin=json.dumps(self._wanted(split))
        )
        if outcome.fault:
            raise RouterError(outcome.fault, place=f"router {self.name}: set")
        self._alone = split.testers_alone
        observation = await self.read()
        if not observation.agrees(split):
            raise RouterError(
                f"expected {format_ratio(split.weight_ratio)} after set, found {observation.detail}",
                place=f"router {self.name}",
            )

    async def read(self) -> Observation:
        """What the program `read` prints: `{"weight": 0.05}`, and the salt where it knows it."""
        outcome = await run(self._section.read, timeout_seconds=self._section.timeout)
        return Observation((self._reading(outcome.output, outcome.fault),))

    async def check(self) -> list[Finding]:
        """A program that cannot be read from."""
        observation = await self.read()
        return [
            failed(f"router {self.name}: read", reading.error, "the weight could not be confirmed")
            for reading in observation.readings
            if reading.error
        ]

    async def sessions(self, lasting_seconds: float) -> int | None:  # noqa: ARG002  # nothing to hold it against
        """The `sessions` that the program `read` prints; None where it prints none.

        Raises:
            RouterError: it failed, or printed no number.
        """
        outcome = await run(self._section.read, timeout_seconds=self._section.timeout)
        if outcome.fault:
            raise RouterError(outcome.fault, place=f"router {self.name}: read")
        try:
            left = json_of(outcome.output).get("sessions")
            return None if left is None else max(0, int(_number(left)))
        except ODD as error:
            found = shown(outcome.output)
            raise RouterError(f"expected a number of sessions, found {found!r}", place=f"router {self.name}") from error

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether this user is among the chosen, when the program hashes as HAProxy does."""
        share = split.slot_b_ratio if self._slots else split.weight_ratio
        on_slot_b = haproxy_bucket(user_id, split.salt) < round(share * HAPROXY_BUCKETS)
        return on_slot_b != (self._slots and split.stable_slot == "b")

    def snippet(self) -> Mapping[str, str]:
        """Nothing: the program's router has its own configuration."""
        return {}

    def _wanted(self, split: Split) -> Mapping[str, object]:
        let_in = split.testers_alone or (split.testers and split.weight_ratio > 0)
        share = {"slot_b": split.slot_b_ratio, "stable": split.stable_slot} if self._slots else {}
        who = self._section.testers
        return {
            **(share or {"weight": split.weight_ratio}),
            "rollout": split.rollout,
            "salt": split.salt,
            # Where testers read metrics is for routers whose configuration is generated.
            "testers": {"networks": who.networks, "header": who.header, "cookie": who.cookie} if let_in else None,
        }

    def _reading(self, output: str, fault: str) -> Reading:
        if fault:
            return Reading(self.name, None, error=fault)
        try:
            answer = json_of(output)
            stable = _stable(answer) if self._slots else None
            weight_ratio = _share(answer, stable) if stable is not None else float(_number(answer["weight"]))
            if not (math.isfinite(weight_ratio) and 0 <= weight_ratio <= 1):
                raise ValueError  # one sentence explains every wrong answer
            salt = None if answer.get("salt") is None else int(answer["salt"])
            testers = None if answer.get("testers") is None else bool(answer["testers"])
        except ODD:
            return Reading(
                self.name,
                None,
                error=f"expected {self._form} with a ratio from 0 to 1, found {shown(output)!r}",
            )
        # Where the program does not say, it is believed to have done what it was told.
        alone = weight_ratio == 0 and (self._alone if testers is None else testers)
        return Reading(self.name, weight_ratio, salt=salt, testers=testers, testers_alone=alone, stable_slot=stable)

    @property
    def _form(self) -> str:
        return '{"slot_b": RATIO, "stable": "a" or "b"}' if self._slots else '{"weight": RATIO}'


def _number(said: Any) -> Any:
    """What may be a number, or the text of one. Python takes `false` for 0, where a program means that it failed."""
    if isinstance(said, bool):
        raise TypeError(said)
    return said


def _stable(answer: Mapping[str, object]) -> Slot:
    said = answer["stable"]
    if said == "a":
        return "a"
    if said == "b":
        return "b"
    raise ValueError(said)


def _share(answer: Mapping[str, Any], stable: Slot) -> float:
    """The canary's traffic weight, of what is said about slot b."""
    share = float(_number(answer["slot_b"])) if "slot_b" in answer else float(stable == "b")
    return round(1 - share, _DIGITS) if stable == "b" else share
