"""Alertmanager: reachable, sending what must act to this receiver, with no silence that forbids it.

Silences that keep the receiver from rolling back, holding or advancing on its own are told. Every other one keeps
people from being paged, and is their business.
"""

import shutil
import tempfile

import yaml

from canary import names
from canary.errors import RemoteError
from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.process.program import run
from canary.prometheus import Alertmanager, Silence

# amtool asks Alertmanager itself, without a limit of its own; a healthy one answers in well under a second.
_TIMEOUT_SECONDS = 20

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
    except (yaml.YAMLError, RecursionError):
        return [failed(place, "its configuration is no YAML", "correct the address")]
    if not isinstance(running, dict):
        return [failed(place, "its configuration is not an Alertmanager's", "correct the address")]
    if shutil.which("amtool") is None:
        untested = warning(place, "reachable, but its routes were not tested", "install amtool and check again")
        return [untested, *silences]
    ours = _receivers(running, policy.receiver.url)
    routes = [await _routed(place, policy, action, ours) for action in _ACTIONS]
    return [*routes, *await _watchdog(place, policy, ours), *silences]


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


async def _routed(place: str, policy: Policy, action: str, ours: set[str]) -> Finding:
    labels = (f"{names.ACTION}={action}", f"{names.SERVICE}={policy.service}", "alertname=Canary")
    what = f'alerts with action="{action}"'
    return await _tested(place, policy, labels, what, ours)


async def _watchdog(place: str, policy: Policy, ours: set[str]) -> list[Finding]:
    labels = (f"alertname={names.WATCHDOG}", f"{names.SERVICE}={policy.service}", f"{names.ACTION}=none")
    return [await _tested(place, policy, labels, f"the heartbeat {names.WATCHDOG}", ours)]


async def _tested(place: str, policy: Policy, labels: tuple[str, ...], what: str, ours: set[str]) -> Finding:
    server = policy.receiver.alertmanager_server
    access = {key: value for key, value in server.http_config(policy.base).items() if key != "http_headers"}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(access, file)  # with the secrets' files, not the secrets
        file.flush()
        shows = (f"--http.config.file={file.name}",) if access else ()
        argv = ("amtool", "config", "routes", "test", f"--alertmanager.url={server.url}", *shows, *labels)
        outcome = await run(argv, timeout_seconds=_TIMEOUT_SECONDS)
    if outcome.fault:
        return failed(place, f"amtool could not test its routes: {outcome.fault}")
    reached = {name.strip() for name in outcome.output.strip().split(",")}
    if reached & ours:
        return ok(place, f"sends {what} to {policy.receiver.url}")
    remedy = "run `canary generate`, put its alertmanager.yml (or its routes) to use, and reload Alertmanager"
    return failed(
        place, f"sends {what} to {', '.join(sorted(reached))}, none of which is {policy.receiver.url}", remedy
    )
