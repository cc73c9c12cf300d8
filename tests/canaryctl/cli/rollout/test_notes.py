"""`canary note`, `canary freeze` and `canary history`, as people and scripts see them."""

from datetime import UTC, datetime, timedelta

import pytest

from canary.errors import RefusedError
from tests.support.documents.commands import asked, run
from tests.support.receiving.receiver import Setting

START = ("start", "--canary", "v2.0", "--stable", "v1.0", "--force")


async def test_a_note_is_in_the_history(setting: Setting) -> None:
    """Before the first rollout there is nothing to note about; afterwards it stands with its author and category."""
    with pytest.raises(RefusedError, match="no rollout has been started"):
        await run(setting, "note", "too early")

    await run(setting, *START)
    await run(setting, "rollback", "--reason", "harm", "--category", "capacity")
    assert "recorded" in (await run(setting, "note", "--category", "code", "a loop")).stdout

    (note,) = [entry for entry in await asked(setting, "history") if entry["kind"] == "note"]
    assert (note["reason"], note["data"]["category"]) == ("a loop", "code")
    details = (await run(setting, "history", "--rollout", "latest")).stdout
    assert f"{note['seq']}  " in details
    assert "rollback (manual, capacity)" in details
    with pytest.raises(RefusedError, match="no rollout v9"):
        await run(setting, "note", "--rollout", "v9", "nowhere")


async def test_the_history_has_a_line_per_rollout(setting: Setting) -> None:
    """Versions, outcome, by whom and why, how many notes; a drill and a freeze are no rollout."""
    await run(setting, "freeze", "--until", "1h")
    await run(setting, "freeze", "--lift")
    await run(setting, *START)
    await run(setting, "advance", "--force")
    await run(setting, "promote", "--force", "--reason", "all well")
    await run(setting, "start", "--canary", "v3.0", "--stable", "v2.0", "--force")
    await run(setting, "hold", "--reason", "lunch")
    await run(setting, "note", "quiet")

    _, first, second = (await run(setting, "history")).stdout.splitlines()

    assert "v2.0 against v1.0" in first
    assert "promoted" in first
    assert "all well" in first
    assert "v3.0 against v2.0" in second
    assert "held in phase 1" in second
    assert second.split()[-1] == "1"


async def test_the_steps_of_a_finish_are_counted_from_1(setting: Setting) -> None:
    """The first as well, which the journal calls 0."""
    await run(setting, *START)
    await run(setting, "promote", "--force")
    await run(setting, "finish", "--force")
    await run(setting, "finish", "--now", "--force")

    details = (await run(setting, "history", "--rollout", "latest")).stdout

    assert "finish step (step 3)" in details


async def test_a_freeze_is_shown_and_needs_force(setting: Setting) -> None:
    """From its beginning to its end the status says whose it is; what is no moment is wrong usage."""
    said = await run(setting, "freeze", "--until", "2h", "--reason", "sale")
    assert said.stdout.startswith("frozen until ")
    assert "frozen    change freeze (sale) by " in (await run(setting, "status")).stdout
    assert (await asked(setting, "status"))["freeze"]["title"] == "(sale)"

    await run(setting, *START)
    with pytest.raises(RefusedError, match="change freeze"):
        await run(setting, "advance")

    assert (await run(setting, "freeze", "--lift")).stdout.startswith("freeze lifted\n")
    assert (await asked(setting, "status"))["freeze"] is None


async def test_a_time_that_is_typed_is_meant_in_the_shops_zone(setting: Setting) -> None:
    """The answer says which moment was understood; another zone may be named, and the journal has UTC."""
    policy = setting.policy_file.read_text()
    setting.policy_file.write_text(policy.replace("receiver:\n", "receiver:\n  timezone: Asia/Kathmandu\n", 1))
    day = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"

    said = (await run(setting, "freeze", "--until", f"{day} 18:00")).stdout
    assert said.startswith(f"frozen until {day} 18:00 UTC+0545 (12:15 UTC)\n")
    assert (await asked(setting, "status"))["freeze"]["until"].startswith(f"{day}T12:15:00")
    said = (await run(setting, "freeze", "--until", f"{day}T18:00+01:00")).stdout
    assert said.startswith(f"frozen until {day} 22:45 UTC+0545 (17:00 UTC)\n")
    said = (await run(setting, *START, "--at", f"{day} 20:00")).stdout
    assert said.startswith(f"v2.0 is scheduled for {day} 20:00 UTC+0545 (14:15 UTC)\n")


@pytest.mark.parametrize(
    "words",
    [
        ("--until", "soon"),
        ("--until", "3h", "--lift"),
        (),
        ("--until", "2999-01-01T00:00"),
        ("--until", "2026-12-24 18:00 Nowhere"),
    ],
)
async def test_what_is_no_freeze_is_wrong_usage(setting: Setting, words: tuple[str, ...]) -> None:
    """With exit status 2, before anything is sent."""
    assert (await run(setting, "freeze", *words)).exit_code == 2
