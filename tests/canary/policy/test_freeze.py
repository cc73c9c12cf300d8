"""Change freezes of the policy: read as Alertmanager reads them, refused where it would refuse them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertmanager.config.freeze import time_intervals
from canary.errors import PolicyError
from canary.policy.freeze import interval, title
from canary.policy.load import load_policy

FREEZES = """\
service: shop
receiver:
  freeze:
    - mon-fri 18:00-24:00
    - name: Black Friday
      months: [november]
      days_of_month: ["20:-1"]
      years: [2026]
      location: Europe/Berlin
    - times: [{start_time: 00:00, end_time: 07:00}]
      weekdays: ["Monday : friday"]
"""


def faults(tmp_path: Path, freeze: str) -> str:
    """What is said of a freeze."""
    path = tmp_path / "canary.yaml"
    path.write_text(f"service: shop\nreceiver:\n  freeze:\n    - {freeze}\n", encoding="utf-8")
    with pytest.raises(PolicyError) as error:
        load_policy(path)
    return str(error.value)


def test_both_forms_are_read(tmp_path: Path) -> None:
    """The short form of earlier versions, and Alertmanager's own; numbers need no quotes."""
    path = tmp_path / "canary.yaml"
    path.write_text(FREEZES, encoding="utf-8")

    freezes = load_policy(path).receiver.freeze

    assert [title(one, "UTC") for one in freezes] == [
        "mon-fri 18:00-24:00 (UTC)",
        "Black Friday",
        "Monday : friday 00:00-07:00 (UTC)",
    ]
    assert interval(freezes[0], "UTC").times == ((1080, 1440),)
    assert interval(freezes[1], "UTC").contains(datetime(2026, 11, 19, 23, tzinfo=UTC))
    assert interval(freezes[2], "UTC").weekdays == ((1, 5),)


def test_a_freeze_is_meant_in_the_shops_zone_unless_it_names_one(tmp_path: Path) -> None:
    """Both forms, to the receiver and to Alertmanager alike; its title says in which zone it is meant."""
    path = tmp_path / "canary.yaml"
    path.write_text(
        "service: shop\nreceiver:\n  timezone: America/New_York\n  freeze:\n    - mon-fri 18:00-24:00\n"
        "    - {weekdays: [saturday]}\n    - {weekdays: [sunday], location: UTC}\n",
        encoding="utf-8",
    )
    policy = load_policy(path)
    zone, evening = policy.receiver.timezone, datetime(2026, 7, 7, 1, tzinfo=UTC)  # Monday, 21:00 in New York

    short, saturday, sunday = policy.receiver.freeze

    assert interval(short, zone).contains(evening)
    assert [title(one, zone) for one in (short, saturday, sunday)] == [
        "mon-fri 18:00-24:00 (America/New_York)",
        "saturday (America/New_York)",
        "sunday (UTC)",
    ]
    assert [one["time_intervals"][0].get("location") for one in time_intervals(policy)] == [zone, zone, None]


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("mon-xxx", "canary.yaml:4: receiver.freeze.0: expected days and perhaps times such as `sat,sun`"),
        ("{}", "freeze.0: would freeze for ever; say when: times, weekdays, days_of_month, months or years"),
        ("{name: always}", "freeze.0: would freeze for ever"),
        ("{weekdays: ['friday:monday']}", "weekdays.0: expected a start before its end (the week begins on Sunday)"),
        ("{weekdays: [fri]}", "weekdays.0: expected days of the week such as saturday or monday:friday, found 'fri'"),
        ("{months: [13]}", "months.0: expected months from 1 to 12, found '13'"),
        ("{months: ['november:february']}", "write it as two ranges"),
        ("{days_of_month: [0]}", "days_of_month.0: expected days from 1 to 31, or from -31 to -1, found '0'"),
        ("{days_of_month: ['-3:2']}", "expected an end that counts from the month's end too"),
        ("{days_of_month: ['20:3']}", "days_of_month.0: expected a start before its end"),
        ("{years: ['2027:2026']}", "years.0: expected a start before its end"),
        ("{years: [2026], location: Local}", "location: no time zone 'Local'"),
        (
            "{times: [{start_time: 18:00, end_time: 06:00}]}",
            "times.0.end_time: must be later than `start_time`; write a night as two ranges",
        ),
        ("{times: [{start_time: 18:00}]}", "end_time: is required and missing"),
        ("{wekdays: [monday]}", "did you mean 'weekdays'?"),
    ],
)
def test_what_alertmanager_would_refuse_is_refused(tmp_path: Path, freeze: str, said: str) -> None:
    """With file and line, what was expected, and what to write."""
    assert said in faults(tmp_path, freeze)
