"""`canary check`: one module per concern, each gives findings with a remedy, none changes anything."""

from canary.finding import Finding, Status

__all__ = ["Finding", "Status"]
