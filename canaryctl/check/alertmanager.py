"""Alertmanager: reachable, sending what must act to this receiver, with no silence that forbids it.

Silences that keep the receiver from rolling back, holding or advancing on its own are told. Every other one keeps
people from being paged, and is their business.
"""

from collections.abc import Mapping

import yaml

from canary import names
from canary.errors import RemoteError
from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.prometheus import Alertmanager, Silence
from canaryctl.check.routes import receivers

_KEPT_BACK = {
    "rollback": "no alert rolls a canary back",
    "hold": "no alert holds a rollout",
    "advance": "no rollout advances by itself",
}

_ACTIONS = ("rollback", "advance", "hold")


async def check_alertmanager(policy: Policy, alertmanager: Alertmanager) -> list[Finding]:
    """Whether each action's alerts would reach the receiver, by the configuration that runs, and could act there."""
    place = f"alertmanager {alertmanager.url}"
    try:
        running = yaml.safe_load(await alertmanager.configuration())
        silences = await check_silences(policy, alertmanager)
    except RemoteError as error:
        return [failed(place, error.what, error.remedy)]
    except (yaml.YAMLError, ValueError, RecursionError):
        return [failed(place, "its configuration is no YAML", "correct the address")]
    if not isinstance(running, dict):
        return [failed(place, "its configuration is not an Alertmanager's", "correct the address")]
    ours = _receivers(running, policy.receiver.url)
    return [*(_routed(place, policy, what, labels, running, ours) for what, labels in _alerts(policy)), *silences]


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


def _receivers(running: dict[str, object], url: str) -> set[str]:
    """Names of the receivers whose webhook is ours; newer Alertmanagers hide URLs, then every webhook may be."""
    ours = set()
    for receiver in _listed(running.get("receivers")):
        for webhook in _listed(receiver.get("webhook_configs")):
            target = str(webhook.get("url", ""))
            if target.startswith(url.rstrip("/") + "/") or target == "<secret>":
                ours.add(str(receiver.get("name", "")))
    return ours


def _listed(value: object) -> list[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _alerts(policy: Policy) -> list[tuple[str, dict[str, str]]]:
    """What must reach the receiver: words for it, and the labels by which Alertmanager routes it."""
    service = {names.SERVICE: policy.service}
    watchdog = {"alertname": names.WATCHDOG, names.ACTION: "none", **service}
    return [
        *((f'alerts with action="{one}"', {"alertname": "Canary", names.ACTION: one, **service}) for one in _ACTIONS),
        (f"the heartbeat {names.WATCHDOG}", watchdog),
    ]


def _routed(
    place: str, policy: Policy, what: str, labels: Mapping[str, str], running: Mapping[str, object], ours: set[str]
) -> Finding:
    try:
        reached = set(receivers(running.get("route"), labels))
    except ValueError as error:
        return failed(place, f"its routes cannot be followed: {error}", "correct its configuration, and reload it")
    if reached & ours:
        return ok(place, f"sends {what} to {policy.receiver.url}")
    remedy = "run `canary generate`, put its alertmanager.yml (or its routes) to use, and reload Alertmanager"
    return failed(
        place, f"sends {what} to {', '.join(sorted(reached))}, none of which is {policy.receiver.url}", remedy
    )
