"""Any other router, by the user's own programs: one that sets the weight and one that reads it back.

There are two programs, because a program that sets cannot prove that it did: only what `read` prints is believed.
`set` gets everything as JSON on its standard input, nothing on its command line: what is not an argument needs no
quoting and cannot be taken for an option. `read` need only know the weight; a balancer that has never heard of rollouts
or testers is believed about those.
"""

import dataclasses
import json
import math
from collections.abc import Mapping

from canary.errors import RouterError
from canary.finding import Finding, failed
from canary.policy.routers import CommandRouter
from canary.process.program import run
from canary.routers.base import FINEST_RATIO, Observation, Reading, Split
from canary.routers.bucket import HAPROXY_BUCKETS, haproxy_bucket
from canary.units import format_ratio

# Enough of a wrong answer to recognize it by.
_SHOWN_CHARACTERS = 200


class ProgramRouter:
    """Hands the wanted split as JSON to one program, and believes only what the other one reads.

    Args:
        section: The policy's `router` section of kind `command`.
    """

    finest_ratio = FINEST_RATIO

    def __init__(self, section: CommandRouter) -> None:
        self.name = section.name
        self._section = section
        self._alone = False

    async def set_weight(self, split: Split) -> None:
        """Run the program `set`, then read back.

        Raises:
            RouterError: the program failed, or the weight that is read back is another one.
        """
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

    async def unhealthy(self) -> Mapping[str, str]:
        """Nothing: this router checks no servers."""
        return {}

    async def sessions(self, lasting_seconds: float) -> int | None:  # noqa: ARG002  # nothing to hold it against
        """Unknown: the program is not asked for them."""
        return None

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether this user is among the chosen, when the program hashes as HAProxy does."""
        return haproxy_bucket(user_id, split.salt) < round(split.weight_ratio * HAPROXY_BUCKETS)

    def snippet(self) -> Mapping[str, str]:
        """Nothing: the program's router has its own configuration."""
        return {}

    def _wanted(self, split: Split) -> Mapping[str, object]:
        let_in = split.testers_alone or (split.testers and split.weight_ratio > 0)
        return {
            "weight": split.weight_ratio,
            "rollout": split.rollout,
            "salt": split.salt,
            "testers": dataclasses.asdict(self._section.testers) if let_in else None,
        }

    def _reading(self, output: str, fault: str) -> Reading:
        if fault:
            return Reading(self.name, None, error=fault)
        try:
            answer = json.loads(output)
            weight_ratio = float(answer["weight"])
            if not (math.isfinite(weight_ratio) and 0 <= weight_ratio <= 1):
                raise ValueError  # noqa: TRY301  # one sentence explains every wrong answer
            salt = None if answer.get("salt") is None else int(answer["salt"])
            testers = None if answer.get("testers") is None else bool(answer["testers"])
        except (ValueError, TypeError, KeyError, AttributeError):
            return Reading(
                self.name,
                None,
                error=f'expected {{"weight": RATIO}} with a ratio from 0 to 1, found {output[:_SHOWN_CHARACTERS]!r}',
            )
        # Where the program does not say, it is believed to have done what it was told.
        alone = weight_ratio == 0 and (self._alone if testers is None else testers)
        return Reading(self.name, weight_ratio, salt=salt, testers=testers, testers_alone=alone)
