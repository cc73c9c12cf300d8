"""Alertmanager's payload, as it comes and as it should not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertmanager.receiver.http.webhook import Notification, clean, parse
from canary.errors import PayloadError
from tests.support.receiving.receiver import alert, payload


def test_a_payload_as_alertmanager_sends_it() -> None:
    """Firing and resolved alerts of one notification are told apart, with their labels and times."""
    began = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
    sent = payload(
        alert("CanaryHighErrorRate", "rollback", "r1", starts_at=began),
        alert("CanaryBlind", "hold", "r1", status="resolved"),
        truncatedAlerts=2,
    )

    found = parse(json.dumps(sent).encode())

    assert [(one.name, one.action, one.firing) for one in found.alerts] == [
        ("CanaryHighErrorRate", "rollback", True),
        ("CanaryBlind", "hold", False),
    ]
    assert found.alerts[0].starts_at == began
    assert found.alerts[0].description == "CanaryHighErrorRate of the canary"
    assert found.truncated == 2


def test_gos_nanoseconds_are_understood() -> None:
    """Times come with nine digits and an offset."""
    sent = payload({**alert("A", "hold", "r1"), "startsAt": "2026-01-31T13:00:00.123456789+01:00"})

    assert parse(json.dumps(sent).encode()).alerts[0].starts_at == datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 4}, 'version: expected "4", found 4'),
        ({"alerts": {}}, "alerts: expected a list, found an object"),
        ({"alerts": ["x"]}, r"alerts\[0\]: expected an object, found a text"),
        ({"alerts": [{"status": "firing"}]}, r"alerts\[0\].labels: expected an object of texts, found nothing"),
        ({"truncatedAlerts": True}, "truncatedAlerts: expected a count, found True"),
        ({"alerts": [{"status": "firing", "labels": {}, "startsAt": "9" * 400}]}, "found 99999"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], message: str) -> None:
    """A message says where, what was expected and what was found, and never the whole of a long value."""
    with pytest.raises(PayloadError, match=message) as caught:
        parse(json.dumps(payload() | change).encode())

    assert len(str(caught.value)) < 200


@given(st.text())
def test_cleaned_text_can_be_stored(text: str) -> None:
    """Whatever a label holds, what is left of it fits into UTF-8 without NUL; ordinary text stays as it is."""
    cleaned = clean(text)

    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    if text.isprintable():
        assert cleaned == text


@given(st.binary(max_size=300))
def test_bytes_are_a_payload_or_refused(body: bytes) -> None:
    """No bytes lead to anything but a notification or our own error."""
    try:
        found = parse(body)
    except PayloadError:
        return
    assert isinstance(found, Notification)
