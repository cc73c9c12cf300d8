"""What each router process was confirmed to have in force: kept over a restart, and never believed when damaged."""

from pathlib import Path

import pytest

from alertmanager.receiver.act.confirmations import Confirmation, Confirmations
from canary.rollout.store.sidefile import SideFile
from canary.routers import Observation, Reading, Split
from canary.threads import InlineThreads

SPLIT = Split("r1", 0.25, testers=True)
READ = Observation((Reading("a", 0.25, SPLIT.salt, testers=True, process="pid 7"),))


async def reopened(path: Path) -> Confirmations:
    """As the next process finds them."""
    return await Confirmations.open(SideFile(path, InlineThreads()))


async def test_a_confirmation_survives_a_restart(tmp_path: Path) -> None:
    """Split, processes and how many weights were known are there again; a router never confirmed is not known."""
    before = await reopened(tmp_path / "routers")
    before.confirm("edge", SPLIT, READ, weights=3)
    await before.close()

    after = await reopened(tmp_path / "routers")
    assert after.of("edge") == Confirmation(SPLIT, {"a": "pid 7"}, weights=3)
    assert after.of("other") is None
    assert (tmp_path / "routers").stat().st_mode & 0o777 & ~0o640 == 0


@pytest.mark.parametrize("urgent", [True, False])
async def test_a_write_that_was_cut_short_stays_open(tmp_path: Path, *, urgent: bool) -> None:
    """Entered before it begins, so that what is found after a kill is nobody's decision; confirmed, it is closed."""
    before = await reopened(tmp_path / "routers")
    before.confirm("edge", SPLIT, READ)
    if urgent:
        before.begin_lowering("edge")
    else:
        await before.begin("edge")
    before.confirm("inner", SPLIT, READ)
    await before.close()

    after = await reopened(tmp_path / "routers")
    found = after.of("edge")
    assert found is not None
    assert found.writing
    assert after.of("inner") == Confirmation(SPLIT, {"a": "pid 7"})
    after.confirm("edge", SPLIT, READ)
    assert after.of("edge") == Confirmation(SPLIT, {"a": "pid 7"})
    await after.close()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "\0", '{"edge": 3}', '{"edge": {}}', '{"edge": {"rollout": "r", "weight": 7, "testers": 1}}'],
)
async def test_what_cannot_be_understood_is_not_known(tmp_path: Path, text: str) -> None:
    """A damaged file is as none: a router found lower is then restored, and taken for nobody's decision."""
    (tmp_path / "routers").write_text(text, encoding="utf-8")

    found = await reopened(tmp_path / "routers")

    assert found.of("edge") is None
    await found.close()
