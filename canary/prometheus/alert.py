"""An alert, whoever tells of it, and the cleaning of texts that come from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from canary import names


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as Alertmanager or Prometheus tells it.

    Attributes:
        starts_at: when it began to fire, by Prometheus' clock; None when unknown.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    firing: bool
    starts_at: datetime | None = None

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname", "")

    @property
    def action(self) -> str:
        """What it asks for; `none` when it does not say."""
        return self.labels.get(names.ACTION, "none")

    @property
    def description(self) -> str:
        """What people should read about it."""
        annotations = self.annotations
        return annotations.get("description") or annotations.get("summary") or self.name


def clean(text: str) -> str:
    """The text without what no database or file takes: NUL, halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
