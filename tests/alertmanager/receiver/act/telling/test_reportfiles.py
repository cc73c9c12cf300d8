"""The files of the reports."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alertmanager.receiver.act.telling import reportfiles
from alertmanager.receiver.act.telling.reportfiles import ReportFiles, write_apart
from canary.errors import JournalError
from canary.policy.model import Policy
from canary.report.facts import Report
from canary.report.past import Past, past_reports
from canary.threads import InlineThreads
from tests.support.receiving.acting import World, report_of


async def report_in(folder: Path) -> Report:
    """A small report."""
    async with World.around(folder) as world:
        leader = world.receiver()
        await leader.start()
        return await report_of(leader)


async def test_a_report_is_written_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The event loop goes on meanwhile; afterwards all files are there."""
    files = ReportFiles.of(Policy(service="shop", base=str(tmp_path)), InlineThreads())
    report = await report_in(tmp_path)
    assert not await files.are_there(report.rollout.id)

    await files.write(report)

    assert await files.are_there(report.rollout.id)


async def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """What the other process raises arrives here, with the folder's name."""
    (tmp_path / "reports").write_text("in the way")

    with pytest.raises(JournalError, match=r"reports cannot be written to"):
        await write_apart(await report_in(tmp_path), tmp_path / "reports")


async def test_a_report_that_cannot_be_made_is_an_error_of_this_report(tmp_path: Path) -> None:
    """Whatever breaks in the other process is said with the rollout's name, and the reporter goes on to the next."""
    report = replace(await report_in(tmp_path), phases=())

    with pytest.raises(JournalError, match=rf"report of {report.rollout.id}: it cannot be made \(ValueError"):
        await write_apart(report, tmp_path / "reports")


async def test_reports_are_read_again_only_when_one_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of them are seconds of computing; one that is corrected, deleted or new counts at the next look."""
    read: list[Path] = []

    def counted(folder: Path, service: str) -> Past:
        read.append(folder)
        return past_reports(folder, service)

    def report(canary: str) -> None:
        versions = {"stable": "v1", "canary": canary, "state": "finished", "ended_at": "2026-03-03T12:00:00Z"}
        (tmp_path / "one.json").write_text(json.dumps({"service": "shop", "rollout": "one", **versions}))

    monkeypatch.setattr(reportfiles, "past_reports", counted)
    files = ReportFiles(tmp_path, InlineThreads())
    assert await files.past("shop") == []
    report("v2")
    for _ in range(3):
        assert [one.canary for one in await files.past("shop")] == ["v2"]
    report("v2.0.1")
    assert [one.canary for one in await files.past("shop")] == ["v2.0.1"]
    (tmp_path / "one.json").unlink()
    assert await files.past("shop") == []
    assert len(read) == 4
