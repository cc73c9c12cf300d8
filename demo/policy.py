"""The demo's policy: the repository's `canary.yaml`, with its own addresses and its time compressed."""

from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.engine import make_url

from canary.policy.model import Evidence
from canary.policy.signals import Critical, Info, Signals, Warn
from canary.units import format_duration, parse_duration
from demo import daemon
from demo.places import Places
from demo.shop import VISITOR_COOKIE

_TOKENS = {"token_file": "webhook-token", "operator_token_file": "operator-token"}
SCRAPE_SECONDS = 1.0

# A window must hold a few scrapes, however fast the demo runs.
_SHORTEST_WINDOW_SECONDS = 5.0


def compressed(seconds: float, speed: float, at_least: float = 1.0) -> str:
    """A duration of the strategy as the demo writes it."""
    return format_duration(max(at_least, round(seconds / speed, 1)))


def derive(strategy: Path, places: Places, *, database: str, speed: float) -> dict[str, Any]:
    """The repository's policy as data, every number kept, places replaced and waiting times divided by *speed*.

    Intervals at which something is looked at become short but are not divided: a scrape takes what it takes.
    """
    policy: dict[str, Any] = yaml.safe_load(strategy.read_text(encoding="utf-8"))
    policy["phases"] = [_phase(phase, speed) for phase in policy["phases"]]
    policy["signals"] = _signals(policy.get("signals", {}), places, speed)
    policy["state"] = {**policy.get("state", {}), "url": f"sqlite:///{places.file('state.db')}"}
    policy["state"]["rollback_log"] = str(places.file("canary-rollbacks.log"))
    policy["state"]["reports"] = str(places.file("reports"))
    policy["database"] = _database(policy["database"], places, database, speed)
    policy["router"] = _router(places)
    policy["process"] = {"kind": "command", "drain": "1s", **daemon.commands(places.file("canary.json"))}
    policy["receiver"] = {
        **policy["receiver"],
        **{key: str(places.file(name)) for key, name in _TOKENS.items()},
        "url": places.url("receiver"),
        "prometheus": places.url("prometheus"),
        "alertmanager": places.url("alertmanager"),
        "poll": "1s",
        "reconcile": "1s",
    }
    policy["notify"] = {**policy["notify"], "urls_file": str(places.file("notify-urls"))}
    patience = policy["evidence"].get("pending_timeout", format_duration(Evidence().pending_timeout))
    policy["evidence"]["pending_timeout"] = compressed(parse_duration(patience), speed, 15)
    return policy


def _phase(phase: dict[str, Any], speed: float) -> dict[str, Any]:
    return {**phase, "duration": compressed(parse_duration(phase["duration"]), speed)}


def _signals(signals: dict[str, Any], places: Places, speed: float) -> dict[str, Any]:
    tiers: dict[str, Critical | Warn | Info] = {"critical": Critical(), "warning": Warn(), "info": Info()}
    for name, tier in tiers.items():
        given = signals.get(name, {})
        hold_for = parse_duration(given["hold_for"]) if "hold_for" in given else tier.hold_for
        signals[name] = {**given, "hold_for": compressed(hold_for, speed)}
    for key in ("window", "long_window"):
        seconds = parse_duration(signals[key]) if key in signals else getattr(Signals(), key)
        signals[key] = compressed(seconds, speed, _SHORTEST_WINDOW_SECONDS)
    scrape = format_duration(SCRAPE_SECONDS)
    return {
        **signals,
        "exporter_target": places.address("exporter"),
        "shop_targets": [places.address("stable"), places.address("canary")],
        "scrape_interval": scrape,
        "evaluation_interval": scrape,
        # There is no node exporter here; the canary's own process is watched instead of its machine.
        "process_selector": f'instance="{places.address("canary")}"',
        "memory_limit": "1GiB",
    }


def _database(section: dict[str, Any], places: Places, database: str, speed: float) -> dict[str, Any]:
    kept = {key: value for key, value in section.items() if key not in ("url", "url_env", "url_file")}
    kept["window"] = compressed(parse_duration(section.get("window", "1h")), speed, 60)
    # A password in the address must not stand in the policy, so that the file holds the whole address.
    url = places.file("database-url")
    write_secret(url, make_url(database).render_as_string(hide_password=False))
    return {**kept, "url_file": str(url)}


def _router(places: Places) -> dict[str, Any]:
    return {
        "kind": "haproxy",
        "sockets": [str(places.file("haproxy.sock"))],
        "map": str(places.file("canary.map")),
        "sticky": "cookie",
        "key": VISITOR_COOKIE,
        "listen": places.address("front"),
        "upstreams": {"stable": [places.address("stable")], "canary": [places.address("canary")]},
    }


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")


def write(policy: dict[str, Any], path: Path) -> None:
    """Write the policy as a file that `canary` reads."""
    path.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
