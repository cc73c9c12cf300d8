"""Recipes for the guard's own health."""

from collections.abc import Iterator

from canary import names
from canary.policy import Policy
from rules.promtool.recipe import Change, Recipe, after
from rules.promtool.technical import NEAR
from rules.promtool.values import STALE, constant, nothing
from rules.promtool.world import ROLLOUT, World

_DAY_SECONDS = 86400


def recipes(policy: Policy) -> Iterator[Recipe]:
    """Recipes for exporter, receiver, drill, watchdog, and the end of a rollback."""
    converge = policy.rollback.converge
    yield Recipe(
        scene="a rollback that does not arrive",
        alert=names.ROLLBACK_NOT_CONVERGED,
        dynamic={names.ROLLOUT: ROLLOUT},
        state="rolling_back",
        beyond=_for(names.CONVERGING_SECONDS, converge * (1 + NEAR)),
        limit=_for(names.CONVERGING_SECONDS, converge),
        inputs=(names.CONVERGING_SECONDS,),
    )
    yield Recipe(
        scene="after a rollback",
        alert=names.ROLLED_BACK,
        state="rolled_back",
        beyond=_for(names.ROLLOUT_SINCE_END_SECONDS, _DAY_SECONDS),
        limit=_for(names.ROLLOUT_SINCE_END_SECONDS, _DAY_SECONDS * (1 + NEAR)),
        inputs=(names.ROLLOUT_INFO,),
    )
    yield Recipe(
        scene="what is silenced",
        alert=names.SUPPRESSED,
        beyond=_suppressed(rollback=0, hold=1),
        limit=_suppressed(rollback=0, hold=0),
        inputs=(names.ALERTS_SUPPRESSED,),
        also={"a rollback": _suppressed(rollback=2, hold=0)},
        quiet={"after a rollback": after(_suppressed(rollback=1, hold=1), lambda world: world.state("rolled_back"))},
    )
    for alert, metric in ((names.EXPORTER_DOWN, names.DATABASE_UP), (names.RECEIVER_DOWN, names.ROLLOUT_STATE)):
        yield Recipe(
            scene=f"{metric} is missing",
            alert=alert,
            dynamic={},
            state="",
            beyond=_gone(metric),
            limit=lambda _world: None,
        )
    oldest = policy.receiver.drill_max_age
    if oldest is not None:
        metric = names.DRILL_AGE_SECONDS
        yield Recipe(
            scene="drills",
            alert=names.DRILL_OVERDUE,
            dynamic={},
            state="",
            beyond=_until_begin(metric, oldest * (1 + NEAR)),
            limit=_for(metric, oldest),
            also={"no drill ever": _gone(metric)},
        )
    yield Recipe(
        scene="a drill",
        alert=names.DRILL,
        dynamic={names.DRILL_LABEL: "d-1"},
        state="idle",
        beyond=_drill(1),
        limit=_drill(0),
        inputs=(names.DRILL_REQUESTED,),
    )
    yield Recipe(scene="heartbeat", alert=names.WATCHDOG, dynamic={}, state="always", beyond=lambda _world: None)


def _for(metric: str, seconds: float) -> Change:
    return lambda world: world.receiver(metric, seconds)


def _suppressed(**counts: int) -> Change:
    """So many alerts that a silence keeps from acting, by action."""

    def change(world: World) -> None:
        for action, count in counts.items():
            world.receiver(names.ALERTS_SUPPRESSED, count, action=action)

    return change


def _until_begin(metric: str, seconds: float) -> Change:
    """Fresh before `begin`, and so many seconds old from then on."""

    def change(world: World) -> None:
        world.receiver(metric, constant(0, world.begin) + constant(seconds, world.count - world.begin))

    return change


def _drill(value: float) -> Change:
    """Asked for from `begin` on."""

    def change(world: World) -> None:
        values = nothing(world.begin) + constant(value, world.count - world.begin)
        world.receiver(names.DRILL_REQUESTED, values, drill="d-1")

    return change


def _gone(metric: str) -> Change:
    """Scraped before `begin`, and gone from then on."""

    def change(world: World) -> None:
        for (name, _), values in world.series.items():
            if name == metric:
                values[world.begin] = STALE
                values[world.begin + 1 :] = nothing(world.count - world.begin - 1)

    return change
