"""An Alertmanager in memory: groups, repetition, silences, inhibition, and the API that is asked."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from canary.testing.clock import EPOCH
from canary.testing.http import Answer, Parameters
from canary.timing.times import to_text

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Route:
    """Where alerts go, and how often.

    Attributes:
        matches: which alerts take this route.
        group_by: labels by which they are told together.
        interval_seconds: how soon a change within a group is told.
        repeat_seconds: how soon what has not changed is told again.
    """

    name: str
    matches: Callable[[Labels], bool]
    group_by: Sequence[str]
    interval_seconds: float
    repeat_seconds: float


@dataclass(frozen=True)
class Inhibition:
    """While an alert that fits *source* fires, those that fit *target* with the same labels *equal* are not told."""

    source: Labels
    target: Labels
    equal: Sequence[str]


@dataclass
class _Known:
    labels: Labels
    identity: tuple[tuple[str, str], ...]
    until: float
    since: float


@dataclass
class _Group:
    """What a group was last told about."""

    told_at: float = float("-inf")
    told: frozenset[tuple[tuple[str, str], ...]] = frozenset()
    flushed_at: float = float("-inf")


@dataclass
class _Silence:
    matchers: Labels
    until: float


@dataclass
class MemoryAlertmanager:
    """Told of alerts, asked for notifications that are due.

    Attributes:
        time: gives its own clock, in seconds.
        resolve_seconds: how long an alert fires without being told again.
    """

    time: Callable[[], float]
    routes: Sequence[Route]
    inhibitions: Sequence[Inhibition] = ()
    resolve_seconds: float = 60.0
    _alerts: dict[tuple[tuple[str, str], ...], _Known] = field(default_factory=dict)
    _groups: dict[tuple[str, tuple[str, ...]], _Group] = field(default_factory=dict)
    _silences: list[_Silence] = field(default_factory=list)

    def restart(self) -> None:
        """Forget alerts and groups; silences and what was told are kept on disk, but only since the last snapshot."""
        self._alerts.clear()
        self._groups.clear()

    def take(self, firing: Iterable[Labels]) -> None:
        """Prometheus tells what fires; what it no longer tells of is over."""
        now, told = self.time(), set()
        for labels in firing:
            identity = tuple(sorted(labels.items()))
            told.add(identity)
            known = self._alerts.setdefault(identity, _Known(labels, identity, 0.0, now))
            known.until = now + self.resolve_seconds
        for identity, known in self._alerts.items():
            if identity not in told:
                known.until = min(known.until, now)

    def silence(self, matchers: Labels, seconds: float) -> None:
        """Silence what has these labels."""
        self._silences.append(_Silence(matchers, self.time() + seconds))

    def suppressed(self) -> list[Labels]:
        """The labels of each firing alert that is silenced or inhibited."""
        firing = self._firing()
        return [labels for labels in firing if self._is_silent(labels) or self._inhibits(labels, firing)]

    def _firing(self) -> list[Labels]:
        return [known.labels for known in self._alerts.values() if known.until > self.time()]

    def due(self) -> list[list[tuple[Labels, bool, float]]]:
        """The notifications that are due: alerts with whether they fire, and since when. They count as told."""
        now, notifications = self.time(), []
        if not self._alerts:
            return []
        suppressed = [tuple(sorted(labels.items())) for labels in self.suppressed()]
        heard = [known for identity, known in self._alerts.items() if identity not in suppressed]
        for route in self.routes:
            groups: dict[tuple[str, ...], list[_Known]] = {}
            for known in heard:
                if route.matches(known.labels):
                    groups.setdefault(tuple(known.labels.get(name, "") for name in route.group_by), []).append(known)
            for values, members in groups.items():
                told = self._flush(route, self._groups.setdefault((route.name, values), _Group()), members, now)
                if told:
                    notifications.append(told)
        for identity in [one for one, known in self._alerts.items() if known.until <= now - self.resolve_seconds]:
            del self._alerts[identity]
        return notifications

    def _flush(
        self, route: Route, group: _Group, members: list[_Known], now: float
    ) -> list[tuple[Labels, bool, float]]:
        if now - group.flushed_at < route.interval_seconds:
            return []
        firing = frozenset(known.identity for known in members if known.until > now)
        group.flushed_at = now
        grown, ended = firing - group.told, group.told - firing
        again = bool(firing) and now - group.told_at >= route.repeat_seconds
        if not (grown or ended or again):
            return []
        told = [
            (known.labels, known.until > now, known.since)
            for known in members
            if known.until > now or known.identity in group.told
        ]
        group.told, group.told_at = firing, now
        return told

    def _is_silent(self, labels: Labels) -> bool:
        now = self.time()
        return any(silence.until > now and silence.matchers.items() <= labels.items() for silence in self._silences)

    def _inhibits(self, labels: Labels, firing: Sequence[Labels]) -> Labels | None:
        """The first alert that inhibits one with these labels."""
        for rule in self.inhibitions:
            for source in firing:
                if (
                    rule.target.items() <= labels.items()
                    and rule.source.items() <= source.items()
                    and all(source.get(name) == labels.get(name) for name in rule.equal)
                ):
                    return source
        return None

    async def answer(self, path: str, _parameters: Parameters) -> Answer:
        """The API, as far as the services ask it."""
        match path.removeprefix("/api/v2/"):
            case "alerts":
                firing = self._firing()
                return Answer(body=[self._status(labels, self._inhibits(labels, firing)) for labels in firing])
            case "silences":
                return Answer(body=[self._shown(silence) for silence in self._silences])
            case _:
                return Answer(404)

    def _status(self, labels: Labels, inhibited_by: Labels | None) -> dict[str, object]:
        suppressed = inhibited_by is not None or self._is_silent(labels)
        status = {
            "state": "suppressed" if suppressed else "active",
            "inhibitedBy": [] if inhibited_by is None else [_fingerprint(inhibited_by)],
        }
        return {"labels": dict(labels), "fingerprint": _fingerprint(labels), "status": status}

    def _shown(self, silence: _Silence) -> dict[str, object]:
        matchers = [
            {"name": name, "value": value, "isRegex": False, "isEqual": True}
            for name, value in silence.matchers.items()
        ]
        state = "active" if silence.until > self.time() else "expired"
        ends_at = to_text(EPOCH + timedelta(seconds=silence.until))
        return {"matchers": matchers, "endsAt": ends_at, "status": {"state": state}}


def _fingerprint(labels: Labels) -> str:
    return hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:16]
