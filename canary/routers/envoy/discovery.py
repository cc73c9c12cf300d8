"""Drives Envoys that ask for their runtime values: Envoy's runtime discovery (RTDS), over REST.

No administration port has to be open, and no connection leads from the receiver to an Envoy. Each Envoy keeps one
question open, in which it says what it has taken over; the answer comes as soon as something else is wanted, or after
some seconds says that nothing is. So a switch is in force at once, and is confirmed by the next question. (gRPC would
keep one stream open instead, for a library and a second kind of server; the questions cost one request in two seconds.)

**The version is the values.** What Envoy has accepted it names by the version that came with it. Here that version is
the values themselves, written out. So what is in force is read from an Envoy's own words, also by a receiver that was
restarted and has told it nothing yet, and there is no number of which somebody must remember what it stood for.

An Envoy that is restarted names no version, and is answered at once; until then it has everybody on stable, as its
configuration says. Nobody can lower it by hand, for it takes its values from here alone: an operator's `hold` and
`rollback` are the way.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from canary.errors import RouterError
from canary.finding import Finding, failed, skipped
from canary.routers.asking import Leads, Question, Wanted
from canary.routers.base import FINEST_RATIO, Observation, Reading, Split, TellsNothingOfServers
from canary.routers.envoy import config
from canary.routers.envoy.ring import Arc
from canary.routers.envoy.section import EnvoyRouter
from canary.routers.envoy.values import reading_of, values_of
from canary.units import format_ratio

_TYPE: Final = "type.googleapis.com/envoy.service.runtime.v3.Runtime"

# An Envoy asks again within two seconds (`asking`), or, when other receivers refuse it in between, some moments later.
_AWAY_SECONDS: Final = 10.0

# An Envoy that does not take over what it was told asks at once again, and would be told some twenty times a second.
_REPEATED_SECONDS: Final = 0.5

# One that lost its connection asks while its last question is still open, once. Two under one name do it all the time.
_OVERLAPS: Final = 3

# Seven values of up to ten digits have some 150 characters; what is longer is nobody's version of ours.
_MOST_CHARACTERS: Final = 500

_NOBODY: Final = Split("none", 0, testers=False)


@dataclass
class _Instance:
    """What is known of one Envoy."""

    version: str = ""
    asked_at: float = float("-inf")
    told: str = ""
    told_at: float = float("-inf")
    open_questions: int = 0
    overlaps: deque[float] = field(default_factory=lambda: deque([float("-inf")] * _OVERLAPS, maxlen=_OVERLAPS))


@dataclass(frozen=True)
class _Values:
    """A split as Envoy has it, and the version that it is told under."""

    split: Split
    values: Mapping[str, int] = field(init=False)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        values = values_of(self.split)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "version", urlencode(values))


class EnvoyDiscoveryRouter(TellsNothingOfServers):
    """Answers one or several Envoys that have the same configuration.

    Args:
        section: The policy's `router` section of kind `envoy`, with `instances`.
        monotonic: seconds that never go backwards.
    """

    finest_ratio = FINEST_RATIO

    def __init__(self, section: EnvoyRouter, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = section.name
        self._section = section
        self._monotonic = monotonic
        self._instances = {name: _Instance() for name in section.instances}
        self._wanted: Wanted[_Values] = Wanted(section.name, monotonic)
        # Of what the Envoys have, for who waits for them.
        self._heard = asyncio.Event()
        self._open = False

    def opened(self) -> None:
        """Questions can reach it."""
        self._open = True

    async def answer(self, question: Question, leads: Leads) -> Mapping[str, Any] | None:
        """The values, as soon as the Envoy has others; None when it had the right ones for some seconds.

        Raises:
            RefusedError: this receiver stands by.
            RouterError: the policy knows no such instance.
        """
        instance = self._instances.get(question.instance)
        if instance is None:
            raise RouterError(
                f"{question.instance[:64]!a} is none of its instances",
                place=f"router {self.name}",
                remedy=f"start Envoy with --service-node and one of: {', '.join(self._instances)}",
            )
        self._note(instance, question)
        instance.open_questions += 1
        try:
            wanted = await self._wanted.answer(partial(_due_in, instance, question), leads)
            if wanted is None:
                return None
            instance.told, instance.told_at = wanted.version, self._monotonic()
            return self._document(wanted)
        finally:
            instance.open_questions -= 1

    async def set_weight(self, split: Split) -> None:
        """Tell every Envoy, and wait until all of them say that they have it.

        Raises:
            RouterError: an Envoy does not have the split in force in time.
        """
        try:
            async with asyncio.timeout(self._section.timeout):
                with self._wanted.told(_Values(split), split):
                    while not self._observation().agrees(split):
                        await self._heard.wait()
        except TimeoutError as error:
            wanted, found = format_ratio(split.weight_ratio), self._observation().detail
            raise RouterError(
                f"expected {wanted}, found {found}",
                place=f"router {self.name}",
                remedy="see that each Envoy runs with the generated configuration and reaches the receiver",
            ) from error

    async def read(self) -> Observation:
        """What each Envoy says that it has in force."""
        return self._observation()

    async def check(self) -> list[Finding]:
        """An Envoy that does not ask, or whose values are no rollout's."""
        place = f"router {self.name}"
        if not self._open:
            what = "the Envoys ask the receiver, so that only it knows which of them follow"
            return [skipped(place, what, "see `canary status`")]
        remedy = "start it with the generated configuration, and see its log for why it does not reach the receiver"
        return [
            failed(f"{place}: {one.instance}", one.error, remedy) for one in self._observation().readings if one.error
        ]

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this user, who is no tester, to the canary."""
        return Arc.of(split).holds(user_id)

    def snippet(self) -> Mapping[str, str]:
        """One configuration per Envoy, since each has its own name; they begin with everybody on stable."""
        names = self._section.instances
        return {
            f"{self.name}.yaml" if len(names) == 1 else f"{self.name}-{name}.yaml": config.render(self._section, name)
            for name in names
        }

    def _note(self, instance: _Instance, question: Question) -> None:
        if instance.open_questions:
            instance.overlaps.append(self._monotonic())
        instance.version, instance.asked_at = question.in_force[:_MOST_CHARACTERS], self._monotonic()
        heard, self._heard = self._heard, asyncio.Event()
        heard.set()

    def _document(self, wanted: _Values) -> Mapping[str, Any]:
        resource = {"@type": _TYPE, "name": self.name, "layer": dict(wanted.values)}
        return {"version_info": wanted.version, "type_url": _TYPE, "resources": [resource]}

    def _observation(self) -> Observation:
        return Observation(tuple(self._reading(name, instance) for name, instance in self._instances.items()))

    def _reading(self, name: str, instance: _Instance) -> Reading:
        silent_seconds = self._monotonic() - instance.asked_at
        if silent_seconds > _AWAY_SECONDS:
            ever = instance.asked_at != float("-inf")
            error = f"has not asked for {silent_seconds:.0f}s" if ever else "has not asked yet"
            return Reading(name, None, error=error)
        if self._monotonic() - instance.overlaps[0] < _AWAY_SECONDS:
            return Reading(name, None, error="several Envoys ask under this name: give each its own")
        # A process that has just begun has no version, and everybody on stable; what lacks a value is none of ours.
        values = dict(parse_qsl(instance.version))
        if instance.version and values.keys() != values_of(_NOBODY).keys():
            return Reading(name, None, error="has values in force that are no receiver's")
        try:
            return reading_of(name, values)
        except ValueError as error:
            return Reading(name, None, error=str(error))


def _due_in(instance: _Instance, question: Question, wanted: _Values, now: float) -> float | None:
    if wanted.version == question.in_force:
        return None
    return instance.told_at + _REPEATED_SECONDS - now if instance.told == wanted.version else 0
