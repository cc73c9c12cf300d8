"""The second opinion: what others' usual settings would have decided on the same numbers, and when.

Three opinions that people know: the canary strategy's own rules taken literally, Flagger's usual analysis, and Argo
Rollouts' usual one. Each is looked at once a minute (Argo every five) on what Prometheus holds of the rollout. An
opinion is no proof: none of the three knows how sure it is, which is why it can be early, late or wrong.

What is taken as usual: Flagger's `interval: 1m`, `threshold: 5`, `request-success-rate` at least 99 %,
`request-duration` at most 500 ms (their p99); Argo's `interval: 5m`, `successCondition: result[0] >= 0.95`,
`failureLimit: 3`.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from canary import names
from canary.policy import Policy
from canary.report.review.asking import Asking, Points, matchers
from canary.rollout.state import Rollout

_MINUTE = 60
_ARGO_SECONDS = 300.0
_ARGO_FAILURES = 3
_ARGO_SUCCESS = 0.95
_FLAGGER_FAILURES = 5
_FLAGGER_SUCCESS = 0.99
_FLAGGER_SECONDS = 0.5
_LITERAL_ERRORS = 0.1
_LITERAL_SECONDS = 10.0
_LITERAL_CONVERSION = -0.1
_LITERAL_PAYMENTS = -0.05

_MOST_POINTS = 2000
"""A rollout of more than a day and a half is looked at less often than once a minute."""


@dataclass(frozen=True)
class Opinion:
    """What somebody else would have done.

    Attributes:
        at: when it would have rolled back; None when it would not have.
        why: what broke which limit, or what it saw instead.
    """

    who: str
    at: datetime | None
    why: str


@dataclass(frozen=True)
class Curves:
    """What the opinions look at: Unix time and value; empty where there is nothing."""

    errors: Points = ()
    p95_seconds: Points = ()
    p99_seconds: Points = ()
    conversion: Points = ()
    payments: Points = ()


async def opinions(policy: Policy, rollout: Rollout, asking: Asking) -> list[Opinion]:
    """All three; none where Prometheus holds nothing that they look at.

    Raises:
        RemoteError: Prometheus does not answer.
    """
    return judged(await _curves(policy, rollout, asking))


def judged(curves: Curves) -> list[Opinion]:
    """What each would have said of these curves."""
    if not any((curves.errors, curves.conversion, curves.payments)):
        return []
    return [_literal(curves), _flagger(curves), _argo(curves)]


def _literal(curves: Curves) -> Opinion:
    """The strategy's triggers, and its `checkBusinessMetrics`, at the first look that breaks one."""
    broken = [
        _first(curves.errors, lambda value: value > _LITERAL_ERRORS, "error rate {:.1%}, limit 10%"),
        _first(curves.p95_seconds, lambda value: value > _LITERAL_SECONDS, "p95 {:.1f}s, limit 10s"),
        _first(curves.conversion, lambda value: value < _LITERAL_CONVERSION, "conversion {:+.1%}, limit -10%"),
        _first(curves.payments, lambda value: value < _LITERAL_PAYMENTS, "payment success {:+.1%}, limit -5%"),
    ]
    return _opinion("The strategy's rules, literally", broken)


def _flagger(curves: Curves) -> Opinion:
    """Failed checks are counted over the whole analysis, and five end it."""
    slow = {at for at, value in curves.p99_seconds if value > _FLAGGER_SECONDS}
    failed = {at for at, value in curves.errors if 1 - value < _FLAGGER_SUCCESS}
    checks = sorted(failed | slow)
    why = f"{_FLAGGER_FAILURES} failed checks (success below 99% in {len(failed)}, p99 above 500ms in {len(slow)})"
    nth = checks[_FLAGGER_FAILURES - 1 : _FLAGGER_FAILURES]
    return _opinion("Flagger, usual settings", [(at, why) for at in nth])


def _argo(curves: Curves) -> Opinion:
    """A measurement every five minutes; the fourth that fails is one too many."""
    failed, due = [], None
    for at, value in curves.errors:
        due = at + _ARGO_SECONDS if due is None else due
        if at >= due:
            due += _ARGO_SECONDS
            if 1 - value < _ARGO_SUCCESS:
                failed.append(at)
    why = f"more than {_ARGO_FAILURES} measurements with less than 95% success"
    return _opinion("Argo Rollouts, usual settings", [(at, why) for at in failed[_ARGO_FAILURES : _ARGO_FAILURES + 1]])


_Broken = tuple[float, str]


def _first(points: Points, broken: Callable[[float], bool], words: str) -> _Broken | None:
    return next(((at, words.format(value)) for at, value in points if broken(value)), None)


def _opinion(who: str, found: Iterable[_Broken | None]) -> Opinion:
    broken = [one for one in found if one is not None]
    if not broken:
        return Opinion(who, None, "no limit of theirs was broken")
    at, why = min(broken)
    return Opinion(who, datetime.fromtimestamp(at, UTC), why)


async def _curves(policy: Policy, rollout: Rollout, asking: Asking) -> Curves:
    step = max(float(_MINUTE), (asking.until - asking.since).total_seconds() / _MOST_POINTS)
    window = f"{round(step)}s"
    told = f'{names.SERVICE}="{policy.service}",{names.ROLLOUT}="{rollout.id}"'

    def change(kpi: str) -> str:
        def value(role: str) -> str:
            return f'max({names.KPI_VALUE}{{{told},{names.KPI}="{kpi}",{names.ROLE}="{role}"}})'

        return f"({value('canary')} - {value('stable')}) / {value('stable')}"

    expressions = [change("conversion_rate"), change("payment_success_rate"), *_technical(policy, rollout, window)]
    conversion, payments, *others = await asyncio.gather(*(asking.curve(one, step) for one in expressions))
    errors, p95, p99 = others or ((), (), ())
    return Curves(errors=errors, p95_seconds=p95, p99_seconds=p99, conversion=conversion, payments=payments)


def _technical(policy: Policy, rollout: Rollout, window: str) -> list[str]:
    """The canary's error ratio, p95 and p99; nothing where the shop has no series by version."""
    signals = policy.signals
    if not policy.technical or signals.preset == "haproxy":
        return []
    of_canary = f'{signals.version_label}="{rollout.canary}"'

    def counted(metric: str, more: str = "", by: str = "") -> str:
        selected = matchers(policy.shop_selector, of_canary, more)
        return f"sum{by} (increase({metric}{selected}[{window}]))"

    requests = counted(signals.requests)
    failed = counted(signals.requests, f'{signals.status_label}=~"5.."')
    native = signals.histograms == "native"
    duration = counted(signals.duration) if native else counted(f"{signals.duration}_bucket", by=" by (le)")
    return [
        f"({failed} or 0 * {requests}) / {requests}",
        f"histogram_quantile(0.95, {duration})",
        f"histogram_quantile(0.99, {duration})",
    ]
