"""Alertmanager's webhook payload, version 4: strict on what decisions need, blind to everything else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from canary.errors import PayloadError
from canary.prometheus.alert import Alert, clean
from canary.timing.times import from_text

__all__ = ["Alert", "Notification", "clean", "parse"]


@dataclass(frozen=True, slots=True)
class Notification:
    """One POST of Alertmanager.

    Attributes:
        truncated: how many alerts were left out.
    """

    alerts: tuple[Alert, ...]
    truncated: int = 0


def parse(body: bytes) -> Notification:
    """Read a payload; keys that are not needed are ignored, whatever they hold.

    Raises:
        PayloadError: it is not JSON, or not a payload of version 4.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PayloadError("expected JSON, found something else", place="webhook") from error
    if not isinstance(data, dict):
        raise PayloadError(f"expected a JSON object, found {_kind(data)}", place="webhook")
    if data.get("version") != "4":
        raise PayloadError(
            f'expected "4", found {_shown(data.get("version"))}',
            place="webhook: version",
            remedy="leave `payload` of Alertmanager's webhook_config at its default",
        )
    alerts = data.get("alerts")
    if not isinstance(alerts, list):
        raise PayloadError(f"expected a list, found {_kind(alerts)}", place="webhook: alerts")
    truncated = data.get("truncatedAlerts", 0)
    if isinstance(truncated, bool) or not isinstance(truncated, int) or truncated < 0:
        raise PayloadError(f"expected a count, found {_shown(truncated)}", place="webhook: truncatedAlerts")
    return Notification(tuple(_alert(index, alert) for index, alert in enumerate(alerts)), truncated)


def _alert(index: int, data: object) -> Alert:
    where = f"webhook: alerts[{index}]"
    if not isinstance(data, dict):
        raise PayloadError(f"expected an object, found {_kind(data)}", place=where)
    status: Literal["firing", "resolved"] | Any = data.get("status")
    if status not in ("firing", "resolved"):
        raise PayloadError(f"expected firing or resolved, found {_shown(status)}", place=f"{where}.status")
    return Alert(
        labels=_texts(f"{where}.labels", data.get("labels")),
        annotations=_texts(f"{where}.annotations", data.get("annotations") or {}),
        firing=status == "firing",
        starts_at=_moment(f"{where}.startsAt", data.get("startsAt")),
    )


def _texts(where: str, data: object) -> Mapping[str, str]:
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise PayloadError(f"expected an object of texts, found {_kind(data)}", place=where)
    return {clean(name): clean(text) for name, text in data.items()}


def _moment(where: str, text: object) -> datetime | None:
    if text is None:
        return None
    try:
        return from_text(str(text))
    except (ValueError, OverflowError) as error:
        raise PayloadError(
            f"expected a moment such as 2026-01-31T12:00:00Z, found {_shown(text)}", place=where
        ) from error


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "nothing"}
    return kinds.get(type(value), "a number")


def _shown(value: object) -> str:
    text = repr(value)
    return ascii(text[:40] + "…" if len(text) > 40 else text).strip("'\"")
