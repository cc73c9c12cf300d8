"""Alertmanager's silences: those that keep the receiver from rolling back, holding or advancing on its own.

Every other silence keeps people from being paged, and is their business.
"""

from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.prometheus import Alertmanager, Silence

_KEPT_BACK = {
    "rollback": "no alert rolls a canary back",
    "hold": "no alert holds a rollout",
    "advance": "no rollout advances by itself",
}


async def check_silences(policy: Policy, alertmanager: Alertmanager) -> list[Finding]:
    """Whether a silence in force keeps alerts of the service from acting. One on all rollbacks is a failure.

    Raises:
        RemoteError: Alertmanager does not answer properly.
    """
    place = f"alertmanager {alertmanager.url}"
    found = [one for one in await alertmanager.silences() if one.action in _KEPT_BACK and one.concerns(policy.service)]
    none = ok(place, f"no silence keeps alerts of service {policy.service} from acting")
    return [_finding(place, silence) for silence in found] or [none]


def _finding(place: str, silence: Silence) -> Finding:
    scope = " of the rollout that it names" if silence.of_one_rollout else ""
    what = f"{_KEPT_BACK[silence.action]}{scope}: {silence}"
    remedy = f"let it end, or end it: `amtool silence expire {silence.id}`"
    # One about an earlier rollout is no concern of the next.
    disabled = silence.action == "rollback" and not silence.of_one_rollout
    return failed(place, what, remedy) if disabled else warning(place, what, remedy)
