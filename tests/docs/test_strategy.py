"""The page that says where each sentence of the strategy lives names nothing that does not exist."""

import re
from pathlib import Path

import click
import pytest
import yaml

from canary import names
from canary.policy import load_policy
from canaryctl.cli import canary

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "release" / "strategy.md").read_text(encoding="utf-8")
ROWS = [
    line.split("|")[2] for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| the strat")
]
WORDS = sorted({word for row in ROWS for word in re.findall(r"`([^`]+)`", row)})
KEYS = [word for word in WORDS if re.fullmatch(r"[a-z_.]+", word)]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_exists(key: str) -> None:
    """Each is an attribute of the policy that carries the strategy."""
    found: object = load_policy(ROOT / "canary.yaml")
    for part in key.split("."):
        if isinstance(found, tuple):
            found = found[0]
        found = found[part] if isinstance(found, dict) else getattr(found, part)


def test_every_alert_and_command_exists() -> None:
    """Nothing is named that is neither a key, an alert nor a command."""
    others = [word for word in WORDS if word not in KEYS]
    commands = {f"canary {name}" for name in canary.list_commands(click.Context(canary))}

    assert len(others) > 15
    assert [word for word in others if word not in names.ALERTS and word not in commands] == []


def test_every_number_of_the_phases_is_the_policys() -> None:
    """Shares and minutes as the page has them."""
    phases = yaml.safe_load((ROOT / "canary.yaml").read_text(encoding="utf-8"))["phases"]

    assert [(one["traffic"], one["duration"]) for one in phases] == [
        ("5%", "5m"), ("25%", "15m"), ("50%", "20m"), ("100%", "30m"),
    ]  # fmt: skip
