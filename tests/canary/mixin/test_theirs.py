"""A configuration that a shop has already."""

from pathlib import Path

from alertmanager.config.configuration import alertmanager_file
from scripts import golden


def test_values_of_theirs_are_written_back_as_they_were(tmp_path: Path) -> None:
    """A time of day and a password that look like numbers."""
    theirs = tmp_path / "alertmanager.yml"
    theirs.write_text(
        "global: {smtp_auth_password: 012345}\n"
        "route: {receiver: on-call, routes: [{receiver: on-call, mute_time_intervals: [night]}]}\n"
        "receivers: [{name: on-call}]\n"
        "time_intervals: [{name: night, time_intervals: [{times: [{start_time: 22:00, end_time: 24:00}]}]}]\n",
        encoding="utf-8",
    )

    written = alertmanager_file(golden.policy("minimal"), merge=theirs)

    assert "smtp_auth_password: 012345\n" in written
    assert "start_time: 22:00\n" in written
