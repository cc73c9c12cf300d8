"""Running the user's programs."""

import os
import sys
from pathlib import Path

import pytest

from canary.process.program import run
from tests.support.programs.processes import eventually


async def test_input_goes_in_and_output_comes_out() -> None:
    """The program reads what it is given, and what it prints comes back whole, however much it is."""
    program = "import sys; text = sys.stdin.read(); print(text * 100_000)"
    outcome = await run((sys.executable, "-c", program), timeout_seconds=30, stdin="wächst ")

    assert outcome.status == 0
    assert outcome.fault == ""
    assert outcome.output == "wächst " * 100_000 + "\n"


async def test_a_daemon_is_found_by_any_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a user's PATH ends at /usr/bin, nginx in /usr/sbin is run all the same."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    outcome = await run(("nginx", "-v"), timeout_seconds=30)

    assert outcome.fault == ""


async def test_a_failure_is_one_sentence() -> None:
    """Exit status and the end of standard error are reported, quoted so that they stay on one line."""
    outcome = await run(
        ("sh", "-c", "printf 'x%.0s' $(seq 900) >&2; echo >&2; echo sorry >&2; exit 7"), timeout_seconds=30
    )

    assert outcome.status == 7
    assert "expected exit status 0, found 7: 'xxx" in outcome.fault
    assert outcome.fault.endswith(r"\nsorry'")
    assert len(outcome.fault) < 500


async def test_a_program_that_leaves_something_running_has_ended() -> None:
    """A program that starts a server in the background is done when it exits itself."""
    outcome = await run(("sh", "-c", "sleep 1000 & echo $!"), timeout_seconds=20)

    assert outcome.status == 0
    os.kill(int(outcome.output), 9)


async def test_the_time_limit_reaches_children(tmp_path: Path) -> None:
    """A program that hangs in a child is killed together with it."""
    pid = tmp_path / "pid"
    outcome = await run(("sh", "-c", f"sleep 1000 & echo $! > {pid}; wait"), timeout_seconds=0.5)

    assert outcome.status is None
    assert "did not; it was killed" in outcome.fault

    def gone() -> bool:
        stat = Path(f"/proc/{pid.read_text().strip()}/stat")
        return not stat.exists() or stat.read_text().split()[2] == "Z"

    await eventually(gone, "the end of the child")


async def test_what_cannot_be_started_is_a_fault() -> None:
    """Missing programs, and arguments that no program can be given, are faults, not exceptions."""
    assert "cannot be started" in (await run(("/no/such/program",), timeout_seconds=1)).fault
    assert "cannot be started" in (await run(("true", "a\0b"), timeout_seconds=1)).fault
    assert "cannot be started" in (await run(("true", "x" * 200_000), timeout_seconds=1)).fault[-500:]


async def test_arguments_are_no_shells(tmp_path: Path) -> None:
    """What a shell would run, replace or part is one argument, and nothing else is started."""
    made = tmp_path / "made"
    words = (
        f"$(touch {made})",
        f"`touch {made}`",
        f"; touch {made}",
        f"| touch {made}",
        f"> {made}",
        "*",
        "$HOME",
        "a b",
    )

    outcome = await run((sys.executable, "-c", "import sys; print(sys.argv[1:])", *words), timeout_seconds=30)

    assert outcome.output == f"{list(words)}\n"
    assert not made.exists()
