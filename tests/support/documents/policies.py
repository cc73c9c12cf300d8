"""Policies by what is special about them, for tests that hold something for each kind."""

import dataclasses
from typing import Any

from canary.policy import Policy
from scripts import golden


def policy_of_kind(kind: str) -> Policy:
    """One of the golden policies, or the smallest one with HAProxy's series, native histograms or without signals."""
    if kind in golden.POLICIES:
        return golden.policy(kind)
    minimal = golden.policy("minimal")
    if kind == "kpis only":
        return dataclasses.replace(minimal, technical=False)
    changes: dict[str, Any] = {"preset": "haproxy"} if kind == "haproxy" else {"histograms": "native"}
    return dataclasses.replace(minimal, signals=dataclasses.replace(minimal.signals, **changes))
