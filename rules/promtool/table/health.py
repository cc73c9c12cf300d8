"""Rows for the guard's own health: exporter, receiver, drill, watchdog, and the end of a rollback."""

from collections.abc import Iterator
from functools import partial

from canary import names
from canary.policy import Policy
from rules.promtool.row import NEAR, Change, Row, about, after, nothing, receiver
from rules.promtool.world import ROLLOUT, World

# How long people read of a rollback; see rules/lib/rollout.libsonnet.
_DAY_SECONDS = 86400


def rows(policy: Policy) -> Iterator[Row]:
    """What each process says of itself, and what it means when it says nothing."""
    own, limit, age = partial(Row, dynamic={}, state=""), policy.rollback.converge, names.DRILL_AGE_SECONDS
    scene, alert, dynamic = "a rollback that does not arrive", names.ROLLBACK_NOT_CONVERGED, {names.ROLLOUT: ROLLOUT}
    far, metric = limit * (1 + NEAR), names.CONVERGING_SECONDS
    yield about(scene, alert, receiver, metric, far, limit, dynamic=dynamic, state="rolling_back")
    scene, day, metric = "after a rollback", _DAY_SECONDS, names.ROLLOUT_SINCE_END_SECONDS
    more = {"state": "rolled_back", "inputs": (names.ROLLOUT_INFO,)}
    yield about(scene, names.ROLLED_BACK, receiver, metric, day, day * (1 + NEAR), **more)
    silenced, over = partial(_suppressed, hold=0), after(_suppressed(1, 1), lambda world: world.state("rolled_back"))
    yield Row(
        "what is silenced",
        names.SUPPRESSED,
        _suppressed(0, 1),
        silenced(0),
        inputs=(names.ALERTS_SUPPRESSED,),
        also={"a rollback": silenced(2)},
        quiet={"after a rollback": over},
    )
    for alert, metric in ((names.EXPORTER_DOWN, names.DATABASE_UP), (names.RECEIVER_DOWN, names.ROLLOUT_STATE)):
        yield own(f"{metric} is missing", alert, _gone(metric), nothing)
    if (oldest := policy.receiver.drill_max_age) is not None:
        never = {"no drill ever": _gone(age)}
        yield own("drills", names.DRILL_OVERDUE, _overdue(oldest * (1 + NEAR)), receiver(age, oldest), also=never)
    dynamic, inputs = _LABELS | {names.ROLLOUT: "drill-d-1"}, (names.DRILL_REQUESTED,)
    yield Row("a drill", names.DRILL, _drill(1), _drill(0), dynamic=dynamic, state="idle", inputs=inputs)
    yield Row("heartbeat", names.WATCHDOG, nothing, dynamic={}, state="always")


# What a real rollback alert would carry; the rule gives it a rollout that there is not.
_LABELS = {
    names.DRILL_LABEL: "d-1",
    names.STABLE: "v1.0",
    names.CANARY: "v2.0",
    names.VERSION: "v2.0",
}


def _suppressed(rollback: int, hold: int) -> Change:
    """So many alerts that a silence keeps from acting, by action."""

    def change(world: World) -> None:
        for action, count in (("rollback", rollback), ("hold", hold)):
            world.receiver(names.ALERTS_SUPPRESSED, count, action=action)

    return change


def _overdue(seconds: float) -> Change:
    """Fresh before `begin`, and so many seconds old from then on."""
    return lambda world: world.receiver(names.DRILL_AGE_SECONDS, world.from_begin(0, seconds))


def _drill(value: float) -> Change:
    """Asked for from `begin` on."""
    return lambda world: world.receiver(names.DRILL_REQUESTED, world.from_begin(None, value), **_LABELS)


def _gone(metric: str) -> Change:
    """Scraped before `begin`, and gone from then on."""
    return lambda world: world.end(metric)
