"""The alerts of one service, from a server that is known to evaluate that service's rules.

"No alert fires" is what Prometheus says when all is well. It is also what every server says that has no rules: one
that only stores, a second Prometheus, VictoriaMetrics without `-vmalert.proxyURL`, Thanos Query without its ruler.
Believed, such an answer lifts the hold of an alert that fires elsewhere, and lets a person advance against it. So the
rules hold an alert that always fires, `CanaryWatchdog`, with the service's name; a list without it says nothing, and is
the same error as no answer.

The presence of an alert needs no such proof: whoever tells it, lowering traffic needs one key. So the error has with it
what the list shows all the same.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from canary import names
from canary.errors import RemoteError
from canary.prometheus.alert import Alert
from canary.prometheus.client import Sample

# The watchdog is recorded at each evaluation. Prometheus itself takes a sample for current for as long as this, so no
# evaluation interval that works at all is longer.
_RECORDED_WITHIN_SECONDS = 300


class UnevaluatedError(RemoteError):
    """The server answers, but does not evaluate the service's rules.

    Args:
        alerts: those of the wanted ones that it shows all the same; there may be more.
    """

    def __init__(self, service: str, place: str, alerts: Sequence[Alert]) -> None:
        super().__init__(
            f"answers, but does not evaluate the rules of service {service} "
            f"({names.WATCHDOG} is not among its firing alerts)",
            place=place,
            remedy="load what `canary generate` wrote, or let receiver.prometheus name the server that evaluates it",
        )
        self.alerts = alerts


class Asked(Protocol):
    """Of a `Prometheus`, what is needed here."""

    @property
    def place(self) -> str:
        """What it is called in messages."""
        ...

    async def alerts(self) -> list[Alert]:
        """Every alert that fires or is about to."""
        ...

    async def query(self, expression: str) -> list[Sample]:
        """The value of an expression now."""
        ...


class ServiceAlerts:
    """Asks one Prometheus about one service."""

    def __init__(self, prometheus: Asked, service: str) -> None:
        self._prometheus = prometheus
        self._service = service

    async def firing(self) -> list[Alert]:
        """The service's alerts that fire now, as the rules were last evaluated; the watchdog is among them.

        Raises:
            UnevaluatedError: the server does not evaluate this service's rules.
            RemoteError: it does not answer properly.
        """
        return await self._firing(lambda _: True)

    async def about(self, rollout: str) -> list[Alert]:
        """The alerts about one rollout that fire now.

        Raises:
            UnevaluatedError: the server does not evaluate this service's rules.
            RemoteError: it does not answer properly.
        """
        return await self._firing(
            lambda alert: alert.labels.get(names.ROLLOUT) == rollout and alert.action in names.ACTIONS
        )

    async def stopping(self) -> list[Alert]:
        """The alerts that fire now and stop an experiment.

        Raises:
            UnevaluatedError: the server does not evaluate this service's rules.
            RemoteError: it does not answer properly.
        """
        return await self._firing(lambda alert: alert.action == "stop")

    async def _firing(self, wanted: Callable[[Alert], bool]) -> list[Alert]:
        alerts = await self._prometheus.alerts()
        firing = [alert for alert in alerts if alert.firing and alert.labels.get(names.SERVICE) == self._service]
        found = [alert for alert in firing if wanted(alert)]
        if not any(alert.name == names.WATCHDOG for alert in firing):
            raise UnevaluatedError(self._service, self._prometheus.place, found)
        return found

    async def fired(self, rollout: str, seconds: int) -> list[Alert]:
        """The rollback alerts about a rollout that have fired at any time in the last *seconds* of Prometheus' clock.

        The rollout's id in their labels is what tells them from those of another, not their time: no clock of this
        machine is compared with Prometheus'.

        That there are none is believed of a server that records what this service's rules say: it has the watchdog's
        own series, of the last minutes. It need not have it without a gap: where nothing was evaluated nothing fired,
        and what fires now is for `firing` to tell.

        Raises:
            RemoteError: the server does not answer properly, or records none of this service's alerts.
        """
        service = f'{names.SERVICE}="{self._service}"'
        alerts = f'{names.ACTION}="rollback",{service},{names.ROLLOUT}="{rollout}"'
        watchdog = f'alertname="{names.WATCHDOG}",{service}'
        found = await self._prometheus.query(
            f'max_over_time(ALERTS{{alertstate="firing",{alerts}}}[{seconds}s]) or '
            f'max_over_time(ALERTS{{alertstate="firing",{watchdog}}}[{_RECORDED_WITHIN_SECONDS}s])'
        )
        past = [_past(sample) for sample in found]
        if not past:
            raise RemoteError(
                f"has no history of the alerts of service {self._service} (no ALERTS of {names.WATCHDOG} in the last "
                f"{_RECORDED_WITHIN_SECONDS // 60}m)",
                place=self._prometheus.place,
                remedy="let receiver.prometheus name a server that stores what the rules record",
            )
        return [alert for alert in past if alert.name != names.WATCHDOG]


def _past(sample: Sample) -> Alert:
    labels = {name: text for name, text in sample.labels.items() if name not in ("alertstate", "__name__")}
    return Alert(labels, {}, firing=True)
