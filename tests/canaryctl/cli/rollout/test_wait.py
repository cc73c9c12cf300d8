"""`canary wait`: each way in which a rollout can end has an exit status of its own."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from canary.errors import RefusedError, RemoteError
from canaryctl.cli import canary
from canaryctl.cli.rollout.wait import Outcome, Result, Waiting
from tests.support.clock import FakeClock
from tests.support.receiving.receiver import Setting, receiving

Answer = dict[str, Any] | Exception


def status(state: str, rollout: str = "v2.0-1", **more: Any) -> dict[str, Any]:
    """What the API answers about a rollout."""
    return {
        "now": "2026-03-01T12:00:00Z",
        "waiting_for": more.pop("waiting_for", ""),
        "rollout": {
            "id": rollout,
            "decision": 9,
            "canary": "v2.0",
            "state": state,
            "phase": 0,
            "phases": [{}, {}],
            "weight_ratio": 0.05,
            "reason": "",
            "cause": "",
            "lifts": False,
            "rollback_at": None,
            **more,
        },
    }


class Receiver:
    """Answers one status after the other, the last one for ever."""

    def __init__(self, answers: Sequence[Answer], history: Sequence[str] = ()) -> None:
        self._answers = list(answers)
        self._history = history

    async def get(self, path: str, **_params: str) -> Any:
        """The next answer."""
        if path == "history":
            return [{"kind": kind, "seq": seq} for seq, kind in enumerate(self._history, 1)]
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def wait(
    *answers: Answer,
    wanted: str = "promoted",
    rollout: str = "",
    history: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Wait for ten minutes at most."""
    clock = FakeClock()
    waiting = Waiting(Receiver(answers, history), clock, wanted, rollout, say)
    task = asyncio.ensure_future(waiting.until(600))
    for _ in range(1000):
        if task.done():
            break
        await asyncio.sleep(0)
        clock.advance(1)
    return await task


@pytest.mark.parametrize(
    ("answers", "outcome", "said"),
    [
        ((status("phase"), status("promoted")), Outcome.REACHED, "is promoted"),
        ((status("phase"), status("finishing")), Outcome.REACHED, "is finishing"),
        ((status("rolling_back"), status("rolled_back", reason="errors")), Outcome.ROLLED_BACK, "rolled back: errors"),
        ((status("failed", reason="by hand"),), Outcome.ROLLED_BACK, "is failed: by hand"),
        ((status("phase"), status("holding", reason="lunch")), Outcome.HELD, "until a person decides: lunch"),
        ((status("holding", lifts=True, reason="blind"),), Outcome.TIMED_OUT, "is not promoted within 10m"),
        ((status("holding", rollback_at="2026"),), Outcome.TIMED_OUT, "is not promoted within 10m"),
        ((status("rolling_back", reason="errors"),), Outcome.ROLLED_BACK, "NOT complete: errors"),
        ((status("phase"), RemoteError("away")), Outcome.LOST, "has not answered for 2m"),
        ((status("phase"), RemoteError("away"), status("promoted")), Outcome.REACHED, "is promoted"),
    ],
)
async def test_each_end_has_its_outcome(answers: tuple[Answer, ...], outcome: Outcome, said: str) -> None:
    """What ends by itself is waited for, a receiver that comes back too."""
    result = await wait(*answers)

    assert result.outcome is outcome
    assert said in result.text


async def test_a_receiver_that_is_away_is_said_once() -> None:
    """Whoever watches the pipeline sees at once why nothing happens, and does not see it every second."""
    said: list[str] = []
    away = RemoteError("away")

    await wait(away, away, status("phase"), away, status("promoted"), say=said.append)

    assert [line for line in said if "away" in line] == ["away; asking again for 2m"] * 2


@pytest.mark.parametrize(
    ("history", "wanted", "outcome"),
    [
        (["started", "promoted"], "promoted", Outcome.REACHED),
        (["started", "promoted", "finished"], "finished", Outcome.REACHED),
        (["started", "promoted"], "finished", Outcome.REPLACED),
        (["started", "rollback", "rolled_back"], "promoted", Outcome.ROLLED_BACK),
        (["started", "promoted", "rollback"], "promoted", Outcome.ROLLED_BACK),
    ],
)
async def test_a_rollout_that_is_not_the_newest_is_looked_up(history: list[str], wanted: str, outcome: Outcome) -> None:
    """The next one may have begun between two looks; the journal says what became of this one."""
    result = await wait(status("phase", "v3.0-2"), wanted=wanted, rollout="v2.0-1", history=history)

    assert result.outcome is outcome


async def test_a_receiver_that_knows_less_has_replaced_nothing() -> None:
    """Of two receivers one may not have read of the rollout yet: what is its newest one came before."""
    behind = status("rolled_back", "v1.9-1", decision=0)

    result = await wait(behind, status("promoted"), rollout="v2.0-1", history=["started"])

    assert result.outcome is Outcome.REACHED


@pytest.mark.parametrize(("lifts", "outcome"), [(False, Outcome.HELD), (True, Outcome.TIMED_OUT)])
async def test_a_finish_that_a_person_has_frozen_waits_for_one(lifts: bool, outcome: Outcome) -> None:
    """As a hold: a pipeline hears at once what only a person ends, and waits out what ends by itself."""
    frozen = status("finishing", finishing={"frozen": True}, lifts=lifts, reason="lunch")

    said: list[str] = []
    assert (await wait(frozen, wanted="finished", say=said.append)).outcome is outcome
    assert all("5% on the canary's servers" in line for line in said)


async def test_promoted_is_not_finished() -> None:
    """Who waits for the end of the release waits on after the promotion."""
    result = await wait(status("promoted"), status("finished"), wanted="finished")

    assert (result.outcome, result.text) == (Outcome.REACHED, "rollout v2.0-1 is finished")


async def test_each_change_is_told_once() -> None:
    """With the state, the share, and what it waits for."""
    lines: list[str] = []
    same = status("phase", waiting_for="the phase's time")

    await wait(same, same, status("holding", lifts=True, reason="blind"), status("promoted"), say=lines.append)

    assert lines == [
        "2026-03-01 12:00:00 UTC  phase, phase 1 of 2, 5% on v2.0; waits for the phase's time",
        "2026-03-01 12:00:00 UTC  holding, 5% on v2.0 (blind)",
    ]


async def test_a_receiver_that_never_answered_is_what_is_said() -> None:
    """When the time is over first: nothing is known of any rollout, so that none is named."""
    waiting = Waiting(Receiver([RemoteError("no")]), FakeClock(), "promoted", "", lambda _: None)

    result = await waiting.until(0)

    assert (result.outcome, result.text) == (Outcome.TIMED_OUT, "the receiver has not answered within 0s")


@pytest.mark.parametrize(("rollout", "history"), [(None, []), (status("phase")["rollout"], [])])
async def test_nothing_to_wait_for_is_refused(rollout: object, history: list[str]) -> None:
    """Before the first rollout, and for an id that the journal does not have."""
    with pytest.raises(RefusedError, match="cannot wait"):
        await wait({"rollout": rollout, "now": ""}, rollout="v9", history=history)


async def test_the_command_exits_as_it_ended(tmp_path: Path) -> None:
    """On a real receiver: held by a person, timed out, rolled back."""
    setting = Setting(tmp_path / "receiver")

    async def run(*words: str) -> int:
        argv = [*words, "--config.file", str(setting.policy_file)]
        return (await asyncio.to_thread(CliRunner().invoke, canary, argv)).exit_code

    async with receiving(setting):
        await run("start", "--canary", "v2.0", "--stable", "v1.0", "--force")
        assert await run("wait", "--timeout", "10ms") == Outcome.TIMED_OUT
        await run("hold")
        assert await run("wait") == Outcome.HELD
        await run("rollback", "--reason", "harm")
        assert await run("wait", "--timeout", "60s") == Outcome.ROLLED_BACK
        assert await run("wait", "--timeout", "soon") == 2
