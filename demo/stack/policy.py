"""The demo's policy: the repository's `canary.yaml`, with its own addresses and its time compressed."""

from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.engine import make_url

from canary.policy import Policy, load_policy
from canary.units import format_duration, format_ratio
from demo.shop import flags
from demo.shop.server import VERSION_HEADER, VISITOR_COOKIE
from demo.stack import daemon
from demo.stack.places import Places
from rules.scrape import scrape_config

STRATEGY = Path(__file__).parents[1] / "canary.yaml"
"""The repository's policy, which the wheel brings along."""
# Names of files in the demo's folder.
NOTIFY_URLS = "notify-urls"
TOKENS = {"token_file": "webhook-token", "operator_token_file": "operator-token", "flags_token_file": "flags-token"}
TESTERS = "127.0.0.2/32"
"""Whoever asks from here is a tester; the customers come from 127.0.0.1."""
# A verdict within seconds needs data within seconds; to two small processes a scrape costs nothing.
SCRAPE_SECONDS = 1.0

# A window must hold a few scrapes, however fast the demo runs.
_WINDOW_SCRAPES = 5
# Alertmanager repeats the heartbeat every ten seconds at most, and a busy machine is no silence.
_SHORTEST_SILENCE_SECONDS = 60.0


def compressed(seconds: float, speed: float, at_least: float = 1.0) -> str:
    """A duration of the strategy as the demo writes it."""
    return format_duration(max(at_least, round(seconds / speed, 1)))


def scraped(checked: Policy) -> int:
    """How many parts Prometheus scrapes by the generated configuration; one with two jobs counts twice."""
    jobs = scrape_config(checked)["scrape_configs"]
    return sum(len(targets["targets"]) for job in jobs for targets in job["static_configs"])


def derive(strategy: Path, places: Places, *, database: str, speed: float) -> dict[str, Any]:
    """The repository's policy as data, every number kept, places replaced and waiting times divided by *speed*.

    Intervals at which something is looked at become short but are not divided: a scrape takes what it takes.
    The shop's own flag is added.

    Raises:
        PolicyError: the policy has faults.
    """
    checked = load_policy(strategy)
    written: dict[str, Any] = yaml.safe_load(strategy.read_text(encoding="utf-8"))

    def section(name: str) -> dict[str, Any]:
        # The demo has secrets and addresses of its own; a `url_env` left over would win over its `url`.
        return {key: value for key, value in written.get(name, {}).items() if not key.endswith(("_env", "_file"))}

    return {
        **written,
        "phases": _phases(written, checked, speed),
        "signals": {**section("signals"), **_signals(checked, section("signals"), places, speed)},
        "state": {**section("state"), **_state(places)},
        "database": {
            **{key: value for key, value in section("database").items() if key != "url"},
            "window": compressed(checked.database.window, speed, 60),
            "url_file": str(_database_url(places, database)),
        },
        "router": _router(places),
        "process": {"kind": "command", "drain": "1s", **daemon.commands(places.file("canary.json"))},
        "receiver": {**section("receiver"), **_receiver(places), "watchdog": _watchdog(written, checked, speed)},
        "finish": {**section("finish"), "duration": compressed(checked.finish.duration, speed)},
        "notify": {**section("notify"), "urls_file": str(places.file(NOTIFY_URLS))},
        "flags": {**written.get("flags", {}), **flags.POLICY},
        "evidence": {
            **section("evidence"),
            "pending_timeout": compressed(checked.evidence.pending_timeout, speed, 15),
        },
    }


def _state(places: Places) -> dict[str, str]:
    return {
        "url": f"sqlite:///{places.file('state.db')}",
        "rollback_log": str(places.file("canary-rollbacks.log")),
        "reports": str(places.file("reports")),
    }


def _receiver(places: Places) -> dict[str, str]:
    return {
        **{key: str(places.file(name)) for key, name in TOKENS.items()},
        **{part: places.url(part) for part in ("prometheus", "alertmanager")},
        "url": places.url("receiver"),
        "poll": "1s",
        "reconcile": "1s",
    }


def _watchdog(written: dict[str, Any], checked: Policy, speed: float) -> dict[str, Any]:
    """The heartbeat's times, for whoever freezes Prometheus and waits for what becomes of it."""
    watchdog = checked.receiver.watchdog
    return {
        **written.get("receiver", {}).get("watchdog", {}),
        "timeout": compressed(watchdog.timeout, speed, _SHORTEST_SILENCE_SECONDS),
        "then": compressed(watchdog.then, speed, _SHORTEST_SILENCE_SECONDS / 2),
    }


def _phases(written: dict[str, Any], checked: Policy, speed: float) -> list[dict[str, Any]]:
    """The phases with their durations compressed; a policy without any has the strategy's."""
    phases = written.get("phases") or [{"traffic": format_ratio(phase.traffic)} for phase in checked.phases]
    compressed_phases = []
    for phase, read in zip(phases, checked.phases, strict=True):
        durations = {"duration": compressed(read.duration, speed)}
        if read.max_duration is not None:
            durations["max_duration"] = compressed(read.max_duration, speed)
        compressed_phases.append({**phase, **durations})
    return compressed_phases


def _signals(checked: Policy, section: dict[str, Any], places: Places, speed: float) -> dict[str, Any]:
    """What differs in the section: compressed windows, and where the demo's parts are scraped."""
    signals = checked.signals
    hold_for = {
        "critical": signals.critical.hold_for,
        "warning": signals.warning.hold_for,
        "info": signals.info.hold_for,
    }
    scrape, shortest = format_duration(SCRAPE_SECONDS), _WINDOW_SCRAPES * SCRAPE_SECONDS
    return {
        **{
            tier: {**section.get(tier, {}), "hold_for": compressed(seconds, speed)}
            for tier, seconds in hold_for.items()
        },
        "window": compressed(signals.window, speed, shortest),
        "long_window": compressed(signals.long_window, speed, shortest),
        "scrape_interval": scrape,
        "evaluation_interval": scrape,
        "verdict_interval": format_duration(min(SCRAPE_SECONDS, checked.signals.verdict_interval)),
        "exporter_target": places.address("exporter"),
        "shop_targets": [places.address("stable"), places.address("canary")],
        # There is no node exporter here; the canary's own process is watched instead of its machine.
        "process_selector": f'instance="{places.address("canary")}"',
        "memory_limit": "1GiB",
    }


def _database_url(places: Places, database: str) -> Path:
    """A file with the whole address: a password in it must not stand in the policy."""
    path = places.file("database-url")
    write_secret(path, make_url(database).render_as_string(hide_password=False))
    return path


def _router(places: Places) -> dict[str, Any]:
    return {
        "kind": "haproxy",
        "sockets": [str(places.file("haproxy.sock"))],
        "map": str(places.file("canary.map")),
        "sticky": "cookie",
        "key": VISITOR_COOKIE,
        "listen": places.address("front"),
        "upstreams": {"stable": [places.address("stable")], "canary": [places.address("canary")]},
        "testers": {"networks": [TESTERS]},
        "probe": {"path": "/-/healthy", "header": VERSION_HEADER},
    }


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")


def write(policy: dict[str, Any], path: Path) -> None:
    """Write the policy as a file that `canary` reads."""
    path.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
