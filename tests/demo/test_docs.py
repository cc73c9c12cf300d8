"""The demo's page says what is true."""

import json
import re
import shlex
import subprocess
from dataclasses import asdict, fields
from pathlib import Path

import click
import pytest
import yaml

from canary.process.program import run
from canaryctl.cli.demo import breaking, command
from demo.breaking import WHATS
from demo.shop import flags
from demo.shop.faults import PATTERNS, Faults
from tests.demo.conftest import OpenShop

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
[BY_HAND] = [line for line in COMMANDS if line.startswith("curl ")]


@pytest.mark.parametrize("line", [line for line in COMMANDS if "canary demo" in line])
def test_every_canary_command_of_the_page_is_understood(line: str) -> None:
    """Each option that the page names exists and takes the value it is given."""
    _, _, *arguments = shlex.split(line)

    assert command.make_context("demo", arguments, allow_extra_args=True).params["scenario"]
    if arguments[:1] == ["break"]:
        assert breaking.make_context("break", arguments[1:]).params["what"] in WHATS


@pytest.mark.parametrize(
    "line", [*(line for line in COMMANDS if line.startswith("make")), 'make demo ARGS="--rate 10"']
)
def test_every_make_command_of_the_page_reaches_the_demo(line: str) -> None:
    """Each make line of the page would run `canary demo`, with the scenario it names."""
    told = subprocess.run([*shlex.split(line), "-n"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    scenario = re.search(r"SCENARIO=(\w+)", line)
    assert f"canary demo --scenario {scenario[1] if scenario else 'bad'}" in told


def test_every_command_of_the_page_is_of_a_kind_that_is_tried() -> None:
    """What is no `canary demo` and no make is the request below."""
    assert [line for line in COMMANDS if "canary demo" not in line and not line.startswith("make ")] == [BY_HAND]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_fault_is_set_by_hand_as_the_page_says(open_shop: OpenShop) -> None:
    """The page's request, with the address of another shop, changes the fault that it names and no other."""
    async with open_shop("v2.0") as client:
        command = BY_HAND.replace("http://127.0.0.1:8002/", str(client.make_url("/")))
        result = await run((*shlex.split(command), "--silent", "--fail"), timeout_seconds=60)

    assert result.fault == ""
    assert json.loads(result.output) == asdict(Faults(error_ratio=0.3))


def test_the_page_knows_every_fault_and_no_other() -> None:
    """The table of faults is the list that the shop takes."""
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [
        "payment_failure_ratio",
        "error_ratio",
        "dropped_checkout_ratio",
        "latency_seconds",
    ]
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == {field.name for field in fields(Faults)}


def test_the_page_shows_the_flag_that_the_shop_asks_for() -> None:
    """The flag in the page's policy is the demo's."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert yaml.safe_load(block)["flags"] == flags.POLICY


def test_the_page_knows_every_option() -> None:
    """No option is left unexplained."""
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert {name for name in options if name not in PAGE} <= {"--scenario"}


def test_the_choices_of_faults_are_those_that_exist() -> None:
    """The command line offers every pattern, each made of faults that the shop takes."""
    (fault,) = (parameter for parameter in command.params if parameter.name == "fault")

    assert isinstance(fault.type, click.Choice)
    assert list(fault.type.choices) == list(PATTERNS)
    assert all(Faults().changed(pattern) != Faults() for pattern in PATTERNS.values())
