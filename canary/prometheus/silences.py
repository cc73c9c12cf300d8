"""What keeps an alert from acting: a silence that says so in so many words, or an alert that has lowered already.

A silence keeps *people* from being paged, and whoever sets one thinks of people: `severity="critical"` for the night,
`service="shop"` for a deployment, *Silence* next to one alert, which fills in every label it has. None of them means
"do not protect the customers from this canary". Once, all of them did, and nobody saw it. So a silence reaches the
receiver only when it names `action` itself, by equality, and says besides at most which service, rollout, phase or KPI
it is about; nobody writes that by accident. Another team's inhibition and a mute time interval never reach it.

An inhibition does when its source is an alert of this service that lowers the canary's traffic weight, and so acts
itself: a comparison with no data behind it (`CanaryBlind`) holds, and keeps the verdicts back that rest on it. A source
that is silenced inhibits in Alertmanager all the same, and so does one that runs dry or is inhibited itself. What does
not act keeps nothing back: else whoever silenced the hold would have silenced the rollback with it, and two alerts that
inhibit each other would both be kept back for ever.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from canary import names
from canary.prometheus.alert import Alert

LOWERING = ("rollback", "hold")
"""What an alert may ask for that gives the canary fewer customers, or no more; the first is the stronger."""

# What a silence may name besides the action, by whichever matcher: the part of a release that it is about.
_SCOPE = frozenset({names.SERVICE, names.ROLLOUT, names.PHASE, names.KPI})


@dataclass(frozen=True)
class Matcher:
    """One condition of a silence on one label; a label that an alert lacks is empty.

    Raises:
        re.error: the value is no expression that Python reads; it is Go's.
    """

    name: str
    value: str
    regex: bool = False
    equal: bool = True
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile it."""
        pattern = re.compile(self.value if self.regex else re.escape(self.value), re.DOTALL)
        object.__setattr__(self, "_pattern", pattern)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert's labels fulfil it."""
        return (self._pattern.fullmatch(labels.get(self.name, "")) is not None) == self.equal

    @property
    def names_one(self) -> bool:
        """Whether it names one value."""
        return self.equal and not self.regex and bool(self.value)

    def __str__(self) -> str:
        operator = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
        return f'{self.name}{operator[self.equal, self.regex]}"{self.value}"'


@dataclass(frozen=True)
class Silence:
    """A silence that is, or was, in force.

    Attributes:
        active: whether it is in force now, in Alertmanager's own word.
        author: who set it, as they say themselves.
        comment: why.
    """

    matchers: tuple[Matcher, ...]
    ends_at: datetime
    active: bool = False
    id: str = ""
    author: str = ""
    comment: str = ""

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether Alertmanager tells nobody of an alert with these labels."""
        return all(matcher.matches(labels) for matcher in self.matchers)

    @property
    def action(self) -> str:
        """What it forbids the receiver to do on its own; empty when it is about people only."""
        named = [matcher for matcher in self.matchers if matcher.name == names.ACTION]
        others = {matcher.name for matcher in self.matchers} - {names.ACTION}
        return named[0].value if len(named) == 1 and named[0].names_one and others <= _SCOPE else ""

    def forbids(self, alert: Alert) -> bool:
        """Whether an alert may not do what it asks for."""
        return bool(self.action) and self.covers(alert.labels)

    def concerns(self, service: str, rollout: str | None = None) -> bool:
        """Whether it may cover alerts of a service, and of one rollout if that is known."""
        known = {names.SERVICE: service} | ({names.ROLLOUT: rollout} if rollout is not None else {})
        return all(matcher.matches(known) for matcher in self.matchers if matcher.name in known)

    @property
    def of_one_rollout(self) -> bool:
        """Whether it is about one rollout, and so not about the next."""
        return any(matcher.name == names.ROLLOUT and matcher.names_one for matcher in self.matchers)

    def __str__(self) -> str:
        """Who set it until when, and why."""
        what = ",".join(map(str, self.matchers))
        comment = f" ({self.comment})" if self.comment else ""
        return f"silence {{{what}}} by {self.author or 'nobody known'} until {self.ends_at:%Y-%m-%d %H:%M} UTC{comment}"


@dataclass(frozen=True)
class Inhibited:
    """An alert that another one inhibits.

    Attributes:
        labels: of the alert.
        source: the labels of the other one.
    """

    labels: Mapping[str, str]
    source: Mapping[str, str]


@dataclass(frozen=True)
class Suppression:
    """What keeps alerts of a service from acting, as far as it is known; what is not known keeps nothing.

    Attributes:
        silences: those that are in force, or were lately.
        inhibited: the alerts that one of the same rollout inhibits, which asks for less traffic too.
    """

    silences: Sequence[Silence] = ()
    inhibited: Sequence[Inhibited] = ()

    @property
    def active(self) -> list[Silence]:
        """The silences that are in force."""
        return [silence for silence in self.silences if silence.active]

    def silence(self, alert: Alert) -> Silence | None:
        """The silence in force that forbids what an alert asks for."""
        return next((silence for silence in self.active if silence.forbids(alert)), None)

    def keeps_back(self, alert: Alert) -> bool:
        """Whether the alert may not act now. Alertmanager's labels may be more: Prometheus adds external ones."""
        return self.inhibitor(alert) is not None or self.silence(alert) is not None

    def inhibitor(self, alert: Alert) -> Mapping[str, str] | None:
        """The labels of an alert that acts in its place; None when there is none."""
        sources = (one.source for one in self.inhibited if alert.labels.items() <= one.labels.items())
        return next((source for source in sources if self._acts(source)), None)

    def _acts(self, labels: Mapping[str, str]) -> bool:
        dry = labels.get(names.DRY_RUN) == "true"
        inhibited = any(one.labels == labels for one in self.inhibited)
        return not (dry or inhibited or any(silence.action and silence.covers(labels) for silence in self.active))

    def silent_until(self, alert: Alert) -> datetime | None:
        """When the last silence ended that forbade what an alert of the past asked for; None when there was none."""
        ends = [silence.ends_at for silence in self.silences if not silence.active and silence.forbids(alert)]
        return max(ends, default=None)
