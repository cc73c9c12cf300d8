"""A second attempt with the same version, right after a rollback: judged by its own requests only, by every rule.

The shop's series know versions and no rollouts, so that what the first attempt did stands in the same series.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from canary import names
from canary.mixin.yamltext import dump
from canary.policy import Policy, load_policy
from rules.generate import alerts_file, rule_groups
from rules.promtool.shop import CANARY, ENDPOINT
from rules.promtool.values import Values, nothing, text
from rules.promtool.world import World
from tests.support.programs.promtool import promtool

_STEP = 5.0
_BEGIN = 70
"""Scrapes of the first attempt: longer than the long window."""
_COUNT = _BEGIN + 80
"""As long again: each window is looked at in its first moment."""

POLICY = """\
service: shop
signals: {warning: {hold_for: 0s}, info: {hold_for: 0s}, against_stable: {hold_for: 0s}}
kpis:
  payment_success_rate: {kind: success, of: payments, tolerance: 5%, floor: 90%, judge: threshold, action: rollback}
"""

_WATCHED = (
    names.HIGH_ERROR_RATE, names.VERY_SLOW_RESPONSE, names.DATABASE_CONNECTION_FAILURES, names.ELEVATED_ERROR_RATE,
    names.SLOW_RESPONSE, names.ERROR_RATE_DEGRADED, names.RESPONSE_TIME_DEGRADED, names.OUT_OF_RANGE,
    names.PAYMENT_SUCCESS_LOW, names.PAYMENT_SUCCESS_DEGRADED,
)  # fmt: skip


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """The strategy's windows, with warnings that wait for nothing, and a KPI that is judged within a window."""
    path = tmp_path / "canary.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return load_policy(path)


def growing(*rates: tuple[int, float]) -> Values:
    """A counter that grows for so many scrapes by so much at each."""
    values: Values = []
    total = 0.0
    for scrapes, rate in rates:
        for _ in range(scrapes):
            values.append(total)
            total += rate
    return values


def attempts(policy: Policy, first: float, second: float) -> World:
    """Of a hundred requests between two scrapes so many fail and are slow: in the first attempt, and in the second."""
    world = World(policy, step=_STEP, begin=_BEGIN, count=_COUNT)
    age: Values = [*nothing(_BEGIN), *(index * _STEP for index in range(_COUNT - _BEGIN))]
    world.receiver(names.ROLLOUT_ELAPSED_SECONDS, age)
    rates = ((_BEGIN, first), (_COUNT - _BEGIN, second))
    bad, good = growing(*rates), growing(*((scrapes, 100 - rate) for scrapes, rate in rates))
    shop = {policy.signals.version_label: CANARY, policy.signals.endpoint_label: ENDPOINT}
    for status, values in (("503", bad), ("200", good)):
        world.put(policy.signals.requests, values, **shop, status=status)
    buckets = f"{policy.signals.duration}_bucket"
    world.drop(buckets, **shop)
    every = growing((_COUNT, 100))
    for le, values in (("0.1", good), ("15", good), ("20", every), ("+Inf", every)):
        world.put(buckets, values, **shop, le=le)
    world.put(policy.signals.connection_errors, growing(*((n, rate / 10) for n, rate in rates)), version=CANARY)
    for outcome, values in (("succeeded", good), ("failed", bad)):
        world.exporter(names.event_total("payments"), values, version=CANARY, outcome=outcome)
    return world


def seen(policy: Policy, world: World, alerts: tuple[str, ...], asked: Callable[[float], bool], tmp_path: Path) -> str:
    """What promtool says to: none of these alerts is there at any moment, but those that are asked for."""
    (tmp_path / alerts_file(policy.service)).write_text(dump(rule_groups(policy)["alerts"]), encoding="utf-8")
    lines = [
        f"rule_files: [{alerts_file(policy.service)}]",
        "evaluation_interval: 5s",
        "tests:",
        "  - interval: 5s",
        "    input_series:",
    ]
    for series, values in world.items():
        lines += [f"      - series: '{series}'", f"        values: {text(values)}"]
    lines.append("    promql_expr_test:")
    selector = f'count(ALERTS{{alertname=~"{"|".join(alerts)}",alertstate=~"pending|firing"}}) > bool 0 or vector(0)'
    for index in range(_BEGIN, _COUNT - 1):
        lines += [
            f"      - expr: '{selector}'",
            f"        eval_time: {index * 5}s",
            f"        exp_samples: [{{value: {int(asked((index - _BEGIN) * _STEP))}}}]",
        ]
    path = tmp_path / "second.test.yml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = promtool("test", "rules", path)
    return outcome.stdout + outcome.stderr


def test_a_healthy_second_attempt_is_never_blamed_for_the_first(policy: Policy, tmp_path: Path) -> None:
    """Nine of ten requests failed and were slow before; from the first scrape on no rule is even pending."""
    said = seen(policy, attempts(policy, 90, 0), _WATCHED, lambda _: False, tmp_path)

    assert "SUCCESS" in said, said[-3000:]


@pytest.mark.parametrize("alert", [names.HIGH_ERROR_RATE, names.VERY_SLOW_RESPONSE, names.DATABASE_CONNECTION_FAILURES])
def test_a_second_attempt_that_fails_is_seen_from_the_third_scrape_on(
    policy: Policy, alert: str, tmp_path: Path
) -> None:
    """However healthy the version was before: the shortest window is its own by then."""
    said = seen(policy, attempts(policy, 0, 90), (alert,), lambda age: age >= 3 * _STEP, tmp_path)

    assert "SUCCESS" in said, said[-3000:]
