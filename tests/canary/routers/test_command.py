"""Routers driven by the user's own programs."""

import json
import sys
from pathlib import Path

import pytest

from canary.errors import RouterError
from canary.policy import release
from canary.policy.routers.sections import CommandRouter
from canary.routers import Split
from canary.routers.command import ProgramRouter
from canary.testing.contract import router_contract

HALF = Split("r-7", 0.5)
STORE = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
SHOW = "import sys; print(open(sys.argv[1]).read())"


def programs(folder: Path, store: str = STORE, show: str = SHOW, **keys: float) -> ProgramRouter:
    """A router whose programs keep the split in a file."""
    file = str(folder / "split.json")
    return ProgramRouter(
        CommandRouter(
            kind="command",
            set=(sys.executable, "-c", store, file),
            read=(sys.executable, "-c", show, file),
            testers=release.Testers(networks=("192.0.2.0/24",), cookie="team=inside"),
            **keys,  # type: ignore[arg-type]  # a test names the policy's keys
        )
    )


async def test_it_keeps_the_contract_of_a_router(tmp_path: Path) -> None:
    """Two programs that keep what they are given are a router like the others."""
    await router_contract(programs(tmp_path))


async def test_the_split_goes_in_as_json_and_is_read_back(tmp_path: Path) -> None:
    """The program gets the weight, the rollout, its salt and the testers; what the other prints is believed."""
    router = programs(tmp_path)
    await router.set_weight(HALF)

    assert json.loads((tmp_path / "split.json").read_text()) == {
        "weight": 0.5,
        "rollout": "r-7",
        "salt": HALF.salt,
        "testers": {"networks": ["192.0.2.0/24"], "header": None, "cookie": "team=inside"},
    }
    observation = await router.read()
    assert observation.weight_ratio == 0.5
    assert observation.agrees(HALF)
    assert not observation.agrees(Split("r-8", 0.5))
    assert await router.check() == []

    await router.set_weight(Split("r-7", 0))
    assert json.loads((tmp_path / "split.json").read_text())["testers"] is None


async def test_a_program_need_only_print_the_weight(tmp_path: Path) -> None:
    """A balancer that knows nothing of rollouts is believed about the weight alone."""
    router = programs(tmp_path, show="print('{\"weight\": 0.5}')")
    await router.set_weight(HALF)

    assert (await router.read()).agrees(HALF)


async def test_an_exit_status_is_honoured(tmp_path: Path) -> None:
    """A program that fails is an error that quotes what it said."""
    router = programs(tmp_path, store="import sys; sys.exit('balancer is locked by ann')")

    with pytest.raises(RouterError, match="expected exit status 0, found 1: 'balancer is locked by ann'"):
        await router.set_weight(HALF)


async def test_success_without_effect_is_an_error(tmp_path: Path) -> None:
    """A program that exits with 0 and did nothing is found out by reading back."""
    router = programs(tmp_path, store="pass", show="print('{\"weight\": 0}')")

    with pytest.raises(RouterError, match="expected 50% after set, found command: 0%"):
        await router.set_weight(HALF)


async def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    """The time limit ends the program and its children."""
    router = programs(tmp_path, store="import subprocess; subprocess.run(['sleep', '1000'])", timeout=0.3)

    with pytest.raises(RouterError, match=r"within 0\.3s, did not; it was killed"):
        await router.set_weight(HALF)


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "fine",
        "[]",
        "{}",
        '{"weight": 2}',
        '{"weight": "NaN"}',
        '{"weight": null}',
        '{"weight": false}',
        '{"weight": [1]}',
        "7",
    ],
)
async def test_nonsense_is_not_a_reading(tmp_path: Path, printed: str) -> None:
    """Whatever is not a weight from 0 to 1 is unknown, and never agrees with anything, not even with 0."""
    router = programs(tmp_path, show=f"print({printed!r})")

    observation = await router.read()

    assert observation.weight_ratio is None
    assert not observation.agrees(Split("r-7", 0))
    assert len(await router.check()) == 1


@pytest.mark.parametrize("printed", ['{"sessions": false}', '{"sessions": "soon"}', "7"])
async def test_nonsense_is_no_number_of_sessions(tmp_path: Path, printed: str) -> None:
    """The canary's process is stopped once there are none: what is no number is never taken for that."""
    router = programs(tmp_path, show=f"print({printed!r})")

    with pytest.raises(RouterError, match="expected a number of sessions, found"):
        await router.sessions(0)


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    """A program that cannot be started is an error that names it."""
    missing = str(tmp_path / "no-such-program")
    router = ProgramRouter(CommandRouter(kind="command", set=(missing, "a b"), read=(missing,)))

    with pytest.raises(RouterError, match="no-such-program 'a b'`: cannot be started"):
        await router.set_weight(HALF)


async def test_nothing_passes_through_a_shell(tmp_path: Path) -> None:
    """Arguments reach the program as the policy has them, whatever they look like."""
    evil = f"$(touch {tmp_path}/evil); `touch {tmp_path}/evil`"
    program = (sys.executable, "-c", "import sys, json; print(json.dumps({'weight': 0.5, 'got': sys.argv[1]}))", evil)
    router = ProgramRouter(CommandRouter(kind="command", set=program, read=program))
    await router.set_weight(HALF)

    assert not (tmp_path / "evil").exists()
